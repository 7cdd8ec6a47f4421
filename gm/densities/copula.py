"""The Gaussian copula with dequantised categorical margins: the reference that tilts and flows start from."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

LOG_2PI = math.log(2 * math.pi)
ROWS = 4096  # images worked on at once: a dozen float64 arrays of their size are in memory together


class Copula(nn.Module):
    """A density on [0, levels)^D with exact margins and a Gaussian dependence, in closed form.

    Pixel j has probabilities p_j(k); y_j = k + u with u uniform has the distribution function
    F_j(y_j) = sum_{l<k} p_j(l) + u p_j(k), so z_j = Phi^-1(F_j(y_j)) is standard normal. With z ~ N(0, R), R = L L'
    a correlation matrix (unit diagonal: only then do the margins stay exact), and w = L^-1 z ~ N(0, I),

        log q0(y) = log N(w; 0, I) - log det L + sum_j [log p_j(k_j) - log phi(z_j)].

    Everything that lives on this reference lives in w, where it is N(0, I).

    Tail areas are floored at 1e-30, so |z| < 12: that moves y only within 1e-30 / p_j(k) of an end of its range,
    an event of probability at most 2e-30 a pixel, far below float64; the noise grid (i + 1/2) / 2^15 never meets it.

    Reference: R. B. Nelsen, "An Introduction to Copulas" (2006); the uniform noise on integers follows L. Theis,
    A. van den Oord and M. Bethge, "A note on the evaluation of generative models" (2016).

    Arguments:
        shape: event shape (C, H, W).
        levels: number of integer levels, at least 2.
        smoothing: pseudo-count added to each level of each pixel, positive.
        shrinkage: s in R = (1 - s) R_hat + s I, in [0, 1].

    Example:
        >>> copula = Copula((1, 1, 2), 3).estimate(torch.tensor([[[[0, 1]]], [[[2, 2]]], [[[1, 0]]]]))
        >>> w = copula.whiten(torch.tensor([[[[0.5, 1.25]]]]))
        >>> copula.unwhiten(w).tolist()
        [[[[0.5, 1.25]]]]
    """

    TAIL = 1e-30

    def __init__(
        self, shape: tuple[int, int, int], levels: int, *, smoothing: float = 0.1, shrinkage: float = 0.02
    ) -> None:
        super().__init__()
        if levels is None or levels < 2:
            raise ValueError(f"a copula needs integer data with levels >= 2, found levels = {levels}")
        if smoothing <= 0 or not 0 <= shrinkage <= 1:
            raise ValueError(f"expected smoothing > 0 and shrinkage in [0, 1]; found {smoothing} and {shrinkage}")
        self.shape, self.levels, self.dim = tuple(shape), levels, math.prod(shape)
        self.smoothing, self.shrinkage = smoothing, shrinkage
        uniform = torch.full((self.dim, levels), 1 / levels, dtype=torch.float64)
        self.register_buffer("p", uniform)
        self.register_buffer("factor", torch.eye(self.dim, dtype=torch.float64))

    def estimate(self, x: Tensor) -> "Copula":
        """Set margins and correlation from images of integers.

        p_j(k) = (n_jk + a) / (N + a levels). The noise of different pixels is independent, so
        E_u[z_i z_j] = m_i(x_i) m_j(x_j) with m_j(k) = E[z_j | k] = (phi(a_jk) - phi(b_jk)) / p_j(k), a and b the ends
        of the level's interval in z: R_hat is its mean over the images, with no noise drawn.

        Arguments:
            x: integers, shape `[N, *shape]`.

        Returns:
            The copula itself.
        """
        k = x.reshape(len(x), self.dim).long() + self.levels * torch.arange(self.dim, device=x.device)
        counts = torch.bincount(k.flatten(), minlength=self.p.numel()).reshape(self.p.shape).to(self.p)
        self.p = (counts + self.smoothing) / (len(x) + self.smoothing * self.levels)
        density = torch.exp(-0.5 * (_quantile(*self._areas()) ** 2 + LOG_2PI))
        m = -density.diff() / self.p
        scores = m.flatten()[k]
        correlation = (1 - self.shrinkage) * scores.T @ scores / len(x)
        self.factor = torch.linalg.cholesky(correlation.fill_diagonal_(1.0))
        return self

    def log_prob(self, y: Tensor) -> Tensor:
        """Log density in nats, float64 `[B]`, of rows `[B, *shape]` in [0, levels)."""

        def log_prob(rows: Tensor) -> Tensor:
            z, log_jacobian = self._normal_scores(rows)
            return log_normal(self._whiten(z)) + log_jacobian

        return blockwise(log_prob, y)

    def log_jacobian(self, y: Tensor) -> Tensor:
        """log |dw/dy| in nats, float64 `[B]`: any density of w becomes one of y by adding it."""
        return blockwise(lambda rows: self._normal_scores(rows)[1], y)

    def whiten(self, y: Tensor) -> Tensor:
        """w = L^-1 z(y), float64 `[B, D]`, for rows `[B, *shape]` in [0, levels)."""
        return blockwise(lambda rows: self._whiten(self._normal_scores(rows)[0]), y)

    def color(self, w: Tensor) -> Tensor:
        """z = L w as images: `[..., D]` to `[..., *shape]`, in the type of `w`; differentiable."""
        return (w @ self.factor.T.to(w.dtype)).reshape(*w.shape[:-1], *self.shape)

    def unwhiten(self, w: Tensor) -> Tensor:
        """y(w), float64 `[B, *shape]` in [0, levels): the inverse of `whiten`; its floor is an image of integers."""
        return blockwise(self._unwhiten, w)

    def _unwhiten(self, w: Tensor) -> Tensor:
        z = self.color(w.double()).flatten(1)
        lower, upper = torch.special.ndtr(z), torch.special.ndtr(-z)
        below, above = self._areas()
        k = torch.searchsorted(below.contiguous(), lower.T.contiguous(), right=True).T - 1
        k = k.clamp(0, self.levels - 1)
        pixel = torch.arange(self.dim, device=k.device)
        p = self.p[pixel, k]
        u = torch.where(z < 0, (lower - below[pixel, k]) / p, 1 - (upper - above[pixel, k + 1]) / p)
        return (k + u.clamp(0, 1 - 2.0**-40)).reshape(len(w), *self.shape)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws of y, float64 `[n, *shape]`."""
        w = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return self.unwhiten(w.to(self.p.device))

    def _areas(self) -> tuple[Tensor, Tensor]:
        """Area below and area above each of the levels + 1 edges, `[D, levels + 1]`; each exact in its own tail."""
        edge = self.p.new_zeros(self.dim, 1)
        below = torch.cat([edge, self.p.cumsum(1)], 1)
        above = torch.cat([self.p.flip(1).cumsum(1).flip(1), edge], 1)
        return below, above

    def _normal_scores(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """z `[B, D]` and log |dw/dy| `[B]`."""
        y = y.reshape(len(y), self.dim).double()
        if len(y) and not (y.min() >= 0 and y.max() < self.levels):
            raise ValueError(f"y spans [{y.min():g}, {y.max():g}]; the copula's support is [0, {self.levels})")
        k = y.long()
        u = y - k
        pixel = torch.arange(self.dim, device=k.device)
        p = self.p[pixel, k]
        below, above = self._areas()
        z = _quantile(below[pixel, k] + u * p, above[pixel, k + 1] + (1 - u) * p)
        log_phi = -0.5 * (z**2 + LOG_2PI)
        log_det = self.factor.diagonal().log().sum()
        return z, (p.log() - log_phi).sum(1) - log_det

    def _whiten(self, z: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor, z.T, upper=False).T.contiguous()


def blockwise(function: Callable[[Tensor], Tensor], rows: Tensor, size: int = ROWS) -> Tensor:
    """A row-wise function of `[B, ...]`, evaluated on `size` rows at a time."""
    return torch.cat([function(block) for block in rows.split(size)])


def dequantise(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """y = x + u, float64, with fresh noise u = (i + 1/2) / 2^15, i uniform: the grid on which densities are scored."""
    i = torch.randint(2**15, x.shape, generator=generator, device=generator.device)
    return x + (i.to(x.device).double() + 0.5) / 2**15


def log_normal(w: Tensor) -> Tensor:
    """log N(w; 0, I) over the last axis, `[..., D]` to `[...]`, nats."""
    return -0.5 * (w**2).sum(-1) - 0.5 * w.shape[-1] * LOG_2PI


def _quantile(below: Tensor, above: Tensor) -> Tensor:
    """Phi^-1 from the areas of both tails, using the smaller one, where float64 keeps its digits."""
    tail = torch.special.ndtri(torch.minimum(below, above).clamp(Copula.TAIL, 0.5))
    return torch.where(below < above, tail, -tail)

"""The phi^4 chain: correlated, two wells a site, and solved exactly in any dimension by its transfer operator."""

import math

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.sampling.gibbs import uniforms


class Phi4(Target):
    r"""The open chain of double wells

    .. math:: \log p(x) = \text{constant} - a \sum_{i=1}^d (x_i^2 - 1)^2
        - \frac{b}{2} \sum_{i=1}^{d-1} (x_i - x_{i+1})^2

    With w(x) = exp(-a (x^2 - 1)^2) and K(x, y) = exp(-b (x - y)^2 / 2), the messages

    .. math:: \alpha_1 = w, \qquad \alpha_{i+1}(x) = w(x) \int K(x, y)\, \alpha_i(y)\, dy

    give :math:`Z = \int \alpha_d` and, backward, exact draws: :math:`x_d \sim \alpha_d`, then :math:`x_i \mid x_{i+1}
    \sim \alpha_i(x_i) K(x_i, x_{i+1})`. Integrals are sums over an even grid on an interval outside which w is below
    e^-45; for such smooth and vanishing integrands their error falls faster than any power of the grid's step. A draw
    inverts a distribution function that is a cubic in each cell, whose density errs there by the third power of the
    step.

    References:
        Statistical Mechanics of One-Dimensional Ginzburg-Landau Fields (Scalapino, Sears & Ferrell, 1972).
        The Exponentially Convergent Trapezoidal Rule (Trefethen & Weideman, 2014).

    Arguments:
        dim: d, the number of sites.
        a: depth of the wells, positive.
        b: stiffness of the bonds, not negative.
        points: size of the grid.
        constant: declared shift of log p, in nats.

    Raises:
        ValueError: if a or b is out of range, or the grid too coarse for a site's law.

    Example:
        >>> chain = Phi4(dim=1000, a=1.0, b=4.0, constant=0.0)
        >>> round(chain.log_z, 9)
        -314.320394349
        >>> chain.sample(2, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 1000])
    """

    def __init__(
        self, *, dim: int = 1000, a: float = 1.0, b: float = 4.0, points: int = 201, constant: float = 2.5
    ) -> None:
        if not (a > 0 and b >= 0):
            raise ValueError(f"Phi4 has a = {a} and b = {b}; expected a > 0 and b >= 0")
        self.a, self.b = float(a), float(b)
        edge = math.sqrt(1 + math.sqrt(45 / a))
        # a fifth of the narrowest standard deviation of a site given its neighbours
        needed = math.ceil(2 * edge * 5 * math.sqrt(8 * a + 2 * b)) + 1
        if points < needed:
            raise ValueError(f"Phi4 has points = {points}; expected at least {needed} for a = {a} and b = {b}")
        self.grid = torch.linspace(-edge, edge, points, dtype=torch.float64)
        self.log_messages, log_z = self._filter(dim)
        half = torch.full((2,), 0.5, dtype=torch.float64)
        super().__init__(dim=dim, spread=1.0, log_z=log_z + constant, constant=constant, mode_weights=half)

    def _filter(self, dim: int) -> tuple[Tensor, float]:
        """Log messages on the grid, each up to a number of its own, `[d, points]`, and log Z without the constant."""
        grid = self.grid
        step = float(grid[1] - grid[0])
        well = torch.exp(-self.a * (grid.square() - 1).square())
        bond = step * torch.exp(-0.5 * self.b * (grid[:, None] - grid).square())
        messages, scale = [well], 0.0
        for _ in range(dim - 1):
            message = well * (bond @ messages[-1])
            size = message.sum()
            scale += math.log(size)
            messages.append(message / size)
        return torch.stack(messages).log(), scale + math.log(step * messages[-1].sum())

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p, float64 `[...]`, and its gradient `[..., d]`, at x."""
        well, bond = x.square() - 1, x.diff(dim=-1)
        wells, bonds = (torch.linalg.vector_norm(part, dim=-1, dtype=torch.float64).square() for part in (well, bond))
        grad = (x * well).mul_(-4 * self.a)
        grad[..., :-1].add_(bond, alpha=self.b)
        grad[..., 1:].sub_(bond, alpha=self.b)
        return self.constant - self.a * wells - 0.5 * self.b * bonds, grad

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws by backward sampling, float32 `[n, d]`."""
        u = uniforms((self.dim, n), self.grid, generator)
        x = torch.empty(n, self.dim, dtype=torch.float32, device=self.grid.device)
        log_p = self.log_messages[-1].expand(n, -1)
        for i in reversed(range(self.dim)):
            site = _invert(self.grid, log_p, u[i])
            x[:, i] = site
            if i:
                log_p = self.log_messages[i - 1] - 0.5 * self.b * (self.grid - site[:, None]).square()
        return x

    def mode(self, x: Tensor) -> Tensor:
        """0 where the mean over the sites is negative, else 1: the two are as likely, by symmetry."""
        return (x.mean(-1) > 0).long()


def _invert(grid: Tensor, log_p: Tensor, u: Tensor) -> Tensor:
    """The point `[n]` where the distribution function of each row's density, `[n, points]` up to a factor, reaches u.

    In a cell t in [0, 1] the density is the parabola through the values at both ends, p_0 (1 - t) + p_1 t + 6 e t (1 -
    t), whose integral is that of the cubic through four neighbours.
    """
    p = (log_p - log_p.max(-1, keepdim=True).values).exp()
    padded = torch.nn.functional.pad(p, (1, 1))
    excess = (p[:, :-1] + p[:, 1:] - padded[:, :-3] - padded[:, 3:]) / 24
    total = ((p[:, :-1] + p[:, 1:]) / 2 + excess).clamp(min=0).cumsum(-1)
    level = (u * total[:, -1])[:, None]
    cell = torch.searchsorted(total, level, right=True).clamp(max=total.shape[1] - 1)
    below = torch.where(cell > 0, total.gather(1, (cell - 1).clamp(min=0)), 0.0)
    left, right, e = p.gather(1, cell), p.gather(1, cell + 1), excess.gather(1, cell)
    low, high = torch.zeros_like(level), torch.ones_like(level)
    for _ in range(25):
        t = (low + high) / 2
        mass = left * (t - t * t / 2) + right * t * t / 2 + e * t * t * (3 - 2 * t)
        short = below + mass < level
        low, high = torch.where(short, t, low), torch.where(short, high, t)
    return (grid[cell] + (low + high) / 2 * (grid[1] - grid[0]))[:, 0]

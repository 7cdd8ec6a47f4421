"""Probabilistic principal component analysis: the Gaussian with a low-rank covariance plus noise."""

from typing import NamedTuple

import torch
from torch import Tensor

from gm.densities.copula import LOG_2PI, blockwise


def checked(components: int | None, dim: int) -> int | None:
    """A number of components q, 0 <= q < D; negative ones count from D, None is left to be chosen.

    Raises:
        ValueError: it is out of range.

    Example:
        >>> checked(-1, 64), checked(None, 64)
        (63, None)
    """
    if components is None:
        return None
    if not -dim <= components < dim:
        raise ValueError(f"'components' is {components}; expected None or {-dim}..{dim - 1}")
    return components % dim


class Spectrum(NamedTuple):
    """Mean `[D]`, and the eigenvalues `[D]`, falling, and eigenvectors `[D, D]` (columns) of the covariance of
    y = x + u, averaged over u exactly: that of x plus 1/12 on the diagonal."""

    mean: Tensor
    eigenvalues: Tensor
    basis: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "Spectrum":
        """From images of integers `[N, ...]`.

        Raises:
            FloatingPointError: if the covariance is not finite and positive.
        """
        x = x.double().flatten(1) + 0.5
        covariance = torch.cov(x.T, correction=0).reshape(len(x.T), -1)
        covariance.diagonal().add_(1 / 12)
        eigenvalues, basis = (part.flip(-1) for part in torch.linalg.eigh(covariance))
        if not eigenvalues.min() > 0:
            raise FloatingPointError(f"the covariance has a smallest eigenvalue of {eigenvalues.min():.3g}")
        return cls(x.mean(0), eigenvalues, basis)

    def tails(self) -> Tensor:
        r"""sigma^2 = sum_{j > q} lambda_j / (D - q) for q = 0..D-1, `[D]`."""
        D = len(self.eigenvalues)
        return self.eigenvalues.flip(0).cumsum(0).flip(0) / (D - torch.arange(D, device=self.basis.device))

    def curve(self, x: Tensor) -> Tensor:
        """Mean log density over u and over images of integers `[N, ...]`, for q = 0..D-1 components, nats `[D]`."""
        D, tail = len(self.eigenvalues), self.tails()
        centred = x.double().flatten(1) + 0.5 - self.mean
        second = (centred @ self.basis).square().mean(0) + 1 / 12
        q = torch.arange(D, device=tail.device)
        kept = (self.eigenvalues.log() + second / self.eigenvalues).cumsum(0)
        kept = torch.cat([kept.new_zeros(1), kept[:-1]])
        dropped = (D - q) * tail.log() + second.flip(0).cumsum(0).flip(0) / tail
        return -0.5 * (kept + dropped + D * LOG_2PI)

    def keep(self, q: int) -> "PPCA":
        """The likeliest Gaussian with q components, 0 <= q < D."""
        noise = self.tails()[q].clone()
        weight = self.basis[:, :q] * (self.eigenvalues[:q] - noise).clamp(min=0).sqrt()
        return PPCA(self.mean, weight.contiguous(), noise)


class PPCA(NamedTuple):
    r"""A Gaussian on flat images, N(mean, W W' + sigma^2 I), with W `[D, q]` and noise = sigma^2:

        W = U_q (Lambda_q - sigma^2 I)^{1/2},    sigma^2 = sum_{j > q} lambda_j / (D - q),

    at the greatest likelihood. With q = D - 1 it is the Gaussian of the full covariance.

    Reference: M. E. Tipping and C. M. Bishop, "Probabilistic principal component analysis" (1999).

    Example:
        >>> gaussian = Spectrum.of(torch.tensor([[0, 1], [1, 0], [2, 2]])).keep(1)
        >>> (gaussian.weight @ gaussian.weight.T + gaussian.noise * torch.eye(2)).diagonal() - 1 / 12
        tensor([0.6667, 0.6667], dtype=torch.float64)
    """

    mean: Tensor
    weight: Tensor
    noise: Tensor

    def log_prob(self, y: Tensor) -> Tensor:
        """Log density `[B]` in nats of rows `[B, ...]`."""
        D, q = self.weight.shape
        eye = torch.eye(q, dtype=self.weight.dtype, device=self.weight.device)
        root = torch.linalg.cholesky(self.weight.T @ self.weight + self.noise * eye)
        log_det = 2 * root.diagonal().log().sum() + (D - q) * self.noise.log()

        def log_prob(rows: Tensor) -> Tensor:
            centred = rows.double().flatten(1) - self.mean
            inner = torch.linalg.solve_triangular(root, self.weight.T @ centred.T, upper=False)
            quadratic = (centred.square().sum(1) - inner.square().sum(0)) / self.noise
            return -0.5 * (quadratic + log_det + D * LOG_2PI)

        return blockwise(log_prob, y)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draws of y, float64 `[n, D]`."""
        D, q = self.weight.shape
        z = self._normal(n, q, generator)
        return self.mean + z @ self.weight.T + self.noise.sqrt() * self._normal(n, D, generator)

    def _normal(self, n: int, d: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, d, dtype=torch.float64, generator=generator, device=generator.device)
        return noise.to(self.mean)


def to_levels(y: Tensor, shape: tuple[int, ...], levels: int) -> Tensor:
    """Integers `[n, *shape]` from draws `[n, D]`: floored, and clipped to the levels."""
    return y.floor().clamp(0, levels - 1).long().reshape(len(y), *shape)

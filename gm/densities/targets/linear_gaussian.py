"""Posterior of a linear-Gaussian decoder: a Gaussian whose normalising constant is the evidence of one observation."""

import math

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.rng import stream

LOG_2PI = math.log(2 * math.pi)


class Posterior(Target):
    r"""The joint density of z ~ N(0, I) and x | z ~ N(W z, s^2 I), at a fixed x, as a density of z.

    .. math:: \log p(z) = \text{constant} + \log N(z; 0, I) + \log N(x; W z, s^2 I), \qquad
        \log Z = \text{constant} + \log N(x; 0, W W^T + s^2 I)

    Normalised it is :math:`N(m, P^{-1})` with :math:`P = I + W^T W / s^2` and :math:`m = P^{-1} W^T x / s^2`. The
    product W z is computed in the type of z.

    Reference: Tipping and Bishop, Probabilistic principal component analysis, 1999.

    Arguments:
        weight: W, `[D, d]`.
        x: the observation, `[D]`.
        noise: s, positive.
        constant: declared shift of log p, in nats.

    Raises:
        ValueError: if the noise is not positive.

    Example:
        >>> one = Posterior(weight=torch.ones(1, 1), x=torch.zeros(1), noise=1.0, constant=0.0)
        >>> round(one.log_z + 0.5 * math.log(2 * math.pi * 2), 6) + 0.0
        0.0
    """

    def __init__(self, *, weight: Tensor, x: Tensor, noise: float, constant: float = -2.0) -> None:
        if not noise > 0:
            raise ValueError(f"{type(self).__name__} has noise = {noise}; expected a positive number")
        W, x = weight.double(), x.double()
        D, d = W.shape
        self.weight, self.observed, self.noise = W, x, float(noise)
        self.single = W.float()
        precision = torch.eye(d, dtype=W.dtype, device=W.device) + W.T @ W / noise**2
        self.factor = torch.linalg.cholesky(precision)
        pull = W.T @ x / noise**2
        self.mean = torch.cholesky_solve(pull[:, None], self.factor)[:, 0]
        # |x|^2 - x' W P^-1 W' x / s^2 as the residual at m, which cancels nothing
        square = (x - W @ self.mean).square().sum() / noise**2 + self.mean.square().sum()
        log_det = 2 * self.factor.diagonal().log().sum() + 2 * D * math.log(noise)
        log_z = float(-0.5 * (square + log_det + D * LOG_2PI)) + constant
        super().__init__(dim=d, spread=1.0, log_z=log_z, constant=constant)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p, float64 `[...]`, and its gradient `[..., d]`, at latent points."""
        W = self.single if x.dtype == torch.float32 else self.weight
        residual = (self.observed.to(x) - x @ W.T) / self.noise
        square = residual.double().square().sum(-1) + x.double().square().sum(-1)
        count = len(self.observed)
        value = -0.5 * (square + (count + self.dim) * LOG_2PI) - count * math.log(self.noise)
        return self.constant + value, residual @ W / self.noise - x

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws of the posterior, float32 `[n, d]`."""
        xi = torch.randn(self.dim, n, generator=generator, dtype=torch.float64, device=generator.device)
        spread = torch.linalg.solve_triangular(self.factor.T, xi.to(self.mean.device), upper=True)
        return (self.mean[:, None] + spread).T.float().contiguous()


class LinearGaussian(Posterior):
    """The `Posterior` of a decoder with independent weights N(0, 1/d), given an observation drawn from the model.

    Arguments:
        dim: d, latent.
        observed: D.
        noise: s.
        seed: of the decoder, and of the observation.
        constant: declared shift of log p, in nats.
    """

    def __init__(
        self, *, dim: int = 16, observed: int = 64, noise: float = 0.3, seed: int = 0, constant: float = -2.0
    ) -> None:
        W = _normal((observed, dim), seed, "decoder") / math.sqrt(dim)
        x = W @ _normal((dim,), seed, "latent") + noise * _normal((observed,), seed, "noise")
        super().__init__(weight=W, x=x, noise=noise, constant=constant)


def _normal(shape: tuple[int, ...], seed: int, name: str) -> Tensor:
    return torch.randn(shape, generator=stream(seed, name), dtype=torch.float64)

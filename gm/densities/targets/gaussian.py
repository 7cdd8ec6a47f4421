"""Rotated Gaussians: conditioning, and nothing else."""

import math

import torch
from torch import Tensor

from gm import rng
from gm.densities.targets.target import Target

DENSE = 512  # below this dimension one product with the precision matrix is cheaper than two transforms


class RotatedGaussian(Target):
    r"""N(0, Q D Q') with log-spaced variances from condition^(-1/2) to condition^(1/2), times exp(constant):

        log p(x) = constant - (x' Q D^-1 Q' x + log det D + d log 2 pi) / 2,    log Z = constant,

    and log det D = 0. Q = S H: random signs S and the discrete Hartley transform H (orthogonal, its own inverse), in
    O(d log d). Every eigenvector is spread over all coordinates, whose variances are of one size, so that a
    diagonal metric does not help. The variances are paired with the rows of H in random order.

    Everything is computed in float64, whatever the points' type; gradients have the points' type. Rounding a draw to
    float32 moves its log p by less than 2^-25 (condition d)^(1/2) nat (one standard deviation; at condition 1e6 it is
    6e-5 for d = 1000 and 2e-4 for d = 10^4). Evaluating in float32 as well would cost five to eight times as much.

    Reference: R. N. Bracewell, "Discrete Hartley transform" (1983).

    Arguments:
        dim: d, at least 2.
        condition: ratio of the largest to the smallest variance, at least 1.
        rotation: seed of S and of the order of the variances.
        constant: log Z, nats.

    Raises:
        ValueError: dim below 2 or condition below 1.

    Example:
        >>> target = RotatedGaussian(dim=2, condition=100.0)
        >>> round(target(torch.zeros(1, 2)).item(), 4), target.log_z
        (-0.3379, 1.5)
    """

    def __init__(self, *, dim: int, condition: float = 100.0, rotation: int = 0, constant: float = 1.5) -> None:
        if dim < 2 or condition < 1:
            raise ValueError(f"found dim = {dim} and condition = {condition}; expected dim >= 2 and condition >= 1")
        super().__init__(dim=dim, spread=condition**0.25, log_z=float(constant), constant=constant)
        g = rng.stream(rotation, "rotated gaussian", dim)
        self.sign = 1.0 - 2.0 * torch.randint(2, (dim,), generator=g)
        exponent = torch.linspace(-0.5, 0.5, dim, dtype=torch.float64)[torch.randperm(dim, generator=g)]
        self.sd = condition ** (exponent / 2)
        self.precision = self._apply(torch.eye(dim, dtype=torch.float64)) if dim <= DENSE else None

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients `[..., d]` in the type of `x`."""
        y = x.double()
        force = y @ self.precision if self.precision is not None else self._apply(y)
        value = self.constant - ((y * force).sum(-1) + self.dim * math.log(2 * math.pi)) / 2
        return value, -force.to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """x = Q D^1/2 z, float32 `[n, d]`."""
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return (self.sign * hartley(self.sd * z)).float()

    def _apply(self, y: Tensor) -> Tensor:
        """Q D^-1 Q' y, by rows."""
        return self.sign * hartley(hartley(self.sign * y) / self.sd.square())


def hartley(x: Tensor) -> Tensor:
    """(H x)_k = d^(-1/2) sum_j x_j [cos(2 pi jk / d) + sin(2 pi jk / d)] over the last axis; H H = I and H = H'."""
    transform = torch.fft.fft(x, norm="ortho")
    return transform.real - transform.imag

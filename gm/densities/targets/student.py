"""Student-t targets: tails that no Gaussian base covers."""

import math

import torch
from torch import Tensor

from gm.densities.targets.target import Target


class MultivariateT(Target):
    r"""The standard multivariate t with nu degrees of freedom, times exp(constant):

        log p(x) = constant - (nu + d) / 2 log(1 + |x|^2 / nu) + log Gamma((nu + d) / 2) - log Gamma(nu / 2)
                   - d / 2 log(nu pi),    log Z = constant.

    x = z / sqrt(chi^2_nu / nu): one scale for all coordinates, so |x| / sqrt(d) stays random in any dimension. Moments
    of order nu and above are infinite. Importance weights p / q from a Gaussian base are unbounded, and their variance
    is infinite: a standard error computed from them means nothing, whatever it says.

    Arguments:
        dim: d.
        nu: degrees of freedom, a positive integer; 1 is Cauchy.
        constant: log Z, nats.

    Raises:
        ValueError: nu is not a positive integer.

    Example:
        >>> round(MultivariateT(dim=1, nu=1)(torch.zeros(1, 1)).item() + math.log(math.pi), 6)
        1.5
    """

    def __init__(self, *, dim: int = 10, nu: int = 2, constant: float = 1.5) -> None:
        self.nu = _degrees(nu)
        super().__init__(dim=dim, spread=1.0, log_z=float(constant), constant=constant)
        self.shift = constant + _log_constant(nu, dim)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients -(nu + d) x / (nu + |x|^2)."""
        y = x.double()
        square = y.square().sum(-1)
        grad = -(self.nu + self.dim) * y / (self.nu + square)[..., None]
        return self.shift - (self.nu + self.dim) / 2 * torch.log1p(square / self.nu), grad.to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """z / sqrt(chi^2_nu / nu), float32 `[n, d]`; chi^2 is a sum of nu squares."""
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return (z * _inverse_scale((n, 1), self.nu, generator)).float()


class ProductT(Target):
    r"""Independent t coordinates with nu degrees of freedom, times exp(constant):

        log p(x) = constant + sum_i [-(nu + 1) / 2 log(1 + x_i^2 / nu) + log c_nu],    log Z = constant.

    The tails lie along the axes. As for `MultivariateT`, importance weights from a Gaussian base have infinite
    variance.

    Arguments:
        dim: d.
        nu: degrees of freedom, a positive integer; 1 is Cauchy.
        constant: log Z, nats.

    Raises:
        ValueError: nu is not a positive integer.

    Example:
        >>> round(ProductT(dim=2, nu=1)(torch.zeros(1, 2)).item() + 2 * math.log(math.pi), 6)
        1.5
    """

    def __init__(self, *, dim: int = 10, nu: int = 2, constant: float = 1.5) -> None:
        self.nu = _degrees(nu)
        super().__init__(dim=dim, spread=1.0, log_z=float(constant), constant=constant)
        self.shift = constant + dim * _log_constant(nu, 1)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients -(nu + 1) x_i / (nu + x_i^2)."""
        y = x.double()
        square = y.square()
        grad = -(self.nu + 1) * y / (self.nu + square)
        return self.shift - (self.nu + 1) / 2 * torch.log1p(square / self.nu).sum(-1), grad.to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Each coordinate with its own scale: float32 `[n, d]`."""
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return (z * _inverse_scale((n, self.dim), self.nu, generator)).float()


def _degrees(nu: int) -> int:
    if nu < 1 or nu != int(nu):
        raise ValueError(f"found nu = {nu} degrees of freedom; expected a positive integer")
    return int(nu)


def _log_constant(nu: int, d: int) -> float:
    return math.lgamma((nu + d) / 2) - math.lgamma(nu / 2) - d / 2 * math.log(nu * math.pi)


def _inverse_scale(shape: tuple[int, ...], nu: int, generator: torch.Generator) -> Tensor:
    """(chi^2_nu / nu)^(-1/2)."""
    square = torch.zeros(shape, dtype=torch.float64, device=generator.device)
    for _ in range(nu):
        square += torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device).square()
    return (nu / square).sqrt()

"""Thick spherical shells: curvature everywhere, and no mass where the density's symmetry has its centre."""

import math

import torch
from torch import Tensor

from gm.densities.targets.tabulated import Tabulated
from gm.densities.targets.target import Target


class Shell(Target):
    r"""A shell of radius r and width s:

        log p(x) = constant - (|x| - r)^2 / (2 s^2),
        log Z = constant + log(2 pi^(d/2) / Gamma(d / 2)) + log int_0^inf t^(d-1) exp(-(t - r)^2 / (2 s^2)) dt.

    The integral is by quadrature, to 1e-10. The density is highest at |x| = r, but the mass is at the mode of the
    radial law, [r + sqrt(r^2 + 4 (d - 1) s^2)] / 2: it stays a shell of radius r only where s is well below
    r / sqrt(d). A draw is a radius, by its inverse distribution function on a grid (total variation below 1e-7),
    times a uniform direction. At x = 0, where the density has a cone, the gradient is set to 0.

    Arguments:
        dim: d, at least 2.
        radius: r, positive.
        width: s, positive.
        constant: nats; part of log Z.

    Raises:
        ValueError: a parameter out of its range.

    Example:
        >>> target = Shell(dim=3, radius=4.0, width=0.5, constant=0.0)
        >>> exact = 4 * math.pi * math.sqrt(2 * math.pi) * 0.5 * (4.0**2 + 0.5**2)
        >>> abs(target.log_z - math.log(exact)) < 1e-10
        True
    """

    def __init__(self, *, dim: int = 10, radius: float = 5.0, width: float = 0.5, constant: float = 1.5) -> None:
        if dim < 2 or not (radius > 0 and width > 0):
            raise ValueError(
                f"found dim = {dim}, radius = {radius}, width = {width}; expected dim >= 2, radius > 0, width > 0"
            )
        self.radius, self.width = radius, width
        peak = (radius + math.sqrt(radius**2 + 4 * (dim - 1) * width**2)) / 2

        def log_radial(t: Tensor) -> Tensor:
            return (dim - 1) * torch.log(t) - ((t - radius) / width) ** 2 / 2

        # the curvature of the radial log density is at least 1 / s^2, so 12 s hold all but 1e-30 of it
        self.law = Tabulated(log_radial, max(peak - 12 * width, 0.0), peak + 12 * width)
        log_area = math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)
        super().__init__(
            dim=dim,
            spread=math.sqrt((peak**2 + width**2) / dim),
            log_z=constant + log_area + self.law.log_z,
            constant=constant,
        )

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients -(|x| - r) / s^2 x / |x|."""
        y = x.double()
        norm = y.norm(dim=-1)
        value = self.constant - ((norm - self.radius) / self.width) ** 2 / 2
        slope = torch.where(norm > 0, (self.radius / norm - 1) / self.width**2, 0.0)
        return value, (slope[..., None] * y).to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """A radius times a direction, float32 `[n, d]`."""
        radius = self.law.sample((n, 1), generator=generator)
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return (radius * z / z.norm(dim=-1, keepdim=True)).float()

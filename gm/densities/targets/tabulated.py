"""A one-dimensional law on a fine grid: its integral, and draws by the inverse distribution function."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


class Tabulated:
    r"""The law proportional to exp(log f) on [lower, upper], which must hold all but a negligible part of it.

    The mass of each of `cells` cells of width h is found by Gauss-Legendre quadrature with two nodes (error
    O(h^4)); inside a cell a draw follows the line through the ends of the density, whose relative error is
    h^2 f'' / (8 f). With 2^16 cells over 30 standard deviations the total variation from the law is below 1e-7.

    Arguments:
        log_f: elementwise, float64, finite inside the interval; -inf is allowed at its ends.
        lower, upper: the interval.
        cells: number of cells.

    Attributes:
        log_z: log int f, nats.

    Example:
        >>> normal = Tabulated(lambda t: -t * t / 2, -12.0, 12.0)
        >>> abs(normal.log_z - math.log(2 * math.pi) / 2) < 1e-12, round(normal.below(0.0), 12)
        (True, 0.5)
    """

    def __init__(self, log_f: Callable[[Tensor], Tensor], lower: float, upper: float, cells: int = 2**16) -> None:
        self.knots = torch.linspace(lower, upper, cells + 1, dtype=torch.float64)
        h = (upper - lower) / cells
        middle = (self.knots[1:] + self.knots[:-1]) / 2
        nodes = torch.stack([middle - h / math.sqrt(12), middle + h / math.sqrt(12)])
        peak = float(log_f(middle).max())
        mass = torch.exp(log_f(nodes) - peak).mean(0) * h
        total = mass.cumsum(0)
        self.log_z = peak + math.log(float(total[-1]))
        self.density = torch.exp(log_f(self.knots) - peak)
        self.cdf = torch.cat((total.new_zeros(1), total)) / total[-1]

    def below(self, t: float) -> float:
        """P(T <= t) at the knot nearest to t: exact to quadrature where t is a knot."""
        return float(self.cdf[(self.knots - t).abs().argmin()])

    def sample(self, shape: tuple[int, ...], *, generator: torch.Generator) -> Tensor:
        """Independent draws, float64, of any shape."""
        u = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
        knots, density, cdf = (table.to(u.device) for table in (self.knots, self.density, self.cdf))
        k = torch.searchsorted(cdf, u, right=True) - 1  # cdf[k] <= u < cdf[k + 1], as u < 1 = cdf[-1]
        part = (u - cdf[k]) / (cdf[k + 1] - cdf[k])
        a, b = density[k], density[k + 1]
        # the t in [0, 1] with a t + (b - a) t^2 / 2 = part (a + b) / 2, in the form that b = a does not break
        t = part * (a + b) / (a + torch.sqrt(a * a + part * (b * b - a * a)))
        return knots[k] + t * (knots[k + 1] - knots[k])

"""Shells: log Z against scipy and closed forms, radii against their law."""

import math

import numpy as np
import pytest
import torch
from problems import generator, z_score
from scipy.integrate import quad
from scipy.stats import kstest

from gm.densities.targets.shells import Shell


@pytest.mark.parametrize(
    "dim, radius, width", [(2, 5.0, 0.5), (2, 0.5, 1.0), (7, 3.0, 0.1), (30, 5.0, 2.0), (1000, 5.0, 0.1)]
)
def test_log_z_against_adaptive_quadrature(dim: int, radius: float, width: float) -> None:
    peak = (radius + math.sqrt(radius**2 + 4 * (dim - 1) * width**2)) / 2

    def log_radial(t: float) -> float:
        return (dim - 1) * math.log(t / peak) - ((t - radius) / width) ** 2 / 2

    top = log_radial(peak)
    lower, upper = max(peak - 12 * width, 1e-300), peak + 12 * width
    radial = quad(lambda t: math.exp(log_radial(t) - top), lower, upper, points=[peak], epsrel=1e-13, limit=500)[0]
    log_area = math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)
    expected = 1.5 + log_area + top + math.log(radial) + (dim - 1) * math.log(peak)
    assert abs(Shell(dim=dim, radius=radius, width=width).log_z - expected) < 1e-9 * max(1.0, abs(expected))


def test_log_z_in_closed_form() -> None:
    """d = 3: int t^2 exp(-(t - r)^2 / 2 s^2) = sqrt(2 pi) s (r^2 + s^2) but for the missing half-line, below 1e-14."""
    for radius, width in ((4.0, 0.5), (5.0, 0.1)):
        exact = math.log(4 * math.pi * math.sqrt(2 * math.pi) * width * (radius**2 + width**2))
        assert abs(Shell(dim=3, radius=radius, width=width, constant=0.0).log_z - exact) < 1e-10


@pytest.mark.parametrize("dim", [2, 10, 1000])
def test_draws_have_the_radial_law_and_no_direction(dim: int) -> None:
    """KS of the radius at 1e-4; directions by |z| < 5.5 (4e-5 over 1000 coordinates)."""
    target = Shell(dim=dim, radius=5.0, width=0.5)
    x = target.sample(5000, generator=generator(0)).double()
    r = x.norm(dim=-1)
    grid = np.linspace(max(float(r.min()) - 1, 1e-3), float(r.max()) + 1, 20_001)
    log_f = (dim - 1) * np.log(grid) - ((grid - 5) / 0.5) ** 2 / 2
    density = np.exp(log_f - log_f.max())
    cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    assert kstest(r, lambda t: np.interp(t, grid, cdf / cdf[-1])).pvalue > 1e-4
    direction = x / r[:, None]
    assert z_score(direction).abs().max() < 5.5 and z_score(direction.square(), 1 / dim).abs().max() < 5.5
    assert abs(float(r.square().mean()) / (target.spread**2 * dim) - 1) < 0.05


def test_the_centre_has_a_value_and_no_slope() -> None:
    value, grad = Shell(dim=3, radius=2.0, width=1.0, constant=0.0).value_and_grad(torch.zeros(1, 3))
    assert value.item() == -2.0 and torch.equal(grad, torch.zeros(1, 3))

"""Many wells: the published constant, and draws against an independent quadrature."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from problems import generator, z_score
from scipy.integrate import quad
from scipy.stats import kstest

from gm.densities.targets.manywell import ManyWell
from gm.densities.targets.tabulated import Tabulated


def density(a: float) -> float:
    return math.exp(-(a**4) + 6 * a**2 + a / 2)


def test_constant_and_weights_are_the_published_ones() -> None:
    target = ManyWell(dim=32, constant=0.0)
    assert abs(target.log_z - 164.6957) < 5e-5
    right, total = quad(density, 0, 5, epsrel=1e-13)[0], quad(density, -5, 5, epsrel=1e-13, limit=200, points=[0])[0]
    assert abs(total - 11784.50927) < 1e-4 and abs(right / total - 0.8443) < 5e-5
    assert math.isclose(target.mode_weights[1], right / total, rel_tol=1e-10)
    assert math.isclose(target.log_z, 16 * (math.log(total) + math.log(2 * math.pi) / 2), rel_tol=1e-12)
    assert math.isclose(ManyWell(dim=2).log_z - 1.5, target.log_z / 16, rel_tol=1e-12)


def test_draws_follow_the_well() -> None:
    """KS of both coordinates at 1e-4; weight of the right well by |z| < 4 (6e-5); pairs are independent."""
    target = ManyWell(dim=4)
    x = target.sample(20_000, generator=generator(0)).double()
    grid = np.linspace(-4, 4, 2001)
    table = np.cumsum([0.0] + [quad(density, a, b)[0] for a, b in pairwise(grid)])
    for j in (0, 2):
        assert kstest(x[:, j], lambda t: np.interp(t, grid, table / table[-1])).pvalue > 1e-4
        assert kstest(x[:, j + 1], "norm").pvalue > 1e-4
    assert abs(z_score(target.mode(x).double(), target.mode_weights[1])) < 4
    sides = (x[:, [0, 2]] > 0).double() - target.mode_weights[1]
    assert abs(z_score(sides.prod(-1))) < 4
    assert target.mode(torch.tensor([[-1.7, 9.0, 2.0, 2.0], [1.7, -9.0, -2.0, 2.0]])).tolist() == [0, 1]


@pytest.mark.parametrize("shift, scale", [(0.0, 1.0), (3.0, 0.2)])
def test_a_table_has_the_integral_and_the_quantiles(shift: float, scale: float) -> None:
    """Against the normal law on 200 000 draws: KS at 1e-4."""
    law = Tabulated(lambda t: -(((t - shift) / scale) ** 2) / 2 + 700, shift - 12 * scale, shift + 12 * scale)
    assert math.isclose(law.log_z, 700 + math.log(scale) + math.log(2 * math.pi) / 2, abs_tol=1e-11)
    draws = law.sample((400, 500), generator=generator(1))
    assert draws.shape == (400, 500) and kstest((draws.flatten() - shift) / scale, "norm").pvalue > 1e-4


def test_draws_are_a_line_inside_a_cell() -> None:
    """One cell with density 1 + 3 t: F(t) = (t + 1.5 t^2) / 2.5; KS at 1e-4. A flat cell is uniform."""
    slope = Tabulated(lambda t: torch.log(1 + 3 * t), 0.0, 1.0, cells=1).sample((50_000,), generator=generator(2))
    assert kstest(slope, lambda t: (t + 1.5 * t * t) / 2.5).pvalue > 1e-4
    flat = Tabulated(torch.zeros_like, 0.0, 1.0, cells=1).sample((50_000,), generator=generator(3))
    assert kstest(flat, "uniform").pvalue > 1e-4

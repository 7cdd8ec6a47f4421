"""Normalising constants in a hundred and a thousand dimensions, from a log density and a spread alone."""

import math
from functools import partial

import pytest
import torch
from problems import generator
from torch import Tensor

from gm.sampling.hamiltonian import HMC
from gm.sampling.path import Analytic, Geometric
from gm.sampling.sandwich import normaliser
from gm.sampling.whiten import Autoregressive, explore


class Rotated(Analytic):
    """exp(-(x - 1)' P (x - 1) / 2), covariance eigenvalues 1..condition under a random rotation."""

    def __init__(self, d: int, condition: float) -> None:
        Q = torch.linalg.qr(torch.randn(d, d, generator=generator(0), dtype=torch.float64))[0]
        variance = torch.logspace(0, math.log10(condition), d, dtype=torch.float64)
        self.P = ((Q / variance) @ Q.T).float()
        self.log_z = float((2 * math.pi * variance).log().sum() / 2)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grad = (1 - x) @ self.P
        return ((x - 1) * grad).double().sum(-1) / 2, grad


class Phi4(Analytic):
    """exp(-sum (x_i^2 - 1)^2 - 2 sum (x_i - x_{i+1})^2), an open chain of double wells."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        well, slope = x**2 - 1, x.diff(dim=-1)
        value = -(_square(well) + 2 * _square(slope))
        grad = -4 * x * well
        grad[..., :-1].add_(slope, alpha=4)
        grad[..., 1:].sub_(slope, alpha=4)
        return value, grad


def _square(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float64).square()


def transfer(d: int, points: int = 201) -> float:
    """log Z of `Phi4` by the transfer operator on a grid over [-4, 4], where the rest is below 1e-90."""
    x = torch.linspace(-4, 4, points, dtype=torch.float64)
    well = (-((x**2 - 1) ** 2)).exp() * (x[1] - x[0])
    K = well[:, None] * (-2 * (x[:, None] - x) ** 2).exp()
    mass, log_z = well, 0.0
    for _ in range(d - 1):
        mass = K @ mass
        log_z, mass = log_z + float(mass.sum().log()), mass / mass.sum()
    return log_z + float(mass.sum().log())


def test_the_transfer_operator_has_converged() -> None:
    assert transfer(1000) == pytest.approx(-314.320394348878, abs=1e-9)
    assert transfer(1000, 101) == pytest.approx(-314.320394348878, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_a_rotated_normal_of_condition_number_ten_thousand(spread: float) -> None:
    """Within 0.2 nat at d = 100, starts as narrow as its narrowest direction, or as wide as its widest.

    The lower end fails with probability 0.05 over seeds; the seeds are fixed.
    """
    target = Rotated(100, 1e4)
    whitened, _, _ = explore(target, 100, spread, generator=generator(0))
    x0 = torch.randn(32 * 8 + 64, 100, generator=generator(10))
    make = partial(HMC, length=2)
    result = normaliser(
        Geometric(None, whitened),
        x0,
        groups=32,
        chains=8,
        temperatures=200,
        make=make,
        target_accept=0.7,
        generator=generator(20),
    )
    assert abs(result.point - target.log_z) <= 0.2
    assert result.lower <= target.log_z <= result.upper
    assert result.upper - result.lower < 0.5


@pytest.mark.slow
def test_a_phi4_chain_of_a_thousand_sites() -> None:
    """Within 0.2 nat, and an interval at most 1.5 nats wide that contains the truth. The seeds are fixed."""
    target, make = Phi4(), partial(HMC, jitter=0.5)
    short = partial(make, length=4)
    _, x, _ = explore(target, 1000, 1.0, generator=generator(0), chains=128, rounds=1, moves=8, make=short)
    base = Autoregressive.fit(x, 1)
    x0 = base.sample(16 * 4 + 32, generator=generator(10))
    result = normaliser(
        Geometric(base, target),
        x0,
        groups=16,
        chains=4,
        temperatures=1400,
        pilot=32,
        make=partial(make, length=16),
        target_accept=0.8,
        generator=generator(20),
    )
    assert abs(result.point - transfer(1000)) <= 0.2
    assert result.lower <= transfer(1000) <= result.upper
    assert result.upper - result.lower <= 1.5

"""Normalising constants in a hundred to ten thousand dimensions, from a log density and a spread alone.

The recipes are tested in `sampling/test_certified.py`, and their figures printed by `performance/certified.py`.
"""

import math
from functools import partial

import torch
from problems import generator
from torch import Tensor

from gm.sampling.hamiltonian import HMC
from gm.sampling.logz import LogZ
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


def rotated(spread: float, seed: int = 0) -> tuple[LogZ, float]:
    """log Z of `Rotated(100, 1e4)` as found and as it is, from starts of a given spread."""
    target = Rotated(100, 1e4)
    whitened, _, _ = explore(target, 100, spread, generator=generator(seed))
    x0 = torch.randn(32 * 8 + 64, 100, generator=generator(seed + 10))
    found = normaliser(
        Geometric(None, whitened),
        x0,
        groups=32,
        chains=8,
        temperatures=200,
        make=partial(HMC, length=2),
        target_accept=0.7,
        generator=generator(seed + 20),
    )
    return found, target.log_z


def phi4(d: int = 1000, *, temperatures: int = 1400, groups: int = 16, chains: int = 4, seed: int = 0) -> LogZ:
    """log Z of `Phi4` as found: a base of one neighbour's memory fitted to short chains, then annealing."""
    target, make = Phi4(), partial(HMC, jitter=0.5)
    short = partial(make, length=4)
    _, x, _ = explore(target, d, 1.0, generator=generator(seed), chains=128, rounds=1, moves=8, make=short)
    base = Autoregressive.fit(x, 1)
    pilot = min(32, groups * chains)
    return normaliser(
        Geometric(base, target),
        base.sample(groups * chains + pilot, generator=generator(seed + 10)),
        groups=groups,
        chains=chains,
        temperatures=temperatures,
        pilot=pilot,
        make=partial(make, length=16),
        target_accept=0.8,
        generator=generator(seed + 20),
    )

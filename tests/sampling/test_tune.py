import math
from functools import partial

import pytest
import torch
from problems import QuadraticTilt, generator

from gm.sampling.anneal import ais
from gm.sampling.hamiltonian import HMC
from gm.sampling.langevin import MALA
from gm.sampling.path import Geometric
from gm.sampling.tune import tune

PROBLEM = QuadraticTilt(torch.full((32,), 8.0))


@pytest.mark.parametrize(("make", "target"), [(MALA, 0.574), (partial(HMC, length=2), 0.7)])
def test_frozen_steps_accept_as_asked(make, target: float) -> None:
    """Mean acceptance of fresh runs within 0.1 of the target at every temperature after the first tenth."""
    path, g = Geometric.tilted(PROBLEM.tilt), generator(0)
    x0 = torch.randn(64, 32, generator=g)
    plan = tune(path, make, x0, 100, target_accept=target, generator=generator(1))
    runs = ais(path, lambda t: make(path, plan.steps[t]), plan.lams, torch.randn(256, 32, generator=g), generator=g)
    assert max(abs(accept - target) for accept in runs.accept[10:]) < 0.1


def test_temperatures_divide_the_barrier_equally() -> None:
    """sd_lam(V) = sqrt(d / 2) c / (1 + c lam), so Lambda(lam) = sqrt(d / 2) log(1 + c lam)."""
    path = Geometric.tilted(PROBLEM.tilt)
    plan = tune(
        path,
        MALA,
        torch.randn(64, 32, generator=generator(0)),
        50,
        target_accept=0.574,
        generator=generator(1),
    )
    barrier = math.sqrt(16) * math.log(9)
    assert abs(plan.barrier / barrier - 1) < 0.15
    parts = torch.log1p(8 * plan.lams).diff() / math.log(9) * 50
    assert plan.lams[0] == 0 and plan.lams[-1] == 1
    assert parts.min() > 0.5 and parts.max() < 1.6


def test_a_flat_tilt_gets_equal_temperatures() -> None:
    path = Geometric.tilted(lambda x: 0 * x.sum(-1))
    plan = tune(
        path,
        MALA,
        torch.randn(16, 4, generator=generator(0)),
        10,
        target_accept=0.574,
        generator=generator(1),
    )
    torch.testing.assert_close(plan.lams, torch.linspace(0, 1, 11, dtype=torch.float64))
    assert plan.barrier == 0


def test_a_pilot_that_is_not_finite_is_an_error() -> None:
    path = Geometric.tilted(lambda x: x.log().sum(-1))
    with pytest.raises(FloatingPointError, match="not finite in the pilot at temperature 0"):
        tune(path, MALA, torch.zeros(4, 2), 10, target_accept=0.574, generator=generator(0))

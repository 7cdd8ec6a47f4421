import math
from functools import partial

import pytest
import torch
from problems import QuadraticTilt, generator
from torch import Tensor

from gm.sampling.anneal import ais
from gm.sampling.hamiltonian import HMC
from gm.sampling.langevin import MALA, RandomWalk
from gm.sampling.path import Analytic, Geometric
from gm.sampling.tune import choose_length, shrunk_scale, tune

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


class Stretched(Analytic):
    """N(0, diag(sd^2)), normalised."""

    def __init__(self, sd: Tensor) -> None:
        self.sd = sd

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        constant = (self.sd.log() + math.log(2 * math.pi) / 2).sum()
        return -((x / self.sd) ** 2).double().sum(-1) / 2 - constant, -x / self.sd**2


@pytest.mark.parametrize("make", [MALA, RandomWalk, partial(HMC, length=4)])
def test_a_metric_follows_the_widths_along_the_path(make) -> None:
    """Precision (1 - lam) + lam / sd^2. Each of 7 x 4 scales within 30% (five sd of 256 chains): 1e-5."""
    sd = torch.tensor([0.2, 1.0, 3.0, 0.5])
    path = Geometric(None, Stretched(sd))
    x0 = torch.randn(256, 4, generator=generator(0))
    plan = tune(path, make, x0, 6, target_accept=0.5, generator=generator(1), moves=40, metric=True)
    lams = plan.lams[:, None].float()
    expected = ((1 - lams) + lams / sd**2).rsqrt()
    assert plan.scales.shape == (7, 4) and plan.scales.dtype == torch.float32
    assert (plan.scales / expected).log().abs().max() < 0.3


def test_a_metric_pays_on_a_badly_scaled_target() -> None:
    """Without one the step at the target is about the narrowest width; with one it is about one."""
    sd = torch.tensor([0.05, 1.0, 4.0, 0.5])
    path = Geometric(None, Stretched(sd))
    x0 = torch.randn(128, 4, generator=generator(0))
    bare, scaled = (
        tune(path, MALA, x0, 20, target_accept=0.574, generator=generator(1), metric=metric) for metric in (False, True)
    )
    assert bare.scales is None
    assert bare.steps[-1] < 0.15 and scaled.steps[-1] > 0.7


def test_a_scale_shrinks_by_five_draws() -> None:
    """n / (n + 5) of each log variance and 5 / (n + 5) of their mean: with n = 5, half and half."""
    x = torch.tensor([[1.0, 0.1], [-1.0, -0.1], [1.0, 0.1], [-1.0, -0.1], [0.0, 0.0]])
    torch.testing.assert_close(shrunk_scale(x), torch.tensor([10**-0.25, 10**-0.75]))


def test_a_long_trajectory_is_chosen_where_one_direction_is_long() -> None:
    """A quarter of the long period is 38 widths of the short directions."""
    sd = torch.ones(8)
    sd[0] = 24.0
    path = Geometric(None, Stretched(sd))
    state = path.init(sd * torch.randn(512, 8, generator=generator(0)))
    choice = choose_length(path, HMC, state, (1, 4, 16), target_accept=0.7, generator=generator(1))
    assert choice.length == 16
    assert 0 < choice.step < 2 and choice.evals == 2 * 16 * 21 * 512
    assert choice.jumps[0] < choice.jumps[1] < choice.jumps[2]


def test_a_short_trajectory_is_chosen_where_all_directions_are_alike() -> None:
    path = Geometric(None, Stretched(torch.ones(8)))
    state = path.init(torch.randn(512, 8, generator=generator(0)))
    choice = choose_length(path, HMC, state, (1, 4, 16), target_accept=0.7, generator=generator(1))
    assert choice.length == 1
    # a long trajectory jumps about as far, at sixteen times the price
    assert choice.jumps[0] > 6 * choice.jumps[2]


def test_a_choice_needs_lengths() -> None:
    path = Geometric(None, Stretched(torch.ones(2)))
    with pytest.raises(ValueError, match=r"lengths are \(\); expected at least one"):
        choose_length(path, HMC, path.init(torch.zeros(4, 2)), (), target_accept=0.7, generator=generator(0))

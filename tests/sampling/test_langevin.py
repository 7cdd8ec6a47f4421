import math

import pytest
import torch
from problems import QuadraticTilt, generator, z_score
from torch import Tensor

from gm.sampling.chain import run
from gm.sampling.kernels import Noise
from gm.sampling.langevin import MALA, TULA, ULA, RandomWalk
from gm.sampling.path import Analytic, Geometric

GRID = torch.linspace(-6, 6, 241, dtype=torch.float64)


class Double(Analytic):
    """A lopsided double well in one dimension."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (-((x**2 - 2) ** 2) / 4 + x / 3).sum(-1), -x * (x**2 - 2) + 1 / 3


class Quartic(Analytic):
    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return -(x**4).double().sum(-1) / 4, -(x**3)


class Normal(Analytic):
    """N(0, diag(sd^2)), unnormalised."""

    def __init__(self, sd: Tensor) -> None:
        self.sd = sd

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return -((x / self.sd) ** 2).double().sum(-1) / 2, -x / self.sd**2


def moves(kernel: type, target: Analytic, h: float, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Where every pair (x, x') of the grid is a proposed move: log density, log proposal, and the reported Info.

    The noise that leads from x to x' is found from the move without noise, so that no formula is written twice.
    """
    path = Geometric(None, target)
    x, y = (t.reshape(-1, 1) for t in torch.meshgrid(GRID, GRID, indexing="ij"))
    one = torch.ones(len(x), dtype=torch.float64)
    state = path.init(x)
    # v = -1: always accepted, so the state that comes back is the proposal
    still, _ = kernel(path, h, scale)(state, 1.0, Noise(torch.zeros_like(x), -one))
    xi = (y - still.x) / (h * scale)
    end, info = kernel(path, h, scale)(state, 1.0, Noise(xi, -one))
    reached = torch.isclose(end.x, y).all(-1) | (info.accept == 0)
    assert reached.all()
    log_q = (-(xi**2) / 2).squeeze(-1) - math.log(h * scale) - math.log(2 * math.pi) / 2
    table = (len(GRID), len(GRID))
    ratio = info.accept if info.log_ratio is None else info.log_ratio
    return target(GRID[:, None]).double(), log_q.view(table), ratio.view(table)


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("kernel", [RandomWalk, MALA])
def test_detailed_balance_holds_on_a_grid(kernel: type, scale: float) -> None:
    """pi(x) q(x, x') a(x, x') is symmetric, for every pair of 241 points."""
    log_p, log_q, accept = moves(kernel, Double(), 0.8, scale)
    flow = log_p[:, None] + log_q + accept.log()
    seen = flow.maximum(flow.T) > -60
    torch.testing.assert_close(flow[seen], flow.T[seen], rtol=0, atol=1e-8)


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("kernel", [ULA, TULA])
def test_the_reported_ratio_is_that_of_the_transition(kernel: type, scale: float) -> None:
    """log pi(x') K(x', x) / (pi(x) K(x, x')), from the transition density itself, for every pair of 241 points."""
    log_p, log_q, log_ratio = moves(kernel, Double(), 0.4, scale)
    flow = log_p[:, None] + log_q
    torch.testing.assert_close(log_ratio, flow.T - flow, rtol=1e-9, atol=1e-7)
    assert log_ratio.dtype == torch.float64


def stationary_variance(kernel: type, sd: float, h: float) -> float:
    target = Normal(torch.tensor([sd], dtype=torch.float64))
    _, log_q, _ = moves(kernel, target, h)
    K = log_q.exp() / log_q.exp().sum(-1, keepdim=True)
    p = torch.ones_like(GRID) / len(GRID)
    for _ in range(10):
        K = K @ K
    p = p @ K
    return float(p @ GRID**2 - (p @ GRID) ** 2)


@pytest.mark.parametrize(("sd", "h"), [(1.0, 0.3), (1.0, 0.8), (0.7, 0.5)])
def test_ula_has_the_stationary_variance_of_its_docstring(sd: float, h: float) -> None:
    assert stationary_variance(ULA, sd, h) == pytest.approx(sd**2 / (1 - h**2 / (4 * sd**2)), rel=1e-5)


@pytest.mark.parametrize("sd", [1.0, 0.7])
def test_tula_has_the_stationary_variance_of_its_docstring(sd: float) -> None:
    """The remainder is O(h^4): dividing h by two divides it by about sixteen."""
    rest = [
        stationary_variance(TULA, sd, h) - (sd**2 + h**2 / 4 + math.sqrt(2 / math.pi) * sd * h**2) for h in (0.4, 0.2)
    ]
    assert abs(rest[1]) < 0.01 * sd**2
    assert 8 < rest[0] / rest[1] < 32


@pytest.mark.parametrize("kernel", [ULA, TULA])
def test_a_chain_has_the_law_of_the_quadrature(kernel: type) -> None:
    """Variance over 40 000 chains, |z| < 4: false alarm 6e-5; and it is not the target's, by more than 20."""
    path, h = Geometric(None, Normal(torch.ones(1))), 1.0
    state = path.init(torch.randn(40_000, 1, generator=generator(0)))
    state, info = run(kernel(path, h), state, 12, generator=generator(1))
    square = state.x[:, 0].double() ** 2
    assert abs(z_score(square, stationary_variance(kernel, 1.0, h))) < 4
    assert abs(z_score(square, 1.0)) > 20
    assert info.evals == 12 * 40_000 and info.divergent == 0


def test_ula_diverges_on_a_quartic_where_tula_does_not() -> None:
    path = Geometric(None, Quartic())
    state = path.init(torch.full((50, 3), 4.0))
    ula, lost = run(ULA(path, 0.7), state, 50, generator=generator(0))
    tula, info = run(TULA(path, 0.7), state, 50, generator=generator(0))
    assert lost.divergent > 0 and not torch.isfinite(ula.x).any()
    assert info.divergent == 0 and tula.x.abs().max() < 4


class BrokenGradient(Analytic):
    """A flat density whose gradient is lost where x_0 > 0."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(x)), torch.where(x[:, :1] > 0, float("nan"), torch.zeros_like(x))


@pytest.mark.parametrize("kernel", [ULA, TULA])
def test_a_move_without_a_way_back_has_no_weight(kernel: type) -> None:
    """Its density is finite, but not that of the move back: it is taken, counted, and its ratio is not a number."""
    path = Geometric(None, BrokenGradient())
    state = path.init(torch.full((200, 2), -0.5))
    moved, info = kernel(path, 0.9)(state, 0.5, kernel(path, 0.9).noise(state, generator=generator(3)))
    lost = moved.x[:, 0] > 0
    assert 0 < info.divergent == lost.sum() < 200
    assert torch.equal(torch.isfinite(info.log_ratio), ~lost)
    assert (info.accept[lost] == 0).all()


@pytest.mark.parametrize("kernel", [ULA, TULA])
def test_an_unadjusted_kernel_says_that_it_is(kernel: type) -> None:
    assert not kernel.invariant and kernel.weighted


def test_ula_reports_the_acceptance_that_mala_would_have() -> None:
    path = Geometric(None, Double())
    state = path.init(torch.randn(100, 1, generator=generator(0)))
    noise = MALA(path, 0.8).noise(state, generator=generator(1))
    _, adjusted = MALA(path, 0.8)(state, 0.6, noise)
    _, unadjusted = ULA(path, 0.8)(state, 0.6, noise)
    assert torch.equal(adjusted.accept, unadjusted.accept) and adjusted.log_ratio is None
    assert unadjusted.accept.min() < 1


def test_taming_is_by_coordinate_and_at_most_one() -> None:
    path = Geometric(None, Quartic())
    state = path.init(torch.tensor([[10.0, 0.01], [10.0, 5.0]]))
    still = TULA(path, 0.7)(state, 1.0, Noise(torch.zeros(2, 2), None))[0].x - state.x
    assert still.abs().max() < 1
    assert still[0, 0] == still[1, 0]
    assert still[0, 1] == pytest.approx(-(0.7**2) / 2 * 1e-6, rel=1e-2)


@pytest.mark.parametrize("kernel", [RandomWalk, MALA])
def test_a_metric_is_a_change_of_units(kernel: type) -> None:
    """The metric s on N(0, s^2) moves s x as no metric on N(0, I) moves x."""
    s = torch.tensor([0.1, 1.0, 10.0])
    wide, unit = Geometric(Normal(s), Normal(s)), Geometric(Normal(torch.ones(3)), Normal(torch.ones(3)))
    x = torch.randn(500, 3, generator=generator(0))
    noise = MALA(unit, 1.0).noise(unit.init(x), generator=generator(1))
    a, info = kernel(wide, 1.0, s)(wide.init(s * x), 1.0, noise)
    b, expected = kernel(unit, 1.0)(unit.init(x), 1.0, noise)
    torch.testing.assert_close(a.x, s * b.x)
    torch.testing.assert_close(info.accept, expected.accept, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [RandomWalk, MALA])
def test_a_badly_scaled_normal_is_invariant(kernel: type) -> None:
    """Squares and the energy around three moves from 40 000 exact draws. 5 z-scores below 4: false alarm 4e-4."""
    sd = torch.tensor([0.03, 1.0, 30.0, 3.0])
    path, g = Geometric(None, Normal(sd)), generator(3)
    x = sd * torch.randn(40_000, 4, generator=g)
    state, info = run(kernel(path, 0.9, 1.1 * sd), path.init(x), 3, generator=g)
    assert 0.3 < info.accept.mean() < 0.95
    change = torch.cat((state.x**2 - x**2, (state.u - path.init(x).u)[:, 1:]), -1)
    assert z_score(change / torch.cat((sd**2, torch.ones(1)))).abs().max() < 4


def test_a_random_walk_counts_and_rejects() -> None:
    path = Geometric.tilted(QuadraticTilt(torch.tensor([3.0])).tilt)
    state = path.init(torch.zeros(7, 1))
    _, info = run(RandomWalk(path, 2.0), state, 4, generator=generator(0))
    assert info.evals == 28 and info.log_ratio is None
    assert (info.accept < 1).all()

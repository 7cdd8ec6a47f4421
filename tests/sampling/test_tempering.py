import math
from typing import ClassVar, NamedTuple

import pytest
import torch
from problems import LinearTilt, Mixture, QuadraticTilt, generator, z_score
from torch import Tensor

from gm.sampling.bridge import bar, mbar, stepping_stone, thermodynamic_integration, works
from gm.sampling.chain import run
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Info
from gm.sampling.langevin import MALA
from gm.sampling.path import Geometric
from gm.sampling.tempering import exchange, parallel_tempering, swap_probability, tune_ladder

QUADRATIC = QuadraticTilt(torch.tensor([3.0, -0.5, 0.0]))
LINEAR = LinearTilt(torch.tensor([1.2, -0.9]))
FAR = torch.tensor([[4.0, -1.0], [-4.0, 1.0]])
TWO_MODES = Mixture(torch.tensor([0.3, 0.7]), FAR, torch.tensor([0.5, 0.7]), log_z=2.0)
WIDE = Mixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([4.0]))


class Labelled(NamedTuple):
    """A state whose V is whatever it is told to be, and that no move changes."""

    x: Tensor
    V: Tensor


class Told:
    """A path between densities that are given with the points: x = (label, V)."""

    def init(self, x: Tensor) -> Labelled:
        return Labelled(x[..., :1], x[..., 1])

    def log_prob(self, state: Labelled, lam: float | Tensor) -> Tensor:
        return lam * state.V.double()


class Still:
    """The kernel that does nothing, which leaves everything invariant."""

    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False

    def noise(self, state: Labelled, *, generator: torch.Generator) -> None:
        return None

    def __call__(self, state: Labelled, lam: Tensor, noise: None) -> tuple[Labelled, Info]:
        return state, Info(torch.ones_like(state.V), 0, 0)


def linear(T: int) -> Tensor:
    return torch.linspace(0, 1, T + 1, dtype=torch.float64)


def exact_starts(problem, lams: Tensor, R: int, seed: int) -> Tensor:
    g = generator(seed)
    return torch.stack([problem.sample(R, float(lam), generator=g) for lam in lams], 1)


def labels(V: Tensor) -> Tensor:
    """Starts `[1, T + 1, 2]` with the rung as label."""
    return torch.stack((torch.arange(len(V), dtype=V.dtype), V), -1)[None]


def test_even_pairs_swap_in_even_rounds_and_odd_ones_in_odd_rounds() -> None:
    """Where V is flat every proposed swap is made, so the order of the proposals can be read off."""
    expected = [[1, 0, 3, 2, 4], [1, 3, 0, 4, 2], [3, 1, 4, 0, 2], [3, 4, 1, 2, 0]]
    for n, order in enumerate(expected, 1):
        run = parallel_tempering(Told(), Still(), linear(4), labels(torch.zeros(5)), n, generator=generator(0))
        assert run.state.x[0, :, 0].tolist() == order
        assert run.swap.tolist() == [1.0] * 4


def test_round_trips_are_counted_exactly() -> None:
    """Without rejections each walker goes around in 2 (T + 1) rounds; compared with a count over the walkers' paths."""
    T, rounds = 3, 61
    seen, trips = {0: 1}, 0
    for n in range(1, rounds + 1):
        run = parallel_tempering(Told(), Still(), linear(T), labels(torch.zeros(T + 1)), n, generator=generator(0))
        order = run.state.x[0, :, 0].long().tolist()
        trips += seen.get(order[0]) == 2
        seen[order[0]] = 1
        if order[-1] in seen:
            seen[order[-1]] = 2
        assert run.trips.tolist() == [trips]
    assert trips >= (rounds // (2 * (T + 1)) - 1) * (T + 1)


def test_a_swap_is_the_ratio_of_the_product_laws() -> None:
    lams, V = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64), torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    here = float((lams * V).sum())
    for t, order in enumerate(([1, 0, 2], [0, 2, 1])):
        there = float((lams * V[order]).sum())
        assert swap_probability(V, lams)[t] == pytest.approx(min(1.0, math.exp(there - here)))
        assert exchange(torch.arange(2) == t).tolist() == order
    assert swap_probability(torch.tensor([math.nan, 0.0, -math.inf]), lams).tolist() == [0.0, 0.0]


def test_a_certain_swap_is_made_and_an_impossible_one_is_not() -> None:
    V = torch.tensor([1e4, 0.0, 0.0, 1e4])
    run = parallel_tempering(Told(), Still(), linear(3), labels(V), 1, generator=generator(0))
    assert run.state.x[0, :, 0].tolist() == [1, 0, 2, 3]
    assert run.state.V[0].tolist() == [0.0, 1e4, 0.0, 1e4]


def test_round_trips_are_as_frequent_as_even_odd_swaps_make_them() -> None:
    """With independent moves, V ~ N(lam s^2, s^2), a ladder makes 1 / (2 + 2 sum_t r_t / (1 - r_t)) trips a round.

    64 ladders, rounds 400 to 1600 of one stream: a z-score below 4.5, 7e-6. A random parity would make a quarter."""
    T, s, lams = 8, 2.0, linear(8)

    class Perfect(Still):
        def noise(self, state: Labelled, *, generator: torch.Generator) -> Tensor:
            return torch.randn(state.V.shape, generator=generator)

        def __call__(self, state: Labelled, lam: Tensor, noise: Tensor) -> tuple[Labelled, Info]:
            return Labelled(state.x, lam * s**2 + s * noise), Info(torch.ones_like(noise), noise.numel(), 0)

    start, run = (
        parallel_tempering(Told(), Perfect(), lams, torch.zeros(64, T + 1, 2), rounds, generator=generator(21))
        for rounds in (400, 1600)
    )
    assert torch.equal(run.V[:, :400], start.V)
    r = torch.erf(s * lams.diff() / 2)
    assert ((1 - run.swap) - r).abs().max() < 0.01
    rate = 1 / (2 + 2 * float((r / (1 - r)).sum()))
    assert abs(z_score((run.trips - start.trips) / 1200, rate)) < 4.5


@pytest.mark.parametrize("make", [MALA, lambda path, h: HMC(path, h, length=2)], ids=["mala", "hmc"])
def test_the_product_of_the_rungs_laws_is_invariant(make) -> None:
    """Exact starts at every rung, five rounds: paired moments of each rung and of neighbours together, and V.

    4 rungs with 10 statistics and 3 pairs with 3: 49 z-scores below 5: false alarm 3e-5."""
    lams, steps = linear(3) ** 1.5, torch.tensor([1.2, 1.0, 0.8, 0.7])
    path = Geometric.tilted(QUADRATIC.tilt)
    x = exact_starts(QUADRATIC, lams, 20_000, 1)
    run = parallel_tempering(path, make(path, steps), lams, x, 5, generator=generator(2))
    assert float(run.swap.min()) > 0.4 and float(run.accept.min()) > 0.4

    def statistics(x: Tensor) -> Tensor:
        rungs = torch.cat((x, x**2, x**3, QUADRATIC.tilt(x)[..., None]), -1).flatten(1)
        return torch.cat((rungs, (x[:, 1:] ** 2 * x[:, :-1] ** 2).flatten(1)), -1)

    assert z_score(statistics(run.state.x) - statistics(x)).abs().max() < 5
    fresh = exact_starts(QUADRATIC, lams, 20_000, 3)
    assert z_score(run.V[:, -1] + QUADRATIC.tilt(fresh).double()).abs().max() < 5


def test_the_state_after_a_swap_is_whole() -> None:
    """Densities and gradients travel with their points."""
    path, lams = Geometric.tilted(QUADRATIC.tilt), linear(4)
    run = parallel_tempering(path, MALA(path, 0.8), lams, torch.randn(16, 5, 3, generator=generator(4)), 7,
                             generator=generator(5))  # fmt: skip
    again = path.init(run.state.x)
    for kept, fresh in zip(run.state, again, strict=True):
        torch.testing.assert_close(kept, fresh)


def test_swap_acceptance_is_that_of_gaussian_works() -> None:
    """V ~ N(lam s^2, s^2) with s = |a|: acceptance 2 Phi(-s gap / sqrt 2). From 8000 exact starts, one round of moves.

    Four z-scores of bounded variables below 4.5: false alarm 3e-5."""
    lams = torch.tensor([0.0, 0.1, 0.35, 0.6, 1.0], dtype=torch.float64)
    path = Geometric.tilted(LINEAR.tilt)
    x = exact_starts(LINEAR, lams, 8000, 6)
    run = parallel_tempering(path, MALA(path, 0.7), lams, x, 1, generator=generator(7))
    s = math.sqrt(2 * LINEAR.log_z)
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = 2 * normal.cdf(-s * lams.diff() / math.sqrt(2))
    probability = swap_probability(run.V[:, 0], lams)
    torch.testing.assert_close(run.swap, probability.mean(0))
    assert z_score(probability, expected).abs().max() < 4.5


def test_both_modes_get_their_weights_where_a_chain_is_stuck() -> None:
    """All walkers start in the small mode. Its weight at the target over 48 replicas: a z-score below 4, 2e-4."""
    path, lams = Geometric(WIDE.log_prob, TWO_MODES.log_prob), linear(7) ** 2
    steps = 2.0 * (1 - lams) ** 2 + 0.5
    kernel = MALA(path, steps)
    x0 = FAR[0].expand(48, 8, 2)
    burnt = parallel_tempering(path, kernel, lams, x0, 200, generator=generator(8))
    state, weight = burnt.state, []
    g = generator(9)
    for _ in range(30):
        ladder = parallel_tempering(path, kernel, lams, state.x, 10, generator=g)
        state = ladder.state
        weight.append((state.x[:, -1, 0] > 0).double())
    assert burnt.trips.sum() > 48
    assert abs(z_score(torch.stack(weight).mean(0), 0.3)) < 4
    stuck, _ = run(MALA(path, 0.5), path.init(x0[:, -1]), 500, generator=generator(10))
    assert (stuck.x[:, 0] > 0).all()


def test_replicas_do_not_mix() -> None:
    path, lams = Geometric.tilted(QUADRATIC.tilt), linear(3)
    x = torch.randn(6, 4, 3, generator=generator(11))
    moved = x.clone()
    moved[2] += 1.0
    here, there = (
        parallel_tempering(path, MALA(path, 0.8), lams, start, 20, generator=generator(12)) for start in (x, moved)
    )
    others = torch.tensor([0, 1, 3, 4, 5])
    assert torch.equal(here.V[others], there.V[others]) and not torch.equal(here.V[2], there.V[2])
    assert torch.equal(here.state.x[others], there.state.x[others])


def test_evaluations_are_counted_and_swaps_are_free() -> None:
    calls = 0

    def tilt(x: Tensor) -> Tensor:
        nonlocal calls
        calls += x[..., 0].numel()
        return QUADRATIC.tilt(x)

    path = Geometric.tilted(tilt)
    rounds = []
    run = parallel_tempering(
        path, MALA(path, 0.8), linear(3), torch.zeros(5, 4, 3), 6, generator=generator(13),
        log=lambda n, total: rounds.append((n, total)),
    )  # fmt: skip
    assert run.evals == calls == 5 * 4 * 7
    assert rounds == [(n, 6) for n in range(1, 7)]
    assert run.V.shape == (5, 6, 4) and run.V.dtype == torch.float64
    again = parallel_tempering(path, MALA(path, 0.8), linear(3), torch.zeros(5, 4, 3), 6, generator=generator(13))
    assert torch.equal(run.V, again.V)


def test_the_pilot_equalises_rejections_and_measures_the_barrier() -> None:
    """V ~ N(lam s^2, s^2): T equal gaps reject T erf(s / 2T) in sum, s / sqrt pi in the limit.

    The quadratic path has unequal variance. Rejections measured on a run of their own, 64 x 400 swaps a pair: within
    0.03 of their mean, some five standard errors of pilot and run together."""
    path, T = Geometric.tilted(LINEAR.tilt), 4
    ladder = tune_ladder(path, MALA, torch.randn(64, 2, generator=generator(14)), T, target_accept=0.574,
                         generator=generator(15))  # fmt: skip
    s = math.sqrt(2 * LINEAR.log_z)
    exact = T * math.erf(s / T / 2)
    assert ladder.barrier == pytest.approx(exact, rel=0.05)
    assert exact < s / math.sqrt(math.pi) < 1.05 * exact
    steep = QuadraticTilt(torch.full((4,), 60.0))
    path = Geometric.tilted(steep.tilt)
    x0 = torch.randn(64, 4, generator=generator(16))
    ladder = tune_ladder(path, MALA, x0, 6, target_accept=0.574, generator=generator(17))
    run = parallel_tempering(path, MALA(path, ladder.steps), ladder.lams, ladder.x, 400, generator=generator(18))
    reject = 1 - run.swap
    assert (reject - reject.mean()).abs().max() < 0.03
    assert (run.accept - 0.574).abs().max() < 0.1
    assert ladder.lams[1] < 0.05 and ladder.lams[0] == 0 and ladder.lams[-1] == 1


def test_the_estimators_agree_on_a_tempered_run() -> None:
    """Points within 4.5 standard errors over 32 replicas (Student-t, four estimates): false alarm 4e-4, seeds fixed."""
    lams, path = linear(5) ** 1.5, Geometric.tilted(QUADRATIC.tilt)
    run = parallel_tempering(path, MALA(path, torch.linspace(1.3, 0.8, 6)), lams, exact_starts(QUADRATIC, lams, 32, 19),
                             300, generator=generator(20))  # fmt: skip
    bracket = thermodynamic_integration(run.V, lams)
    assert bracket.lower < QUADRATIC.log_z < bracket.upper
    for result in (stepping_stone(run.V, lams), bar(*works(run.V, lams)), mbar(run.V, lams)):
        assert abs(result.point - QUADRATIC.log_z) < 4.5 * result.se
        assert 0.05 < result.ess < 1


def test_malformed_ladders_are_refused() -> None:
    path, x = Geometric.tilted(QUADRATIC.tilt), torch.zeros(2, 4, 3)
    kernel = MALA(path, 0.5)
    with pytest.raises(ValueError, match="expected an increase from 0 to 1"):
        parallel_tempering(path, kernel, linear(3).flip(0), x, 1, generator=generator(0))
    with pytest.raises(ValueError, match="4 temperatures, d"):
        parallel_tempering(path, kernel, linear(3), x[:, :3], 1, generator=generator(0))
    with pytest.raises(ValueError, match="expected at least 1"):
        parallel_tempering(path, kernel, linear(3), x, 0, generator=generator(0))

    class Biased(Still):
        invariant: ClassVar[bool] = False

    with pytest.raises(ValueError, match="Biased says invariant=False"):
        parallel_tempering(Told(), Biased(), linear(3), x[..., :2], 1, generator=generator(0))


def test_what_a_watcher_sees_is_the_ladder_after_every_swap() -> None:
    path, lams, seen = Geometric.tilted(lambda x: -x.sum(-1)), torch.linspace(0, 1, 4), []
    run = parallel_tempering(
        path, MALA(path, 1.0), lams, torch.zeros(2, 4, 2), 5, watch=seen.append, generator=generator(0)
    )
    assert len(seen) == 5 and torch.equal(seen[-1].x, run.state.x)

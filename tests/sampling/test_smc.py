import math

import pytest
import torch
from problems import LinearTilt, Mixture, QuadraticTilt, generator, z_score

from gm.sampling.langevin import MALA
from gm.sampling.logz import certify, one_sided
from gm.sampling.path import Geometric
from gm.sampling.smc import Islands, ess_schedule, systematic, waste_free

LAMS = torch.tensor([0.0, 0.15, 0.4, 0.7, 1.0], dtype=torch.float64)
STEPS = [9.9, 1.5, 1.1, 0.8, 9.9]


def _run(problem, islands: int, particles: int, chains: int, seed: int) -> Islands:
    path, g, d = Geometric.tilted(problem.tilt), generator(seed), len(getattr(problem, "c", getattr(problem, "a", [])))
    x0 = torch.randn(islands, particles, d, generator=g)
    return waste_free(path, lambda t: MALA(path, STEPS[t]), LAMS, x0, chains=chains, generator=g)


@pytest.mark.parametrize(("particles", "chains"), [(8, 4), (24, 3)])
def test_the_estimate_is_unbiased_for_few_particles(particles: int, chains: int) -> None:
    """E[Zhat] = Z / Z_0 over 6000 islands with weights below 1; |z| < 4: false alarm 6e-5."""
    problem = QuadraticTilt(torch.tensor([6.0, 3.0, 1.0]))
    islands = _run(problem, 6000, particles, chains, 0)
    assert islands.log_z.max() <= 0
    assert z_score(islands.log_z.exp(), math.exp(problem.log_z)).abs() < 4


def test_a_steep_asymmetric_tilt_is_unbiased_too() -> None:
    """A shift of 1.5 sd, so that resampling must favour the right side; 4000 islands; |z| < 4: false alarm 6e-5."""
    problem = LinearTilt(torch.tensor([1.2, -0.9]))
    islands = _run(problem, 4000, 32, 8, 1)
    assert z_score(islands.log_z.exp(), math.exp(problem.log_z)).abs() < 4


def test_the_standard_error_of_one_run_is_that_between_runs() -> None:
    """400 islands of 16 chains by 16 states: the variance ratio is within 30 % of one.

    The variance between islands is known to 7 %, so that 30 % is 4 standard deviations."""
    islands = _run(QuadraticTilt(torch.tensor([6.0, 3.0, 1.0])), 400, 256, 16, 2)
    assert 0.7 < float(islands.se.square().mean() / islands.log_z.var()) < 1.3


def test_islands_certify_a_lower_end() -> None:
    """400 replicates of 8 islands: failures at most 37, P(Binomial(400, 0.05) > 37) < 2e-4."""
    problem = QuadraticTilt(torch.tensor([6.0, 3.0, 1.0]))
    islands = _run(problem, 3200, 16, 4, 3)
    replicates = islands.log_z.view(400, 8, 1)
    assert sum(certify(log_z, 0.05) > problem.log_z for log_z in replicates) <= 37
    log_z = one_sided(replicates[0], 0.05, evals={"gradient": islands.evals})
    assert log_z.kinds == ("certified", "heuristic")


def test_weighted_particles_stand_for_the_target() -> None:
    """E[x] = a and E|x - a|^2 = d over 200 islands; |z| < 4.4 on 3 means, with their bias far below: alarm 4e-5."""
    problem = LinearTilt(torch.tensor([1.2, -0.9]))
    islands = _run(problem, 200, 512, 32, 4)
    w = islands.log_w.softmax(1)[..., None]
    mean = (w * islands.state.x).sum(1)
    square = (w * (islands.state.x - problem.a).square()).sum((1, 2))
    assert z_score(mean, problem.a).abs().max() < 4.4
    assert z_score(square, 2.0).abs() < 4.4
    assert islands.state.x.shape == (200, 512, 2) and islands.log_w.shape == (200, 512)


def test_no_state_is_wasted() -> None:
    """Every block of P states is one chain: it starts at a survivor, and its states are neighbours in time."""
    problem = LinearTilt(torch.tensor([0.5]))
    path, g = Geometric.tilted(problem.tilt), generator(5)
    x0 = torch.randn(2, 12, 1, generator=g)
    lams = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    islands = waste_free(path, lambda t: MALA(path, 1e-4), lams, x0, chains=3, generator=g)
    blocks = islands.state.x.view(2, 3, 4)
    assert (blocks.std(2) < 1e-3).all()
    for island in range(2):
        assert all((x0[island, :, 0] == start).any() for start in blocks[island, :, 0])


def test_systematic_resampling_copies_each_index_its_share() -> None:
    """Counts are floor or ceil of n w, on average n w: 20 000 rows, |z| < 4.5 on 5 indices: false alarm 4e-5."""
    w = torch.tensor([0.07, 0.41, 0.0, 0.22, 0.05, 0.25], dtype=torch.float64)
    keep = systematic(w.log().expand(20_000, 6), 7, generator=generator(6))
    counts = torch.nn.functional.one_hot(keep, 6).sum(1)
    assert ((counts >= (7 * w).floor()) & (counts <= (7 * w).ceil())).all()
    assert z_score(counts[:, w > 0], 7 * w[w > 0]).abs().max() < 4.5


def test_systematic_resampling_keeps_to_its_row() -> None:
    log_w = torch.full((3, 4), -math.inf)
    log_w[torch.arange(3), torch.tensor([2, 0, 3])] = 5.0
    assert systematic(log_w, 2, generator=generator(0)).tolist() == [[2, 2], [0, 0], [3, 3]]


def test_islands_share_nothing_but_the_generator() -> None:
    path = Geometric.tilted(QuadraticTilt(torch.tensor([2.0])).tilt)
    x0 = torch.randn(3, 16, 1, generator=generator(0))
    other = x0.clone()
    other[0] += 1
    one, two, again = (
        waste_free(path, lambda t: MALA(path, 1.0), LAMS, x, chains=4, generator=generator(7)) for x in (x0, other, x0)
    )
    assert torch.equal(one.log_z[1:], two.log_z[1:]) and one.log_z[0] != two.log_z[0]
    assert torch.equal(one.log_z, again.log_z) and torch.equal(one.state.x, again.state.x)


def test_the_pilots_first_temperature_keeps_half_the_weights() -> None:
    """On a linear tilt ESS = exp(-lam^2 |a|^2), so lam_1 = sqrt(ln 2) / |a|; 20 000 rows, 5 % is 4 sd. Seed fixed."""
    a = torch.tensor([2.0, -1.0])
    path, g = Geometric.tilted(LinearTilt(a).tilt), generator(8)
    plan = ess_schedule(path, MALA, torch.randn(20_000, 2, generator=g), target_accept=0.574, generator=g, moves=4)
    lams = plan.lams.tolist()
    assert lams[1] == pytest.approx(math.sqrt(math.log(2)) / math.sqrt(5), rel=0.05)
    assert lams[0] == 0 and lams[-1] == 1 and len(plan.steps) == len(lams) == 4
    assert plan.evals == 20_000 * (1 + 4 * 3)


def test_a_pilot_then_frozen_islands() -> None:
    """From pilot to a certified end 64 dimensions up; the end fails at 5 %, the point at |z| < 4. Seed fixed."""
    problem = QuadraticTilt(torch.linspace(-0.5, 4.0, 64))
    path, pilot, g = Geometric.tilted(problem.tilt), generator(9), generator(10)
    plan = ess_schedule(path, MALA, torch.randn(256, 64, generator=pilot), target_accept=0.574, generator=pilot)
    x0 = torch.randn(16, 512, 64, generator=g)
    islands = waste_free(path, lambda t: MALA(path, plan.steps[t]), plan.lams, x0, chains=32, generator=g)
    log_z = one_sided(islands.log_z[:, None], 0.05)
    assert log_z.lower <= problem.log_z
    assert abs(log_z.point - problem.log_z) < 4 * log_z.se < 1
    assert all(0.35 < ess < 0.65 for ess in islands.ess[:-1])


def test_a_mixture_narrower_than_the_base_is_unbiased() -> None:
    """Two unequal modes, weights bounded by the base's tail; 3000 islands; |z| < 4: false alarm 6e-5."""
    problem = Mixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([0.4, 0.6]), 1.3)
    path, g = Geometric(None, problem.log_prob), generator(11)
    x0 = torch.randn(3000, 32, 2, generator=g)
    islands = waste_free(path, lambda t: MALA(path, STEPS[t] / 2), LAMS, x0, chains=8, generator=g)
    assert z_score(islands.log_z.exp(), math.exp(problem.log_z)).abs() < 4


def test_evaluations_are_counted_and_progress_is_told() -> None:
    calls, told, visited = [], [], []

    def tilt(x: torch.Tensor) -> torch.Tensor:
        calls.append(x.shape[:-1].numel())
        return x.sum(-1)

    path = Geometric.tilted(tilt)

    def kernel_at(t: int) -> MALA:
        visited.append(t)
        return MALA(path, 0.5)

    x0 = torch.randn(3, 12, 2, generator=generator(0))
    islands = waste_free(
        path, kernel_at, LAMS, x0, chains=4, generator=generator(0), log=lambda *pair: told.append(pair)
    )
    assert islands.evals == sum(calls) == 3 * (12 + 3 * 4 * 2)
    assert visited == [1, 2, 3] and len(islands.accept) == 3 and len(islands.ess) == 4
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_errors_say_what_was_expected() -> None:
    class ULA(MALA):
        invariant = False

    path, x0 = Geometric.tilted(lambda x: x.sum(-1)), torch.zeros(2, 8, 1)
    g = generator(0)
    with pytest.raises(ValueError, match=r"ULA at temperature 0.15 says invariant=False.*no bound on log Z"):
        waste_free(path, lambda t: ULA(path, 0.1), LAMS, x0, chains=4, generator=g)
    for chains in (1, 3, 8):
        with pytest.raises(ValueError, match=rf"8 particles in {chains} chains; expected at least 2 chains"):
            waste_free(path, lambda t: MALA(path, 0.1), LAMS, x0, chains=chains, generator=g)
    with pytest.raises(ValueError, match="expected an increase from 0 to 1"):
        waste_free(path, lambda t: MALA(path, 0.1), LAMS.flip(0), x0, chains=4, generator=g)
    with pytest.raises(FloatingPointError, match=r"16 of 16 annealing weights are not finite at temperature 0.15"):
        bad = Geometric.tilted(lambda x: x.log().sum(-1))
        waste_free(bad, lambda t: MALA(bad, 0.1), LAMS, x0 - 1, chains=4, generator=g)
    with pytest.raises(ValueError, match=r"effective size 1.5; expected a fraction"):
        ess_schedule(path, MALA, x0[0], target_accept=0.5, generator=g, ess=1.5)

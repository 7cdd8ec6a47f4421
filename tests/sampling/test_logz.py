import math
import re
from functools import partial

import pytest
import torch
from problems import LinearTilt, Mixture, QuadraticTilt, generator

from gm.sampling.anneal import ais
from gm.sampling.groups import predict_variance, split
from gm.sampling.hamiltonian import HMC
from gm.sampling.langevin import MALA
from gm.sampling.logz import LogZ, certify, effective_size, estimate, one_sided
from gm.sampling.path import Geometric
from gm.sampling.sandwich import normaliser, sandwich

TILTS = {
    "linear": LinearTilt(torch.linspace(-0.6, 0.6, 64)),
    "quadratic": QuadraticTilt(torch.linspace(-0.5, 4.0, 64)),
}


def _normaliser(tilt, seed: int, **settings) -> LogZ:
    g = generator(seed)
    path = Geometric.tilted(tilt)
    settings = {"temperatures": 150, **settings}
    return normaliser(path, torch.randn(320, 64, generator=g), generator=g, **settings)


@pytest.mark.parametrize("name", TILTS)
@pytest.mark.parametrize("make", [MALA, partial(HMC, length=2)])
def test_the_interval_contains_log_z_in_64_dimensions(name: str, make) -> None:
    """The lower end fails at 5 %, seeds fixed; the point lies within 4 standard errors: false alarm 6e-5."""
    problem = TILTS[name]
    log_z = _normaliser(problem.tilt, 0, make=make)
    assert log_z.kinds == ("certified", "heuristic") and log_z.alpha == 0.05
    assert log_z.lower <= problem.log_z <= log_z.upper
    assert abs(log_z.point - problem.log_z) < 4 * log_z.se
    assert log_z.ess > 0.1 and "FAILED" not in log_z.note
    assert log_z.upper - log_z.lower < 1


def test_ends_and_errors_hold_at_their_level() -> None:
    """400 replicates with R = 32, M = 8, alpha = 0.05 as the benchmark uses them, annealed at once.

    The certified end fails at most 37 times: P(Binomial(400, 0.05) > 37) < 2e-4. Point +- 2.04 se (Student-t,
    31 degrees of freedom) misses at most 37 times, where delta-method bias is small.
    """
    problem, g = QuadraticTilt(torch.tensor([3.0, 1.5])), generator(5)
    path, lams = Geometric.tilted(problem.tilt), torch.linspace(0, 1, 5, dtype=torch.float64)
    runs = ais(path, lambda t: MALA(path, 1.0), lams, torch.randn(400 * 256, 2, generator=g), generator=g)
    replicates = runs.log_w.view(400, 32, 8)
    assert sum(certify(log_w, 0.05) > problem.log_z for log_w in replicates) <= 37
    misses = 0
    for log_w in replicates:
        point, se = estimate(log_w)
        misses += abs(point - problem.log_z) > 2.04 * se
    assert misses <= 37


def test_the_certificate_is_sharp_for_heavy_weights() -> None:
    """Weights of 1 / p with probability p attain Markov's bound for one group: failures are near alpha, not zero.

    20 000 replicates of R = 1, M = 1, p slightly below alpha: failures within 5 sd of p, and so above alpha / 2."""
    alpha = 0.05
    p = 0.999 * alpha
    hit = torch.rand(20_000, generator=generator(6), dtype=torch.float64) < p
    log_w = torch.where(hit, -math.log(p), -1e9)[:, None, None]
    failures = sum(certify(row, alpha) > 0 for row in log_w) / len(log_w)
    assert abs(failures - p) < 5 * math.sqrt(p / len(log_w))


def test_a_certificate_averages_within_and_takes_logs_between_groups() -> None:
    log_w = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), math.log(4.0)]])
    assert certify(log_w, 0.1) == pytest.approx((math.log(2) + math.log(4)) / 2 - math.log(10) / 2, abs=1e-6)
    assert effective_size(torch.tensor([[0.0, -1e9], [-1e9, -1e9]])) == pytest.approx(0.25)


def test_a_missed_mode_leaves_the_lower_end_valid_and_the_upper_end_heuristic() -> None:
    """Chains from the base never see nine tenths of the mass: the certified end still holds, the other does not."""
    far = torch.zeros(2, 10)
    far[1] = 12.0
    problem, g = Mixture(torch.tensor([0.1, 0.9]), far, torch.ones(2)), generator(7)
    path = Geometric(None, problem.log_prob)
    log_z = normaliser(path, torch.randn(320, 10, generator=g), temperatures=50, generator=g)
    assert log_z.lower <= 0
    assert log_z.upper < 0
    assert log_z.kinds == ("certified", "heuristic") and "started from chains" in log_z.note


def test_an_exact_value_has_no_width() -> None:
    log_z = LogZ.exact(-314.3)
    assert log_z.lower == log_z.upper == log_z.point == -314.3
    assert log_z.kinds == ("exact", "exact") and log_z.se == 0 == log_z.alpha


def test_weights_alone_certify_one_end_only() -> None:
    log_w = 0.3 * torch.randn(32, 8, generator=generator(9), dtype=torch.float64)
    log_z = one_sided(log_w, 0.05, evals={"gradient": 7})
    assert log_z.kinds == ("certified", "heuristic") and log_z.evals == {"gradient": 7}
    assert log_z.lower == certify(log_w, 0.05) < log_z.point < log_z.upper
    assert log_z.upper == pytest.approx(log_z.point + 2.0395 * log_z.se, rel=1e-4)  # Student's 97.5 %, 31 degrees


def test_a_heavy_tail_is_said() -> None:
    """Weights u^-1.5 have no mean; those of a narrow log-normal have all moments. Seeds fixed."""
    u = torch.rand(32, 8, generator=generator(10), dtype=torch.float64)
    assert "(gate: below 0.7), FAILED" in one_sided(-1.5 * u.log(), 0.05).note
    assert "(gate: below 0.7)" in one_sided(0.2 * u, 0.05).note and "FAILED" not in one_sided(0.2 * u, 0.05).note


def test_origins_that_disagree_are_shown_and_the_upper_end_covers_the_larger() -> None:
    """Ends near 0 and near 2 with standard errors of .02: both are named, neither is averaged away."""
    g = generator(11)
    forward, data, noise = (0.1 * torch.randn(n, 8, generator=g, dtype=torch.float64) for n in (32, 16, 16))
    apart = sandwich(forward, data - 2, 0.05, noise=noise)
    assert apart.upper > 1.9 and "within 3 standard errors), FAILED" in apart.note and apart.kinds[1] == "heuristic"
    assert sandwich(forward, noise, 0.05, noise=data - 2).upper == apart.upper
    together = sandwich(forward, data, 0.05, noise=noise)
    assert "FAILED" not in together.note
    assert together.upper == sandwich(forward, torch.cat((data, noise)), 0.05).upper


@pytest.mark.parametrize("variance", [0.02, 0.3, 1.0, 4.0])
def test_the_split_is_close_to_the_best_for_log_normal_weights(variance: float) -> None:
    """The mean end over 200 replicates is within a tenth of the best power of two's; common numbers, seed fixed."""
    log_w = math.sqrt(variance) * torch.randn(200, 256, generator=generator(12), dtype=torch.float64) - variance / 2
    ends = {}
    for R in (256, 128, 64, 32, 16, 8):
        means = log_w.view(200, R, -1).logsumexp(2) - math.log(256 // R)
        ends[R] = float(means.mean()) - math.log(20) / R
    R, M = split(256, variance, 0.05)
    assert R * M == 256
    assert ends[R] > 1.1 * max(ends.values())


def test_the_pilot_predicts_the_spread_of_the_estimate() -> None:
    """From an eighth of the temperatures, within a factor of 2; 64 against 1024 runs, seeds fixed."""
    problem, g = TILTS["quadratic"], generator(13)
    path, lams = Geometric.tilted(problem.tilt), torch.linspace(0, 1, 161, dtype=torch.float64)

    def kernel_at(t: int) -> MALA:
        return MALA(path, 0.6)

    predicted, evals = predict_variance(path, kernel_at, lams, torch.randn(64, 64, generator=g), generator=g)
    runs = ais(path, kernel_at, lams, torch.randn(1024, 64, generator=g), generator=g)
    assert 0.5 < predicted / float(runs.log_w.var()) < 2
    assert evals == 64 * 20


def test_reverse_starts_are_resampled_by_their_weight() -> None:
    """Chains that stand still turn ends resampled by w into the forward estimate: E[1 / w] = 1 / mean w. Seed fixed."""
    problem = QuadraticTilt(torch.full((4,), 1.5))
    path, g = Geometric.tilted(problem.tilt), generator(14)
    x0 = torch.randn(1088, 4, generator=g)
    log_z = normaliser(
        path, x0, groups=16, chains=64, temperatures=8, generator=g, make=lambda path, step: MALA(path, 1e-6)
    )
    gap = float(re.search(r"reverse minus forward (\S+) nats", log_z.note)[1])
    assert abs(gap) < 0.25


def test_reverse_below_forward_cannot_close_the_interval() -> None:
    forward = 0.1 * torch.randn(32, 8, generator=generator(8), dtype=torch.float64)
    log_z = sandwich(forward, torch.full((32, 8), 3.0), 0.05)
    point, se = estimate(forward)
    assert log_z.upper == pytest.approx(point + 2 * se)
    assert log_z.lower < log_z.point < log_z.upper
    assert "reverse end below" in log_z.note and "nats (gate: within 1.0), FAILED" in log_z.note


def test_a_poor_effective_size_is_said() -> None:
    forward = torch.full((32, 8), -50.0)
    forward[0, 0] = 0.0
    note = sandwich(forward, torch.zeros(32, 8), 0.05).note
    assert "effective sample size 0.004 (gate: at least 0.1, and 2 weights), FAILED" in note


def test_same_generator_same_bytes() -> None:
    tilt = TILTS["linear"].tilt
    one, two, other = (_normaliser(tilt, seed, groups=4, chains=4, temperatures=30) for seed in (3, 3, 4))
    assert one == two != other


def test_the_estimate_is_frozen_and_shares_nothing_with_the_pilot() -> None:
    """Whatever the estimate starts from, its kernels' steps are those of the pilot alone, in order."""
    problem = TILTS["linear"]
    path = Geometric.tilted(problem.tilt)
    x0 = torch.randn(96, 64, generator=generator(0))
    shifted = torch.cat((x0[:32] + 0.5, x0[32:]))
    used = []
    for start in (x0, shifted):
        steps: list[float] = []

        def make(path: Geometric, step: float, steps: list[float] = steps) -> MALA:
            steps.append(step)
            return MALA(path, step)

        normaliser(path, start, start[:8], groups=4, chains=8, temperatures=20, generator=generator(1), make=make)
        used.append(steps)
    assert used[0] == used[1]
    forward, backward = used[0][-39:-20], used[0][-19:]
    assert forward == backward[::-1]


def test_every_gradient_is_counted() -> None:
    calls, told = [], []

    def tilt(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return x.sum(-1)

    log_z = normaliser(
        Geometric.tilted(tilt),
        torch.randn(32, 2, generator=generator(0)),
        groups=4,
        chains=4,
        pilot=16,
        temperatures=20,
        generator=generator(1),
        log=lambda step, total: told.append((step, total)),
    )
    assert log_z.evals == {"gradient": sum(calls)}
    assert told[-1] == (90, 90) and [step for step, _ in told] == sorted(step for step, _ in told)


def test_errors_say_what_was_expected() -> None:
    path = Geometric.tilted(lambda x: x.sum(-1))
    with pytest.raises(ValueError, match=r"x0 has 256 draws.*256 \+ 64 = 320"):
        normaliser(path, torch.zeros(256, 2), groups=32, chains=8, generator=generator(0))
    with pytest.raises(ValueError, match=r"groups=4 and chains=None; expected both, or neither"):
        normaliser(path, torch.zeros(256, 2), groups=4, generator=generator(0))
    with pytest.raises(ValueError, match=r"3 groups; expected at least 4"):
        normaliser(
            path, torch.zeros(80, 2), torch.zeros(1, 2), groups=3, chains=4, temperatures=5, generator=generator(0)
        )
    with pytest.raises(ValueError, match=r"expected one of the two"):
        sandwich(torch.zeros(4, 2), torch.zeros(4, 2), 0.05, exact=True, noise=torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"alpha is 1.5"):
        certify(torch.zeros(2, 2), 1.5)
    with pytest.raises(ValueError, match=r"shape \(4,\); expected \[groups, chains\]"):
        certify(torch.zeros(4), 0.05)

import math

import pytest
import torch
from problems import LinearTilt, QuadraticTilt, generator
from scipy.stats import binom, norm, t

from gm.sampling.bridge import bar, mbar, stepping_stone, thermodynamic_integration, works
from gm.sampling.logz import LogZ

QUADRATIC = QuadraticTilt(torch.tensor([3.0, 1.5, -0.4]))
LINEAR = LinearTilt(torch.tensor([0.8, -1.2]))


def ladder(T: int) -> torch.Tensor:
    """Unequal gaps, so that no estimator can confuse a gap with its neighbour."""
    return torch.linspace(0, 1, T + 1, dtype=torch.float64) ** 1.5


def exact_draws(problem, lams: torch.Tensor, R: int, n: int, seed: int) -> torch.Tensor:
    g = generator(seed)
    columns = [-problem.tilt(problem.sample(R * n, float(lam), generator=g)).double() for lam in lams]
    return torch.stack(columns, -1).view(R, n, len(lams))


def bar_of_rungs(V: torch.Tensor, lams: torch.Tensor, alpha: float = 0.05) -> LogZ:
    return bar(*works(V, lams), alpha)


ESTIMATORS = {"stepping stone": stepping_stone, "bar": bar_of_rungs, "mbar": mbar}


@pytest.mark.parametrize("problem", [QUADRATIC, LINEAR], ids=["quadratic", "linear"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_point_lies_within_four_standard_errors(name: str, problem) -> None:
    """R = 64: six Student-t variables with 63 degrees of freedom beyond 4: false alarm 1e-3, seeds fixed."""
    lams = ladder(5)
    result = ESTIMATORS[name](exact_draws(problem, lams, 64, 100, 0), lams)
    assert result.se < 0.05
    assert abs(result.point - problem.log_z) < 4 * result.se
    assert result.kinds == ("heuristic", "heuristic")
    assert result.ess > 0.4 and "FAILED" not in result.note


@pytest.mark.parametrize("name", [*ESTIMATORS, "thermodynamic integration"])
def test_intervals_cover_at_their_level(name: str) -> None:
    """400 replicates at 10 %: misses in the binomial band [13, 73], outside with probability below 1e-6 on each side at
    the nominal level; the logarithm's bias is well inside it. The bracket is wider than its error: upper edge only.
    """
    lams = ladder(4)
    V = exact_draws(QUADRATIC, lams, 400 * 8, 40, 1).view(400, 8, 40, 5)
    estimator = ESTIMATORS.get(name, thermodynamic_integration)
    misses = sum(not (r.lower <= QUADRATIC.log_z <= r.upper) for r in (estimator(v, lams, 0.1) for v in V))
    assert binom.cdf(12, 400, 0.1) < 1e-6 and binom.sf(73, 400, 0.1) < 1e-6
    assert misses <= 73
    assert misses >= (13 if name in ESTIMATORS else 0)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_standard_error_is_the_spread_of_replicates(name: str) -> None:
    """300 replicates: a standard deviation known to 4 %, within 17 %, four of its own: false alarm 6e-5 each."""
    lams = ladder(4)
    V = exact_draws(QUADRATIC, lams, 300 * 16, 32, 2).view(300, 16, 32, 5)
    results = [ESTIMATORS[name](v, lams) for v in V]
    points = torch.tensor([r.point for r in results])
    root_mean_square = torch.tensor([r.se for r in results]).square().mean().sqrt()
    assert float(points.std() / root_mean_square) == pytest.approx(1, abs=0.17)


def test_stepping_stone_ends_are_certified_both_ways() -> None:
    """400 replicates at 10 % per end: each fails at most 66 times, P(Binomial(400, 0.1) > 66) < 3e-5."""
    lams = ladder(3)
    V = exact_draws(QUADRATIC, lams, 400 * 8, 4, 3).view(400, 8, 4, 4)
    results = [stepping_stone(v, lams, 0.1, exact=True) for v in V]
    assert all(r.kinds == ("certified", "certified") for r in results)
    assert sum(r.lower > QUADRATIC.log_z for r in results) <= 66
    assert sum(r.upper < QUADRATIC.log_z for r in results) <= 66
    forward, _ = works(V[0], lams)
    product = forward.exp().mean(1).prod(-1)
    assert results[0].lower == pytest.approx(float(product.log().mean()) - math.log(10) / 8)
    means = torch.tensor([r.upper - r.lower for r in results])
    assert 2 * math.log(10) / 8 < means.mean() < 2 * math.log(10) / 8 + 1


def test_every_stepping_stone_factor_is_unbiased() -> None:
    """Mean over 20 000 replicates of two draws of the product, whose weights are bounded: a z-score below 4.5, 7e-6."""
    problem, lams = QuadraticTilt(torch.tensor([1.5, 0.7])), ladder(3)
    forward, _ = works(exact_draws(problem, lams, 20_000, 2, 4), lams)
    Z = forward.exp().mean(1).prod(-1)
    assert abs(Z.mean() - math.exp(problem.log_z)) < 4.5 * Z.std() / math.sqrt(len(Z))


def test_the_bracket_is_the_two_riemann_sums_of_exact_means() -> None:
    """V equal to its exact mean at every rung: the ends are the sums themselves, and shrink as 1 / T."""
    widths = []
    for T in (8, 16, 32):
        lams = torch.linspace(0, 1, T + 1, dtype=torch.float64)
        c = QUADRATIC.c.double()
        mean = -(c / (1 + lams[:, None] * c)).sum(-1) / 2
        result = thermodynamic_integration(mean.expand(2, 1, T + 1), lams)
        assert result.lower < QUADRATIC.log_z < result.upper
        assert result.lower == pytest.approx(float(mean[:-1].mean()))
        assert result.upper == pytest.approx(float(mean[1:].mean()))
        assert result.point == pytest.approx((result.lower + result.upper) / 2)
        assert result.upper - result.lower == pytest.approx(float(mean[-1] - mean[0]) / T)
        assert abs(result.point - QUADRATIC.log_z) < 0.5 / T**1.5
        widths.append(result.upper - result.lower)
    assert widths[0] / widths[1] == pytest.approx(2) and widths[1] / widths[2] == pytest.approx(2)


def test_thermodynamic_integration_says_what_its_ends_are() -> None:
    """Only independent exact draws of a V of known range are certified, with Hoeffding's slack on top of each sum."""
    lams, g = ladder(4), generator(5)
    V = torch.rand(8, 10, 5, generator=g, dtype=torch.float64)
    for settings in ({}, {"exact": True}, {"span": 1.0}):
        result = thermodynamic_integration(V, lams, **settings)
        assert result.kinds == ("heuristic", "heuristic")
    heuristic, certified = result, thermodynamic_integration(V, lams, exact=True, span=1.0)
    assert certified.kinds == ("certified", "certified")
    left, right = (lams.diff() * V[..., :-1]).sum(-1).mean(), (lams.diff() * V[..., 1:]).sum(-1).mean()
    half = t.ppf(0.975, 7) * float((lams.diff() * V[..., :-1]).sum(-1).mean(1).std()) / math.sqrt(8)
    assert heuristic.lower == pytest.approx(float(left) - half)
    slack = math.sqrt(math.log(20) * float(lams.diff().square().sum()) / (2 * 80))
    assert certified.lower == pytest.approx(float(left) - slack)
    assert certified.upper == pytest.approx(float(right) + slack)
    assert certified.lower < heuristic.lower and certified.upper > heuristic.upper
    with pytest.raises(ValueError, match="expected at most span"):
        thermodynamic_integration(V, lams, exact=True, span=0.5)


def test_bar_is_mbar_with_two_states() -> None:
    lams = torch.tensor([0.0, 1.0])
    V = exact_draws(LINEAR, lams, 8, 50, 6)
    two, many = bar(V[..., 0], -V[..., 1]), mbar(V, lams)
    assert many.point == pytest.approx(two.point, abs=1e-9)
    assert many.se == pytest.approx(two.se, rel=1e-9)
    assert many.ess == pytest.approx(two.ess, rel=1e-9)


def test_bar_solves_bennetts_equation() -> None:
    g = generator(7)
    forward, reverse = (torch.randn(2, 40, generator=g, dtype=torch.float64) * 20 for _ in range(2))
    f = bar(forward, reverse).point
    assert float((forward - f).sigmoid().sum()) == pytest.approx(float((reverse + f).sigmoid().sum()), abs=1e-9)


def test_mbar_solves_its_equations_with_the_published_covariance() -> None:
    """The sandwich of independent draws is Shirts and Chodera's equation 8 up to the sampling error of their matrix.

    640 draws a rung: the ratio is known to about 5 %; 20 % is four of that, false alarm 6e-5."""
    lams = ladder(4)
    V = exact_draws(LINEAR, lams, 640, 1, 8)
    result, n = mbar(V, lams), 640
    x = V.reshape(-1)
    f = torch.zeros(5, dtype=torch.float64)
    for _ in range(3000):
        log_mixture = (lams * x[:, None] - f).logsumexp(-1) + math.log(n)
        f = (lams * x[:, None] - log_mixture[:, None]).logsumexp(0)
        f = f - f[0]
    assert result.point == pytest.approx(float(f[-1]), abs=1e-9)
    W = (lams * x[:, None] - f - log_mixture[:, None]).exp()
    gram = W.T @ W
    theta = torch.linalg.pinv(torch.linalg.pinv(gram, hermitian=True) - n * torch.eye(5), rtol=1e-9, hermitian=True)
    published = float((theta[0, 0] + theta[4, 4] - 2 * theta[0, 4]).sqrt())
    assert result.se == pytest.approx(published, rel=0.2)


def test_bennetts_estimator_beats_the_one_sided_ones() -> None:
    """200 replicates of one gap: less than 0.8 of either standard deviation, each known to 5 %.

    Asymptotically it is 0.5 for works of variance 2.08, whose one-sided variance is e^2.08 - 1: false alarm 1e-4."""
    lams = torch.tensor([0.0, 1.0], dtype=torch.float64)
    V = exact_draws(LINEAR, lams, 200 * 4, 25, 9).view(200, 4, 25, 2)
    both = torch.tensor([bar_of_rungs(v, lams).point for v in V])
    forward = torch.tensor([stepping_stone(v, lams).point for v in V])
    backward = -torch.tensor([stepping_stone(-v.flip(-1), lams).point for v in V])
    assert both.std() < 0.8 * min(forward.std(), backward.std())


def test_bars_variance_is_bennetts_for_gaussian_works() -> None:
    """Asymptotic variance (1 / overlap - 2) / n by quadrature, overlap = E sigma(1 - sigma) over both ends.

    4000 draws an end in 200 replicas: a standard error known to 5 %, within 20 %: false alarm 6e-5."""
    s2 = 2 * LINEAR.log_z
    V = exact_draws(LINEAR, torch.tensor([0.0, 1.0]), 200, 20, 10)
    result = bar(V[..., 0], -V[..., 1])
    a = torch.linspace(-12, 16, 20_001, dtype=torch.float64)
    density = torch.from_numpy(norm.pdf(a, 0, math.sqrt(s2)) + norm.pdf(a, s2, math.sqrt(s2)))
    p = (a - LINEAR.log_z).sigmoid()
    overlap = float(torch.trapezoid(density * p * (1 - p), a))
    expected = math.sqrt((1 / overlap - 2) / 4000)
    assert result.se == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("name", [*ESTIMATORS, "thermodynamic integration"])
def test_constant_v_is_read_off_and_identical_ends_give_zero(name: str) -> None:
    estimator, lams = ESTIMATORS.get(name, thermodynamic_integration), ladder(3)
    for value in (0.0, 2.5, -700.0):
        result = estimator(torch.full((3, 4, 4), value), lams)
        assert result.point == pytest.approx(value, abs=1e-9)
        assert (result.lower, result.upper) == pytest.approx((value, value), abs=1e-6)
        assert result.ess == 1


def test_one_rung_of_stepping_stone_is_importance_sampling() -> None:
    V = exact_draws(QUADRATIC, torch.tensor([0.0, 1.0]), 4, 30, 11)
    expected = float(V[..., 0].exp().mean().log())
    assert stepping_stone(V, torch.tensor([0.0, 1.0])).point == pytest.approx(expected)


@pytest.mark.parametrize("name", [*ESTIMATORS, "thermodynamic integration"])
def test_a_shift_of_v_moves_every_estimate_by_itself(name: str) -> None:
    estimator, lams = ESTIMATORS.get(name, thermodynamic_integration), ladder(4)
    V = exact_draws(QUADRATIC, lams, 6, 20, 12)
    here, there = estimator(V, lams), estimator(V + 300, lams)
    assert there.point == pytest.approx(here.point + 300)
    assert there.lower == pytest.approx(here.lower + 300)
    assert there.se == pytest.approx(here.se, rel=1e-6)


@pytest.mark.parametrize("name", [*ESTIMATORS, "thermodynamic integration"])
def test_dependent_rounds_lower_the_effective_size_and_stuck_replicas_fail_the_gate(name: str) -> None:
    """Every draw repeated 8 times: the effective size is about an eighth. Replicas with a bias of their own show up."""
    estimator, lams = ESTIMATORS.get(name, thermodynamic_integration), ladder(4)
    V = exact_draws(QUADRATIC, lams, 128, 32, 13)
    repeated = estimator(V.repeat_interleave(8, 1), lams)
    assert repeated.ess == pytest.approx(1 / 8, rel=0.5)
    assert repeated.se == pytest.approx(estimator(V, lams).se, rel=1e-6)
    stuck = estimator(V[:, :9] + torch.linspace(-1, 1, 128, dtype=torch.float64)[:, None, None], lams)
    assert "FAILED" in stuck.note and "FAILED" not in estimator(V, lams).note


def test_works_that_barely_overlap_still_have_a_root() -> None:
    lams = torch.tensor([0.0, 1.0])
    V = torch.stack((torch.linspace(-90, -60, 40), torch.linspace(50, 75, 40)), -1).view(2, 20, 2)
    f = bar(V[..., 0], -V[..., 1]).point
    assert -60 < f < 50
    assert mbar(V, lams).point == pytest.approx(f, abs=1e-6)


def test_malformed_draws_are_refused() -> None:
    lams, V = ladder(2), torch.zeros(2, 5, 3)
    with pytest.raises(ValueError, match="expected at least 2"):
        mbar(V[:1], lams)
    with pytest.raises(ValueError, match="expected \\[replicas, rounds, 3 temperatures\\]"):
        stepping_stone(V[..., :2], lams)
    with pytest.raises(ValueError, match="expected an increase from 0 to 1"):
        mbar(V, lams.flip(0))
    with pytest.raises(ValueError, match="expected the same"):
        bar(V[..., 0], V[:, :4, 0])
    V[0, 0, 0] = math.nan
    with pytest.raises(FloatingPointError, match="1 of 30 log weights are not finite"):
        thermodynamic_integration(V, lams)

"""The audit's bound: the published numbers, and its promise on mechanisms whose epsilon is known."""

import numpy as np
import pytest
from scipy.stats import binom

from gm.metrics.audit import audit, least_epsilon, p_value

REPLICATES = 1000


def test_published_bounds():
    """The paper's own: appendix D, and the audit of section 7, printed as 2.675 (cut, not rounded)."""
    assert least_epsilon(75, 100, 1000, delta=1e-4) == pytest.approx(0.673, abs=5e-4)
    assert least_epsilon(1439, 1510, 100_000, delta=1e-5) == pytest.approx(2.675, abs=1e-3)


def test_p_value_is_the_sum_that_defines_it():
    m, r, v, epsilon, delta = 200, 30, 22, 0.4, 1e-3
    law = binom(r, 1 / (1 + np.exp(-epsilon)))
    chances = [sum(law.pmf(k) for k in range(v - i, v)) / i for i in range(1, v + 1)]
    assert p_value(v, r, m, epsilon) == pytest.approx(law.sf(v - 1), rel=1e-12)
    assert p_value(v, r, m, epsilon, delta=delta) == pytest.approx(law.sf(v - 1) + 2 * m * delta * max(chances))
    fixed = p_value(v, r, m, epsilon, delta=delta)
    any_number = [p_value(v, r, m, epsilon, delta=delta, fewest=few) for few in (r, 10)]
    assert (
        fixed
        < any_number[0]
        < any_number[1]
        == pytest.approx(law.sf(v - 1) + 2 * m * delta * binom(10, 1 / (1 + np.exp(-epsilon))).pmf(range(11)).max())
    )
    assert p_value(0, r, m, epsilon, delta=delta) == 1


def private(rng, m, epsilon, delta=0.0):
    """Coins, and scores that are (epsilon, delta)-private: each coin by randomised response, or bare."""
    coin = rng.random(m) < 0.5
    told = np.where(rng.random(m) < 1 / (1 + np.exp(-epsilon)), coin, ~coin) * 1.0
    bare = rng.random(m) < delta
    return coin, np.where(bare, np.where(coin, 2.0, -1.0), told)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (4.0, 0.0), (1.0, 1e-3), (1.0, 0.02)]
)
def test_bound_holds_on_randomised_response(epsilon, delta):
    """The bound exceeds the true epsilon in at most 5 % of 1000 replicates (band 71; 2e-3 false alarms a case)."""
    rng = np.random.default_rng(1)
    bounds = []
    for _ in range(REPLICATES):
        coin, score = private(rng, 400, epsilon, delta)
        bounds.append(audit(score[coin], score[~coin], rng=rng, delta=delta)[0])
    assert sum(bound > epsilon for bound in bounds) <= binom(REPLICATES, 0.05).isf(2e-3)
    assert min(bounds) >= 0


def test_bound_refuses_a_smaller_delta():
    """Coins told bare in a share of 5 % are refuted where no delta is granted, in most of 200 replicates."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(200):
        coin, score = private(rng, 1000, 0.0, 0.05)
        found.append([audit(score[coin], score[~coin], rng=rng, delta=delta)[0] > 0 for delta in (0.0, 0.05)])
    assert np.mean(found, 0)[0] > 0.8
    assert np.mean(found, 0)[1] <= 0.05


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_bound_is_tight_on_many_coins(epsilon):
    """Randomised response is the worst case: a bound from all coins fails nearly as often as it may, in 4 to 5 %.

    The audit, which sees half of them and guesses on those that it chose, loses at most three of its errors more.
    """
    q, m = 1 / (1 + np.exp(-epsilon)), 10_000
    law = binom(m, q)
    above = next(v for v in range(int(m * q), m) if least_epsilon(v, m, m) > epsilon)
    assert 0.04 < law.sf(above - 1) <= 0.05
    rng = np.random.default_rng(3)
    bounds = []
    for _ in range(20):
        coin, score = private(rng, 2 * m, epsilon)
        bounds.append(audit(score[coin], score[~coin], rng=rng, delta=0.0)[0])
    error = 1 / np.sqrt(m * q * (1 - q))
    assert epsilon - 4.645 * error < np.median(bounds) < epsilon


def test_no_information_gives_no_bound():
    """Scores without the coins refute epsilon = 0 in at most 5 % of 1000 replicates (band at 2e-3); so do all ties.

    A stable order of ties, members first, would refute any epsilon here.
    """
    rng = np.random.default_rng(4)
    for draw in (rng.normal, lambda size: np.zeros(size), lambda size: rng.integers(3, size=size)):
        found = []
        for _ in range(REPLICATES):
            n = rng.binomial(300, 0.5)
            found.append(audit(draw(size=n), draw(size=300 - n), rng=rng)[0] > 0)
        assert sum(found) <= binom(REPLICATES, 0.05).isf(2e-3)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="expected 0 <= correct <= guesses <= candidates"):
        p_value(5, 4, 10, 1.0)
    with pytest.raises(ValueError, match="1 <= fewest <= guesses"):
        least_epsilon(3, 4, 10, fewest=5)
    with pytest.raises(ValueError, match="1 NaN"):
        audit(np.array([np.nan, 0.0]), np.zeros(2), rng=np.random.default_rng(0))

"""Ends of the mean log density: slack, shared error and units."""

import math

import numpy as np
import pytest

from gm.metrics.likelihood import bits_per_dim, ends


def bounded(kinds, **more):
    rng = np.random.default_rng(0)
    lower = rng.normal(size=100)
    return {"lower_test": lower, "upper_test": lower + 1, "kinds": np.array(kinds)} | more


def test_slack_moves_certified_ends_only():
    scores = bounded(["certified", "heuristic"], slack=np.array(3.0))
    found = ends(scores)
    assert found["lower"].value == pytest.approx(scores["lower_test"].mean() - 0.03)
    assert found["upper"].value == pytest.approx(scores["upper_test"].mean())
    assert (found["lower"].kind, found["upper"].kind, found["lower"].n) == ("certified", "heuristic", 100)
    assert ends(bounded(["heuristic", "certified"], slack=3.0))["upper"].value == pytest.approx(
        scores["upper_test"].mean() + 0.03
    )


def test_shared_error_does_not_shrink():
    scores = bounded(["exact", "exact"], shared_se=np.array(0.5))
    expected = math.hypot(scores["lower_test"].std(ddof=1) / 10, 0.5)
    assert ends(scores)["lower"].se == pytest.approx(expected)


def test_missing_and_infinite_ends():
    assert ends(bounded(["none", "none"])) == {}
    scores = bounded(["exact", "none"])
    scores["lower_test"][3] = -np.inf
    found = ends(scores)
    assert list(found) == ["lower"]
    assert (found["lower"].value, found["lower"].se) == (-math.inf, math.inf)
    scores["lower_test"][3] = np.nan
    with pytest.raises(ValueError, match="1 NaN among 100"):
        ends(scores)


def test_slack_keeps_its_promise():
    """The certified mean fails no more often than alpha: log of exponential weights, E[w] = 1, 4000 replicates.

    Each row is log w with E[w] = 1, a bound of 0 from below in expectation; at alpha = 0.5 and 20 rows the failure
    rate must stay below 0.5 by four of its errors; it is far below, as Markov's inequality is not tight.
    """
    rng = np.random.default_rng(1)
    rows = np.log(rng.exponential(size=(4000, 20)))
    scores = [
        {"lower_test": row, "upper_test": row, "kinds": ["certified", "none"], "slack": math.log(2)} for row in rows
    ]
    failures = np.mean([ends(score)["lower"].value > 0 for score in scores])
    assert failures < 0.5 - 4 * math.sqrt(0.25 / 4000)


def test_bits_per_dim():
    end = ends({"lower_test": np.full(4, -64 * math.log(2)), "upper_test": np.zeros(4), "kinds": ["exact", "exact"]})
    assert bits_per_dim(end["lower"], 64).value == pytest.approx(1.0)

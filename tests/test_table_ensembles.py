"""Scores across runs, by hand and against a law that is known."""

import numpy as np
import pytest
from scipy import stats

from gm.table import ensembles


def members(count, seed=0, n=50):
    rng = np.random.default_rng(seed)
    return [{"test": rng.normal(size=n), "outlier_a": rng.normal(size=n // 2)} for _ in range(count)]


def test_waic_by_hand():
    """log p of -1, -2, -6: mean -3, variance 7, so that WAIC is -10."""
    found = [{"test": np.array([nll, 4.0])} for nll in (1.0, 2.0, 6.0)]
    assert ensembles.waic(found)["test"].tolist() == [10.0, 4.0]
    assert ensembles.ensemble(found)["test"].tolist() == [3.0, 4.0]
    for score in (ensembles.waic, ensembles.ensemble):
        with pytest.raises(ValueError, match="found 2 members of an ensemble; expected 3 or more"):
            score(found[:2])


def test_ratio_is_a_log_likelihood_ratio():
    """Two normal laws: ln q / p is linear in x, and exact."""
    x = np.linspace(-3, 3, 7)
    p, q = stats.norm(1, 1), stats.norm(0, 1)
    found = ensembles.ratio({"test": -p.logpdf(x)}, {"test": -q.logpdf(x), "member": x})
    assert list(found) == ["test"] and found["test"] == pytest.approx(0.5 - x)


def test_what_is_impossible_is_outlying():
    impossible = {"test": np.array([np.inf, 1.0])}
    for reference in (impossible, {"test": np.zeros(2)}):
        assert ensembles.ratio(impossible, reference)["test"][0] == np.inf
    found = ensembles.waic([impossible, {"test": np.zeros(2)}, {"test": np.zeros(2)}])["test"]
    assert found[0] == np.inf and np.isfinite(found[1])


def test_seeds_are_paired_and_all_are_pooled():
    runs, reference = dict(zip((3, 1, 7), members(3), strict=True)), dict(zip((1, 3), members(2, seed=1), strict=True))
    found = ensembles.across(runs, reference)
    assert [(seed, list(scores)) for seed, scores in found] == [
        (3, ["ratio"]),
        (1, ["ratio"]),
        ("all", ["waic", "ensemble"]),
    ]
    for seed, scores in found[:2]:
        for part in ("test", "outlier_a"):
            assert (scores["ratio"][part] == runs[seed][part] - reference[seed][part]).all()
    assert [seed for seed, _ in ensembles.across({1: runs[1], 3: runs[3]}, reference)] == [1, 3]
    assert [seed for seed, _ in ensembles.across(runs, {})] == ["all"]

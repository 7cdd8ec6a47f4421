"""Outlier metrics against scikit-learn, and their errors against redrawn scores and drawn resamples."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from gm.metrics import roc


def scores(seed, n=120, m=90, ties=False):
    rng = np.random.default_rng(seed)
    inlier, outlier = rng.normal(size=n), rng.normal(size=m) + 0.8
    return (np.round(inlier, 1), np.round(outlier, 1)) if ties else (inlier, outlier)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed, ties):
    inlier, outlier = scores(seed, ties=ties)
    label, score = np.repeat([0, 1], [len(inlier), len(outlier)]), np.concatenate([inlier, outlier])
    assert roc.auroc(inlier, outlier)[0] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    average = roc.aupr(inlier, outlier)[0]
    assert average == pytest.approx(average_precision_score(label, score), abs=1e-12)
    accepted, kept, _ = roc_curve(1 - label, -score, drop_intermediate=False)
    missed = roc.fpr95(inlier, outlier)[0]
    assert missed == pytest.approx(accepted[np.argmax(kept >= 0.95)], abs=1e-12)
    assert roc.auprin(inlier, outlier)[0] == pytest.approx(average_precision_score(1 - label, -score), abs=1e-12)
    flagged, found, _ = roc_curve(label, score, drop_intermediate=False)
    assert roc.fpr95out(inlier, outlier)[0] == pytest.approx(flagged[np.argmax(found >= 0.95)], abs=1e-12)
    pairs_won = mannwhitneyu(outlier, inlier).statistic / (len(inlier) * len(outlier))
    assert roc.auroc(inlier, outlier)[0] == pytest.approx(pairs_won, abs=1e-12)


def test_invariant_under_monotone_maps_and_never_flipped():
    inlier, outlier = scores(0)
    for metric in (roc.aupr, roc.auprin, roc.fpr95, roc.fpr95out):
        plain = metric(inlier, outlier)
        assert metric(np.exp(inlier), np.exp(outlier)) == plain
    area, se = roc.auroc(inlier, outlier)
    assert roc.auroc(np.exp(inlier), np.exp(outlier)) == (area, se)
    assert roc.auroc(-inlier, -outlier) == pytest.approx((1 - area, se))
    assert roc.auroc(-inlier, -outlier)[0] < 0.5


def test_infinite_scores_are_ranked():
    inlier, outlier = np.array([0.0, 1.0, np.inf]), np.array([1.0, np.inf, np.inf])
    label, score = np.repeat([0, 1], 3), np.array([0.0, 1.0, 9.0, 1.0, 9.0, 9.0])
    assert roc.auroc(inlier, outlier)[0] == pytest.approx(roc_auc_score(label, score))
    average = roc.aupr(inlier, outlier)[0]
    assert average == pytest.approx(average_precision_score(label, score))


CURVE = ("aupr", "auprin", "fpr95", "fpr95out")


def test_errors_are_the_spread():
    """400 redrawn sets: each mean error within a quarter of the spread, whose own error is 4 %; odds below 1e-6."""
    runs = {name: [] for name in ("auroc", *CURVE)}
    for seed in range(400):
        for name, run in runs.items():
            run.append(getattr(roc, name)(*scores(seed)))
    for name, run in runs.items():
        values, errors = np.array(run).T
        assert errors.mean() / values.std() == pytest.approx(1.0, abs=0.25), name


@pytest.mark.parametrize("aligned", [False, True])
def test_errors_are_those_of_drawn_resamples(aligned):
    """The error of a threshold is exact: 10,000 resamples are within 3 %, four of their errors, with odds below 1e-4.

    What is closed to first order in 1/n is off by that order: a threshold's error of pairs by 12 %, an average
    precision's by 10 %, four errors of 1000 resamples.
    """
    inlier, outlier = pairs(0, n=400) if aligned else scores(0, n=400, m=300)
    rng = np.random.default_rng(0)
    i = rng.integers(len(inlier), size=(10_000, len(inlier)))
    j = i if aligned else rng.integers(len(outlier), size=(10_000, len(outlier)))
    inside, outside = np.sort(inlier[i]), np.sort(outlier[j])
    kept, found = inside[:, int(0.95 * len(inlier)) - 1, None], outside[:, -int(0.95 * len(outlier)), None]
    drawn = {"fpr95": (outside <= kept).mean(1), "fpr95out": (inside >= found).mean(1)}
    for name in ("aupr", "auprin"):
        drawn[name] = [getattr(roc, name)(inlier[a], outlier[b])[0] for a, b in zip(i[:1000], j[:1000], strict=True)]
    for name, values in drawn.items():
        within = 0.1 if name.startswith("aupr") else 0.12 if aligned else 0.03
        assert getattr(roc, name)(inlier, outlier, aligned=aligned)[1] == pytest.approx(np.std(values), rel=within), (
            name
        )


def test_paired_difference_has_the_spread_of_pairs():
    """300 redrawn sets of two correlated scores; the error within a fifth of the spread (own error 4 %)."""
    runs, unpaired = [], []
    for seed in range(300):
        inlier, outlier = scores(seed)
        rng = np.random.default_rng(seed + 1000)
        second = inlier + 0.5 * rng.normal(size=len(inlier)), outlier + 0.5 * rng.normal(size=len(outlier))
        runs.append(roc.auroc_difference((inlier, second[0]), (outlier, second[1])))
        areas = roc.auroc(inlier, outlier), roc.auroc(*second)
        assert runs[-1][0] == pytest.approx(areas[0][0] - areas[1][0], abs=1e-12)
        unpaired.append(np.hypot(areas[0][1], areas[1][1]))
    values, errors = np.array(runs).T
    assert errors.mean() / values.std() == pytest.approx(1.0, abs=0.2)
    assert errors.mean() < 0.7 * np.mean(unpaired)


def pairs(seed, n=120):
    """Scores of images and of their transforms, correlated."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=n)
    return image + 0.5 * rng.normal(size=n), image + 0.5 * rng.normal(size=n) + 0.6


def test_errors_of_aligned_sets_are_the_spread():
    """400 redrawn sets of pairs: the spread's own error is 3.5 %, so that 10 % has odds of 0.5 % for each metric.

    The error of a threshold may be a quarter off. Errors that take the pairs apart are 1.3 times too large or more.
    """
    runs = {name: [] for name in ("auroc", "difference", *CURVE)}
    apart = {name: [] for name in runs}
    for seed in range(400):
        inlier, outlier = pairs(seed)
        both = (inlier, pairs(seed + 1000)[0]), (outlier, pairs(seed + 1000)[1])
        for found, aligned in ((runs, True), (apart, False)):
            found["difference"].append(roc.auroc_difference(*both, aligned=aligned))
            for name in ("auroc", *CURVE):
                found[name].append(getattr(roc, name)(inlier, outlier, aligned=aligned))
    for name, run in runs.items():
        values, errors = np.array(run).T
        wrong = np.array(apart[name])[:, 1].mean() / values.std()
        near = 0.25 if name.startswith("fpr95") else 0.1
        assert errors.mean() / values.std() == pytest.approx(1.0, abs=near), name
        assert wrong > 1.3, name


def test_a_score_that_a_transform_cannot_move_has_no_error():
    """Mirroring leaves brightness as it is: the area is one half by construction, exactly."""
    same = np.random.default_rng(0).integers(17, size=250) / 3
    assert roc.auroc(same, same, aligned=True) == (0.5, 0.0)
    assert roc.auroc(same, same)[1] > 0.02


def test_aligned_sets_must_be_of_one_size():
    for metric in (roc.auroc, roc.aupr, roc.fpr95):
        with pytest.raises(ValueError, match="3 inliers and 4 outliers"):
            metric(np.arange(3.0), np.arange(4.0), aligned=True)


@pytest.mark.parametrize("n, m, aligned, k", [(250, 250, False, 250), (250, 17, False, 17), (250, 250, True, 125)])
def test_complete_separation_has_an_error(n, m, aligned, k):
    """At the edge of the interval, k independent comparisons are all in order with a chance of 5 %."""
    inlier, outlier = np.arange(n, dtype=float), np.arange(m) + 1000.0
    for sets, expected in (((inlier, outlier), 1.0), ((outlier, inlier), 0.0)):
        area, se = roc.auroc(*sets, aligned=aligned)
        assert area == expected and (1 - 1.96 * se) ** k == pytest.approx(0.05, rel=1e-3)
    assert roc.aupr(inlier, outlier)[1] > 0
    missed, se = roc.fpr95(inlier, outlier)
    assert missed == 0 and (1 - 1.96 * se) ** m == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_interval_at_the_ceiling_misses_the_area_in_one_set_of_twenty_at_most(share, which):
    """A share of inliers lies above all outliers, or of outliers below all inliers: the area is 1 - share.

    2000 sets of 40 and 30; the count of those separated by chance whose interval leaves the area out is four errors
    above 5 % with odds below 1e-4.
    """
    rng, missed = np.random.default_rng(0), 0
    for _ in range(2000):
        sets = [rng.random(40), 2 + rng.random(30)]
        sets[which][rng.random(len(sets[which])) < share] = (5.0, -5.0)[which]
        area, se = roc.auroc(*sets)
        missed += area == 1 and 1 - 1.96 * se > 1 - share
    assert missed / 2000 < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_two_scores_at_the_ceiling_cannot_be_told_apart():
    inlier, outlier = np.arange(250.0), np.arange(250.0) + 300
    value, se = roc.auroc_difference((inlier, inlier**2), (outlier, outlier**2))
    assert value == 0 and 1.96 * se == pytest.approx(1 - 0.05 ** (1 / 250), rel=1e-3)
    value, se = roc.auroc_difference((inlier, -inlier), (outlier, -outlier))
    assert value == 1 and 1.96 * se == pytest.approx(2 * (1 - 0.05 ** (1 / 250)), rel=1e-3)


def test_scores_just_below_the_ceiling_are_known_no_better_than_there():
    """One of 250 outliers below one inlier: an area of 1 - 1 / 62500, and an error that is not a hundred times less."""
    inlier, outlier = np.arange(250.0), np.arange(250.0) + 249.5
    outlier[0] = 248.5
    top = roc.auroc(inlier, inlier + 300)[1]
    area, se = roc.auroc(inlier, outlier)
    assert 0.9999 < area < 1 and se == top
    value, se = roc.auroc_difference((inlier, inlier), (inlier + 300, outlier))
    assert 0 < value < 1e-4 and se == pytest.approx(top, rel=1e-3)
    for metric in CURVE:
        metric = getattr(roc, metric)
        at_the_end = metric(inlier, inlier + 300)[1]
        assert metric(inlier, outlier)[1] == at_the_end


def test_two_scores_that_rank_alike_are_not_known_to_be_the_same():
    inlier, outlier = scores(0)
    value, se = roc.auroc_difference((inlier, np.exp(inlier)), (outlier, np.exp(outlier)))
    assert value == 0 and 1.96 * se == pytest.approx(1 - 0.05 ** (1 / 90), rel=1e-3)


def test_average_precision_at_the_ceiling_is_that_of_the_laws_named():
    """The two laws simulated at a size that makes their average precision exact to a thousandth."""
    n, m = 250, 100
    se = roc.aupr(np.zeros(n), np.ones(m))[1]
    high, low = 1 - 0.05 ** (1 / n), 1 - 0.05 ** (1 / m)
    size, values = 40_000, []
    rng = np.random.default_rng(0)
    for above, below in ((high, 0.0), (0.0, low)):
        inlier = np.where(np.arange(size) < above * size, 3.0, 0.0) + 0.1 * rng.random(size)
        outlier = np.where(np.arange(size * m // n) < below * size * m / n, -3.0, 1.0) + 0.1 * rng.random(size * m // n)
        values.append(roc.aupr(inlier, outlier)[0])
    assert 1 - 1.96 * se == pytest.approx(min(values), abs=1e-3)


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="1 NaN"):
        roc.auroc(np.array([0.0, np.nan]), np.zeros(3))
    with pytest.raises(ValueError, match="same images"):
        roc.auroc_difference((np.zeros(3), np.zeros(3)), (np.zeros(3), np.zeros(4)))

"""Outlier metrics against scikit-learn, DeLong's errors against redrawn scores, and the trivial scores."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from gm.metrics import outliers


def scores(seed, n=120, m=90, ties=False):
    rng = np.random.default_rng(seed)
    inlier, outlier = rng.normal(size=n), rng.normal(size=m) + 0.8
    return (np.round(inlier, 1), np.round(outlier, 1)) if ties else (inlier, outlier)


def weights(inlier, outlier, replicates=200):
    return outliers.resampling(len(inlier), len(outlier), rng=np.random.default_rng(0), replicates=replicates)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_scikit_learn(seed, ties):
    inlier, outlier = scores(seed, ties=ties)
    label, score = np.repeat([0, 1], [len(inlier), len(outlier)]), np.concatenate([inlier, outlier])
    assert outliers.auroc(inlier, outlier)[0] == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    average = outliers.aupr(inlier, outlier, weights=weights(inlier, outlier))[0]
    assert average == pytest.approx(average_precision_score(label, score), abs=1e-12)
    accepted, kept, _ = roc_curve(1 - label, -score, drop_intermediate=False)
    missed = outliers.fpr95(inlier, outlier, weights=weights(inlier, outlier))[0]
    assert missed == pytest.approx(accepted[np.argmax(kept >= 0.95)], abs=1e-12)


def test_invariant_under_monotone_maps_and_never_flipped():
    inlier, outlier = scores(0)
    resamples = weights(inlier, outlier)
    for metric in (outliers.aupr, outliers.fpr95):
        plain = metric(inlier, outlier, weights=resamples)
        assert metric(np.exp(inlier), np.exp(outlier), weights=resamples) == plain
    area, se = outliers.auroc(inlier, outlier)
    assert outliers.auroc(np.exp(inlier), np.exp(outlier)) == (area, se)
    assert outliers.auroc(-inlier, -outlier) == pytest.approx((1 - area, se))
    assert outliers.auroc(-inlier, -outlier)[0] < 0.5


def test_infinite_scores_are_ranked():
    inlier, outlier = np.array([0.0, 1.0, np.inf]), np.array([1.0, np.inf, np.inf])
    label, score = np.repeat([0, 1], 3), np.array([0.0, 1.0, 9.0, 1.0, 9.0, 9.0])
    assert outliers.auroc(inlier, outlier)[0] == pytest.approx(roc_auc_score(label, score))
    average = outliers.aupr(inlier, outlier, weights=weights(inlier, outlier))[0]
    assert average == pytest.approx(average_precision_score(label, score))


def test_errors_are_the_spread():
    """400 redrawn sets: each mean error within a quarter of the spread, whose own error is 4 %; odds below 1e-6."""
    runs = {"auroc": [], "aupr": [], "fpr95": []}
    for seed in range(400):
        inlier, outlier = scores(seed)
        runs["auroc"].append(outliers.auroc(inlier, outlier))
        for name in ("aupr", "fpr95"):
            runs[name].append(getattr(outliers, name)(inlier, outlier, weights=weights(inlier, outlier, 60)))
    for name, run in runs.items():
        values, errors = np.array(run).T
        assert errors.mean() / values.std() == pytest.approx(1.0, abs=0.25), name


def test_paired_difference_has_the_spread_of_pairs():
    """300 redrawn sets of two correlated scores; the error within a fifth of the spread (own error 4 %)."""
    runs, unpaired = [], []
    for seed in range(300):
        inlier, outlier = scores(seed)
        rng = np.random.default_rng(seed + 1000)
        second = inlier + 0.5 * rng.normal(size=len(inlier)), outlier + 0.5 * rng.normal(size=len(outlier))
        runs.append(outliers.auroc_difference((inlier, second[0]), (outlier, second[1])))
        areas = outliers.auroc(inlier, outlier), outliers.auroc(*second)
        assert runs[-1][0] == pytest.approx(areas[0][0] - areas[1][0], abs=1e-12)
        unpaired.append(np.hypot(areas[0][1], areas[1][1]))
    values, errors = np.array(runs).T
    assert errors.mean() / values.std() == pytest.approx(1.0, abs=0.2)
    assert errors.mean() < 0.7 * np.mean(unpaired)


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="1 NaN"):
        outliers.auroc(np.array([0.0, np.nan]), np.zeros(3))
    with pytest.raises(ValueError, match="same images"):
        outliers.auroc_difference((np.zeros(3), np.zeros(3)), (np.zeros(3), np.zeros(4)))


def test_png_length_is_fixed():
    """Lengths that every build of zlib gives: run lengths and Huffman codes leave it no choice."""
    ramp = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8) % 17
    assert outliers.png_length(np.concatenate([np.zeros_like(ramp), ramp])).tolist() == [11.0, 59.0]


def test_trivial_scores_by_name():
    x = np.array([[[[0, 3], [4, 0]]], [[[1, 1], [1, 1]]]], np.uint8)
    found = outliers.pixel_scores(x, x[1:])
    assert found["intensity"].tolist() == [1.75, 1.0]
    assert found["pixel-nn"].tolist() == [np.sqrt(1 + 4 + 9 + 1), 0.0]
    assert sorted(found) == ["intensity", "pixel-nn", "png"]

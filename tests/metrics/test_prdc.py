"""Precision, recall, density and coverage against loops and the expected values of equal distributions."""

import numpy as np
import pytest

from gm.metrics.prdc import expected_coverage, prdc


def naive(real, fake, k_manifold, k_ball):
    def radius(points, i, k):
        return sorted(np.linalg.norm(points[j] - points[i]) for j in range(len(points)) if j != i)[k - 1]

    def inside(points, k, y):
        return [np.linalg.norm(y - points[i]) <= radius(points, i, k) for i in range(len(points))]

    return {
        "precision": np.mean([any(inside(real, k_manifold, y)) for y in fake]),
        "recall": np.mean([any(inside(fake, k_manifold, x)) for x in real]),
        "density": np.mean([sum(inside(real, k_ball, y)) / k_ball for y in fake]),
        "coverage": np.mean(
            [any(np.linalg.norm(fake - real[i], axis=1) <= radius(real, i, k_ball)) for i in range(len(real))]
        ),
    }


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_equals_the_definition(shift):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(25, 2)), rng.normal(size=(20, 2)) + shift
    found = {name: value for name, (value, _) in prdc(real, fake, k_manifold=2, k_ball=3).items()}
    assert found == pytest.approx(naive(real, fake, 2, 3), abs=1e-12)


def test_expected_values_of_equal_distributions():
    """150 replicates of n = 60: means within five errors of their exact values; false alarms below 1e-5."""
    rng = np.random.default_rng(1)
    runs = [prdc(*rng.normal(size=(2, 60, 3))) for _ in range(150)]
    for name, expected in (("density", 1.0), ("coverage", expected_coverage(60))):
        values = np.array([run[name][0] for run in runs])
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(150)


def test_standard_error_is_near_the_spread():
    """60 redrawn pairs in 8 dimensions: the ratio lies in 0.7..2.2 (0.9..1.8 in long runs; odds below 1e-3)."""
    rng = np.random.default_rng(2)
    runs = [prdc(rng.normal(size=(250, 8)), rng.normal(size=(250, 8)) + 0.4) for _ in range(60)]
    for name in runs[0]:
        values, errors = np.array([run[name] for run in runs]).T
        assert 0.7 < errors.mean() / values.std() < 2.2, name


def test_identical_images_count_although_radii_are_zero():
    real = np.repeat(np.eye(3), 8, axis=0)
    found = prdc(real, real)
    assert [found[name][0] for name in ("precision", "recall", "coverage")] == [1.0, 1.0, 1.0]


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="more than k = 5"):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)))

"""The Frechet distance against closed forms, an independent formula and its own bias and spread."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from gm.metrics import frechet as module
from gm.metrics.frechet import frechet


def correlated(rng, n, d, scale=1.0, shift=0.0):
    return shift + scale * rng.normal(size=(n, d)) @ (np.eye(d) + rng.normal(size=(d, d)) / d)


def by_square_root(x, y):
    """The usual formula, with a matrix square root of the product of covariances."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    return shift @ shift + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2).real)


@pytest.mark.parametrize("n, m, d", [(250, 250, 64), (300, 200, 10), (50, 400, 3)])
def test_equals_the_square_root_formula(n, m, d):
    rng = np.random.default_rng(0)
    x, y = correlated(rng, n, d), correlated(rng, m, d, 1.5, 0.3)
    assert frechet(x, y)[0] == pytest.approx(by_square_root(x, y), abs=1e-8)


@pytest.mark.parametrize("n, d", [(200, 20), (20, 200), (21, 20), (20, 20)])
def test_scaled_copy_has_a_closed_form(n, d):
    """Y = 2X: the optimal map is y = 2x, so that FD = |mu|^2 + tr S, on both paths."""
    x = correlated(np.random.default_rng(1), n, d, shift=1.0)
    expected = np.square(x.mean(0)).sum() + x.var(0, ddof=1).sum()
    assert frechet(x, 2 * x)[0] == pytest.approx(expected, rel=1e-10)
    assert frechet(x, x)[0] == pytest.approx(0.0, abs=1e-9 * expected)


def test_diagonal_gaussians_have_a_closed_form():
    """Whitened samples with standard deviations a and b along the axes: FD = sum (a - b)^2 + |mu - nu|^2."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(100, 4))
    z = np.linalg.qr(z - z.mean(0))[0] * np.sqrt(99)
    a, b, shift = np.array([1.0, 2.0, 0.5, 3.0]), np.array([2.0, 2.0, 1.5, 1.0]), np.array([1.0, 0.0, -2.0, 0.5])
    assert frechet(z * a, z[::-1] * b + shift)[0] == pytest.approx(np.square(a - b).sum() + 5.25, abs=1e-10)


def test_the_two_paths_agree_in_value_and_error():
    rng = np.random.default_rng(3)
    x, y = correlated(rng, 120, 8), correlated(rng, 90, 8, 1.3)
    x, y = x - x.mean(0), y - y.mean(0)
    for one, other in zip(module._by_cholesky(x, y), module._by_nuclear_norm(x, y), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_singular_covariances_take_the_nuclear_path():
    """A constant feature and a doubled one change nothing but the weight of the doubled."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) + 1
    padded = [np.column_stack([z, np.ones(len(z)), np.zeros(len(z))]) for z in (x, y)]
    assert frechet(*padded) == pytest.approx(frechet(x, y), abs=1e-9)


def test_large_offset_loses_no_digits():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(200, 5)), rng.normal(size=(200, 5))
    assert frechet(x + 1e6, y + 1e6)[0] == pytest.approx(frechet(x, y)[0], abs=1e-8)


def test_influence_is_the_derivative():
    """The standard error against a delete-one jackknife, which has the same limit."""
    rng = np.random.default_rng(6)
    x, y = correlated(rng, 150, 4), correlated(rng, 200, 4, 1.5, 0.4)
    left_out = [
        np.array([frechet(np.delete(x, i, 0), y)[0] for i in range(150)]),
        np.array([frechet(x, np.delete(y, i, 0))[0] for i in range(200)]),
    ]
    jackknife = np.sqrt(sum((len(value) - 1) * value.var() for value in left_out))
    assert frechet(x, y)[1] == pytest.approx(jackknife, rel=0.03)


def test_null_bias_has_its_formula():
    """E[FD] = s^2 (1/n + 1/m)(d + d(d + 1)/4) to first order; 60 replicates at five errors: below 1e-5 false alarms."""
    rng = np.random.default_rng(7)
    n, m, d, s = 1000, 1500, 16, 2.0
    values = [frechet(s * rng.normal(size=(n, d)), s * rng.normal(size=(m, d)))[0] for _ in range(60)]
    expected = s**2 * (1 / n + 1 / m) * (d + d * (d + 1) / 4)
    assert abs(np.mean(values) - expected) < 5 * np.std(values) / np.sqrt(60) + 0.01 * expected


def test_standard_error_is_the_spread():
    """80 redrawn pairs: the spread's own error is 8 %, so a ratio outside 0.65..1.55 has odds below 1e-4."""
    rng = np.random.default_rng(8)
    runs = np.array([frechet(rng.normal(size=(250, 8)), rng.normal(size=(250, 8)) + 0.5) for _ in range(80)])
    assert 0.65 < runs[:, 1].mean() / runs[:, 0].std() < 1.55


def test_standard_error_is_too_large_where_the_laws_agree():
    """As its docstring says: 200 redrawn pairs of one law; the ratio's own error is 5 %, six of them to either side."""
    rng = np.random.default_rng(9)
    runs = np.array([frechet(rng.normal(size=(250, 8)), rng.normal(size=(250, 8))) for _ in range(200)])
    assert 1.1 < runs[:, 1].mean() / runs[:, 0].std() < 1.9


@pytest.mark.parametrize("shapes", [((5, 2), (5, 3)), ((1, 2), (5, 2)), ((5,), (5,))])
def test_wrong_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="shapes"):
        frechet(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_not_finite_is_refused():
    x = np.zeros((5, 2))
    with pytest.raises(ValueError, match="1 of 5 rows of the second set"):
        frechet(x, np.where(np.arange(5)[:, None] == 3, np.nan, x))

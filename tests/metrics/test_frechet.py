"""The Frechet distance against closed forms, the usual formulas and its own bias and spread; and its limit."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from gm.metrics import frechet as module
from gm.metrics.frechet import frechet, frechet_gaussian, frechet_infinity, frechet_null


def correlated(rng, n, d, scale=1.0, shift=0.0):
    return shift + scale * rng.normal(size=(n, d)) @ (np.eye(d) + rng.normal(size=(d, d)) / d)


def by_square_root(x, y):
    """As pytorch-fid: the real part of a matrix square root of the product of covariances."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    return shift @ shift + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2).real)


def by_eigenvalues(x, y):
    """As torch-fidelity: roots of the eigenvalues of that product."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    roots = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real
    return shift @ shift + np.trace(s1) + np.trace(s2) - 2 * roots.sum()


@pytest.mark.parametrize("formula", [by_square_root, by_eigenvalues])
@pytest.mark.parametrize("n, m, d", [(250, 250, 64), (300, 200, 10), (50, 400, 3), (2000, 1500, 128)])
def test_equals_the_usual_formulas(formula, n, m, d):
    rng = np.random.default_rng(0)
    x, y = correlated(rng, n, d), correlated(rng, m, d, 1.5, 0.3)
    assert frechet(x, y)[0] == pytest.approx(formula(x, y), rel=1e-8)


@pytest.mark.parametrize("n, m, d", [(300, 200, 40), (30, 200, 40)])
def test_given_moments_equal_given_features(n, m, d):
    """Also where the first covariance is singular, n <= d."""
    rng = np.random.default_rng(10)
    x, y = correlated(rng, n, d), correlated(rng, m, d, 1.5, 0.3)
    moments = [moment for z in (x, y) for moment in (z.mean(0), np.cov(z, rowvar=False))]
    assert frechet_gaussian(*moments) == pytest.approx(frechet(x, y)[0], rel=1e-6)


def test_singular_covariances_in_closed_form():
    s1, s2 = np.diag([1.0, 0.0, 4.0]), np.diag([9.0, 1.0, 4.0])
    assert frechet_gaussian(np.zeros(3), s1, np.ones(3), s2) == pytest.approx(3 + 4 + 1, rel=1e-7)


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
        np.array([module._influences(np.delete(x, i, 0), y)[0] for i in range(150)]),
        np.array([module._influences(x, np.delete(y, i, 0))[0] for i in range(200)]),
    ]
    jackknife = sum((len(value) - 1) * value.var() for value in left_out)
    assert frechet(x, y)[1] ** 2 == pytest.approx(jackknife - module._second_order(x, y), rel=0.06)


def test_null_law_within_two_percent():
    """120 pairs in 40 dimensions: the mean's own error is 0.4 %, second-order terms 0.4 %; false alarms below 1e-3."""
    rng = np.random.default_rng(7)
    n, m, d, s = 1500, 2500, 40, 2.0
    values = [module._influences(s * rng.normal(size=(n, d)), s * rng.normal(size=(m, d)))[0] for _ in range(120)]
    assert np.mean(values) == pytest.approx(frechet_null(d, n, m, s**2), rel=0.02)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_standard_error_is_the_spread(shift):
    """300 redrawn pairs, of one law too: 1.0 to 1.1 in long runs; the ratio's own error is 4 %, five of them."""
    rng = np.random.default_rng(8)
    runs = np.array([frechet(rng.normal(size=(250, 8)), rng.normal(size=(250, 8)) + shift) for _ in range(300)])
    assert 0.8 < runs[:, 1].mean() / runs[:, 0].std() < 1.3


def test_second_order_variance_of_equal_gaussians():
    """To first order in 1/n it is $2 s^4 (1/n + 1/m)^2 (d + d/4 + d (d - 1)/8)$.

    The d are the means', d/4 and d (d - 1)/8 those of the variances and covariances, whose quadratic form is
    $|D|^2 / (4 s^2)$. 300 pairs: five errors of the mean, of some 4 %; false alarms below 1e-5, higher orders 5 %.
    """
    rng, (n, m, d, s) = np.random.default_rng(9), (300, 500, 4, 2.0)
    runs = [module._second_order(s * rng.normal(size=(n, d)), s * rng.normal(size=(m, d))) for _ in range(300)]
    expected = 2 * s**4 * (1 / n + 1 / m) ** 2 * (d + d / 4 + d * (d - 1) / 8)
    assert abs(np.mean(runs) - expected) < 5 * np.std(runs) / np.sqrt(300) + 0.05 * expected


def test_the_limit_is_the_intercept_of_a_line(monkeypatch):
    """A distance that is 3 + 2 / n is 3 without end, on every number of parts."""
    line = lambda x, y: (3 + 2 / len(x), np.zeros(len(x)), np.zeros(len(y)))  # noqa: E731
    monkeypatch.setattr(module, "_influences", line)
    for n in (22, 88, 1000):
        value, _, curve = frechet_infinity(np.ones((n, 10)), np.ones((n + 7, 10)), rng=np.random.default_rng(0))
        assert value == pytest.approx(3.0, rel=1e-9)
        assert (n // (1 / curve[:, 0]).round() == np.arange(1, len(curve) + 1)).all()
        assert len(curve) == {22: 2, 88: 8, 1000: 8}[n]


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_limit_has_no_bias_in_either_set_and_an_honest_error(shift):
    """64 pairs of 240 and 300 rows: the mean within five errors of d shift^2, where the plain one is far away.

    The error is 1.0 to 1.1 times the spread, whose own error is 9 %; false alarms below 1e-3. At nominal 95 % an
    interval that is right covers fewer than 55 of 64 with odds of 1e-3.
    """
    rng, d = np.random.default_rng(11), 8
    runs, plain = [], []
    for _ in range(64):
        x, y = rng.normal(size=(240, d)), rng.normal(size=(300, d)) + shift
        runs.append(frechet_infinity(x, y, rng=rng)[:2])
        plain.append(frechet(x, y)[0])
    (values, errors), truth = np.array(runs).T, d * shift**2
    assert abs(values.mean() - truth) < 5 * values.std() / 8
    assert np.mean(plain) - truth > 5 * np.std(plain) / 8
    assert 0.7 < errors.mean() / values.std() < 1.5
    assert (abs(values - truth) < 1.96 * errors).sum() >= 55


def test_the_curve_begins_with_the_distance_of_all_rows():
    x, y = np.random.default_rng(12).normal(size=(2, 200, 5))
    value, se, curve = frechet_infinity(x, y, rng=np.random.default_rng(0), splits=4)
    assert curve[:, 0].tolist() == [1 / 200, 1 / 100, 1 / 66, 1 / 50]
    assert curve[0, 1] == pytest.approx(frechet(x, y)[0], rel=1e-9)
    again = frechet_infinity(x, y, rng=np.random.default_rng(0), splits=4)
    assert again[:2] == (value, se) and (again[2] == curve).all()


def test_too_few_rows_for_a_limit_are_refused():
    with pytest.raises(ValueError, match="at least 12 of each"):
        frechet_infinity(np.zeros((11, 5)), np.zeros((19, 5)), rng=np.random.default_rng(0))


@pytest.mark.parametrize("shapes", [((5, 2), (5, 3)), ((1, 2), (5, 2)), ((5,), (5,))])
def test_wrong_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match="shapes"):
        frechet(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_not_finite_is_refused():
    x = np.zeros((5, 2))
    with pytest.raises(ValueError, match="1 of 5 rows of the second set"):
        frechet(x, np.where(np.arange(5)[:, None] == 3, np.nan, x))


@pytest.mark.parametrize(("n", "m"), [(2000, 300), (300, 2000), (450, 300)])
def test_extrapolation_error_of_sets_of_unequal_size(n, m):
    """Mean standard error over 60 redraws against their spread: 0.75 to 1.5 (the spread itself is known to 9 %)."""
    rng = np.random.default_rng(11)
    law = np.diag(np.linspace(0.5, 2, 6))
    runs = np.array([
        frechet_infinity(rng.normal(size=(n, 6)), rng.normal(size=(m, 6)) @ law, rng=rng)[:2] for _ in range(60)
    ])  # fmt: skip
    assert 0.75 < runs[:, 1].mean() / runs[:, 0].std(ddof=1) < 1.5

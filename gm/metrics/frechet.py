"""Frechet distance between two sets of feature vectors: its error, its bias, and its limit for endless sets."""

import numpy as np
from numpy import ndarray
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh, qr, solve_triangular, svd

SPLITS = 8


def frechet(x: ndarray, y: ndarray) -> tuple[float, float]:
    r"""Squared 2-Wasserstein distance between the Gaussians fitted to two sets.

    $$ FD = |\mu - \nu|^2 + \mathrm{tr}\,S_1 + \mathrm{tr}\,S_2 - 2\,\mathrm{tr}\,(S_1 S_2)^{1/2} $$

    The mean and covariance (n - 1 in the denominator) are taken in two passes, in float64. No matrix square
    root is formed. For more rows than columns $S_1 = LL^T$, and the last trace is that of the roots of the
    eigenvalues of $L^T S_2 L$; otherwise, or where $S_1$ is singular, it is the nuclear norm of
    $(X - \mu)(Y - \nu)^T / \sqrt{(n-1)(m-1)}$.

    The standard error is that over the rows of *both* sets: how far the value would move, had other rows been
    drawn, the feature net and the model being held fixed. Its square is the infinitesimal jackknife (delta method)
    less the second-order variance, which a jackknife counts twice and which is all there is where the two laws agree.
    That is estimated from how parts of the sets interact, where half a set has more than d rows; with fewer the error
    is up to 1.5 times too large for equal laws. It does not cover the upward bias of the value, see `frechet_null`:
    compare values at one n, and beside the value of real data.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium (Heusel et al., 2017).
        The Frechet Distance between Multivariate Normal Distributions (Dowson & Landau, 1982).
        The Jackknife Estimate of Variance (Efron & Stein, 1981).

    Arguments:
        x: features, `[n, d]`.
        y: features, `[m, d]`.

    Returns:
        The distance and its standard error, in the features' units squared.

    Raises:
        ValueError: if the two are not finite matrices of at least two rows and of one width.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> value, se = frechet(x, x + 2.0)
        >>> round(value, 9)
        12.0
    """
    x, y = checked(x, y)
    value, influence_x, influence_y = _influences(x, y)
    return float(value), _error(influence_x, influence_y, _second_order(x, y))


def frechet_infinity(
    x: ndarray, y: ndarray, *, rng: np.random.Generator, splits: int = SPLITS
) -> tuple[float, float, ndarray]:
    r"""Frechet distance extrapolated to endless sets, both of them.

    The upward bias of the distance is in proportion to 1/n where both sets have n rows and n exceeds their width
    d. For k = 1, 2, ..., K the N rows that both sets have are split at random into k pairs of disjoint parts of
    $n_k = \lfloor N/k \rfloor$ rows, and $FD_k$ is the mean distance of a pair; the value is the intercept of the
    least-squares line

    $$ FD_k \approx FD_\infty + c / n_k . $$

    K is `splits`, or less, so that every part has more than d rows: with fewer the covariances are singular and the
    bias is no line (halves of 1000 images in 1280 features left a quarter of it). The value may be negative, and its
    mean is near zero for equal laws.

    An intercept is a sum of the $FD_k$ with weights $w_k$ known beforehand, so the standard error is that of `frechet`
    with each row's influences summed with the same weights: every size uses the same rows, and this counts what they
    share. The second-order variance is that of `frechet` times $1 + \sum_k (k - 1) w_k^2$: a pair of rows is in one of
    k parts with a chance of 1/k, and then weighs k times as much.

    References:
        Effectively Unbiased FID and Inception Score and Where to Find Them (Chong & Forsyth, 2020), where the
        first set alone is extrapolated, which leaves the bias of the second.

    Arguments:
        x: features, `[n, d]`, n >= 2 d + 2.
        y: features, `[m, d]`, m >= 2 d + 2.
        rng: source of the splits.
        splits: largest number of parts, K.

    Returns:
        The distance, its standard error, and the curve, `[K, 2]`: $1/n_k$ and $FD_k$.

    Raises:
        ValueError: as `frechet`, or for fewer rows.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> value, se, curve = frechet_infinity(*rng.normal(size=(2, 400, 3)), rng=rng)
        >>> bool(abs(value) < 2 * se), bool(curve[0, 1] < curve[-1, 1])
        (True, True)
    """
    x, y = checked(x, y)
    rows, d = min(len(x), len(y)), x.shape[1]
    if rows < 2 * d + 2:
        found = f"found {len(x)} and {len(y)} rows of {d} features"
        raise ValueError(f"{found}; expected at least {2 * d + 2} of each, so that each half has more than {d}")
    curve, influences = [], []
    for parts in range(1, min(splits, rows // (d + 1)) + 1):
        size, values = rows // parts, []
        of_x, of_y = np.zeros(len(x)), np.zeros(len(y))
        left, right = (rng.permutation(len(z))[: parts * size].reshape(parts, size) for z in (x, y))
        for i, j in zip(left, right, strict=True):
            value, of_x[i], of_y[j] = _influences(x[i], y[j])
            values.append(value)
        for of, used in ((of_x, left), (of_y, right)):  # of the mean over parts, in which rows left over have no part
            of[used] = (of[used] - of[used].mean()) * len(of) / used.size
        curve.append((1 / size, np.mean(values)))
        influences.append((of_x, of_y))
    curve = np.array(curve)
    weights = np.linalg.pinv(np.column_stack([np.ones(len(curve)), rows * curve[:, 0]]))[0]
    of_x, of_y = zip(*influences, strict=True)
    second_order = (1 + np.arange(len(curve)) @ weights**2) * _second_order(x, y)
    return float(weights @ curve[:, 1]), _error(weights @ of_x, weights @ of_y, second_order), curve


def frechet_gaussian(mu: ndarray, s1: ndarray, nu: ndarray, s2: ndarray) -> float:
    r"""Squared 2-Wasserstein distance between two Gaussians of given means and covariances.

    The equation is that of `frechet`; with $S_1 = LL^T$ the last trace is that of the roots of the eigenvalues
    of $L^T S_2 L$, where L is the Cholesky factor (LAPACK's generalised symmetric problem), or for a singular $S_1$ its
    eigenvectors times the roots of its eigenvalues.

    Reference:
        The Frechet Distance between Multivariate Normal Distributions (Dowson & Landau, 1982).

    Arguments:
        mu, nu: means, `[d]`.
        s1, s2: covariances, `[d, d]`.

    Returns:
        The distance, in the features' units squared.

    Example:
        >>> import numpy as np
        >>> frechet_gaussian(np.zeros(2), np.eye(2), np.ones(2), 4 * np.eye(2))
        4.0
    """
    shift = mu - nu
    try:
        values = eigh(s2, s1, type=2, driver="gv", eigvals_only=True)
    except LinAlgError:
        values, vectors = eigh(s1)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        values = eigvalsh(factor.T @ s2 @ factor)
    roots = np.sqrt(np.maximum(values, 0.0))
    return float(shift @ shift + np.trace(s1) + np.trace(s2) - 2 * roots.sum())


def frechet_null(d: int, n: int, m: int, s2: float = 1.0) -> float:
    r"""Mean distance between n and m draws of one isotropic Gaussian, to first order in 1/n and 1/m.

    $$ E[FD] = s^2 \left(\frac1n + \frac1m\right) \left(d + \frac{d(d + 1)}{4}\right) $$

    The d is of the means, the d(d + 1)/4 of the covariances: to second order in $D = S_1 - S_2$ the distance of
    two covariances near $s^2 I$ is $|D|^2 / (4 s^2)$.

    Arguments:
        d: number of features.
        n: rows of the first set, several times d.
        m: rows of the second set, several times d.
        s2: variance of each feature.

    Returns:
        The mean, in the features' units squared.

    Example:
        >>> round(frechet_null(64, 2000, 2000), 3)
        1.104
    """
    return s2 * (1 / n + 1 / m) * (d + d * (d + 1) / 4)


def checked(x: ndarray, y: ndarray) -> tuple[ndarray, ndarray]:
    """Two sets of features as float64, or a ValueError that says what is wrong with them."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"features have shapes {x.shape} and {y.shape}; expected [n >= 2, d] and [m >= 2, d]")
    for name, features in (("first", x), ("second", y)):
        if not np.isfinite(features).all():
            bad = int((~np.isfinite(features)).any(1).sum())
            raise ValueError(f"{bad} of {len(features)} rows of the {name} set are not finite; expected numbers")
    return x, y


def _influences(x: ndarray, y: ndarray) -> tuple[float, ndarray, ndarray]:
    """The distance, and the influence on it of each row of the two sets."""
    (n, _), (m, _) = x.shape, y.shape
    mu, nu = x.mean(0), y.mean(0)
    x, y, shift = x - mu, y - nu, mu - nu
    trace, a, b = _by_cholesky(x, y) or _by_nuclear_norm(x, y)
    x2, y2 = np.square(x).sum(1), np.square(y).sum(1)
    value = shift @ shift + x2.sum() / (n - 1) + y2.sum() / (m - 1) - 2 * trace
    return value, 2 * x @ shift + x2 - a, -2 * y @ shift + y2 - b


def _error(influence_x: ndarray, influence_y: ndarray, second_order: float) -> float:
    """Standard error; the jackknife's variance counts the second-order part twice, so at most half of it is that."""
    jackknife = sum(influence.var(ddof=1) / len(influence) for influence in (influence_x, influence_y))
    return float(np.sqrt(max(jackknife - second_order, jackknife / 2)))


# Quarters a, b, c, d of both sets at random: for a quadratic form F of the difference of two measures, F(ac) + F(bd) -
# F(ad) - F(bc) is half the product of a - b and c - d, free of what is linear, and its variance is 8 times that of
# the quadratic part of F on the whole sets.
def _second_order(x: ndarray, y: ndarray) -> float:
    """Variance of the distance's second-order part; 0 if half a set has d rows or less, for want of an estimate."""
    if min(len(x), len(y)) // 2 <= x.shape[1]:
        return 0.0
    rng, squares = np.random.default_rng(0), []
    for _ in range(SPLITS):
        (a, b, c, d), (e, f, g, h) = (np.array_split(rng.permutation(len(z)), 4) for z in (x, y))
        ac, bd, ad, bc = (
            _influences(x[np.r_[of_x]], y[np.r_[of_y]])[0]
            for of_x, of_y in (((a, c), (e, g)), ((b, d), (f, h)), ((a, d), (e, h)), ((b, c), (f, g)))
        )
        squares.append((ac + bd - ad - bc) ** 2)
    return float(np.mean(squares) / 8)


# With A the optimal map between the Gaussians, a_i = x_i' A x_i and b_j = y_j' A^-1 y_j are the influences of
# the rows on twice the trace; sum a / (n - 1) = sum b / (m - 1) = trace.
def _by_cholesky(x: ndarray, y: ndarray) -> tuple[float, ndarray, ndarray] | None:
    (n, d), m = x.shape, len(y)
    if min(n, m) <= d:
        return None
    try:
        factor = cholesky(x.T @ x / (n - 1), lower=True)
    except LinAlgError:
        return None
    pivots = np.square(factor.diagonal())
    if pivots.min() < d * np.finfo(np.float64).eps * pivots.max():
        return None
    image = y @ factor
    values, vectors = eigh(image.T @ image / (m - 1))
    root = np.sqrt(np.maximum(values, 0.0))
    a = np.square(solve_triangular(factor, x.T, lower=True).T @ vectors) @ root
    b = np.square(image @ vectors) @ _inverse(root)
    return root.sum(), a, b


def _by_nuclear_norm(x: ndarray, y: ndarray) -> tuple[float, ndarray, ndarray]:
    n, m = len(x), len(y)
    if max(n, m) <= x.shape[1]:
        u, s, v = svd(x @ y.T / np.sqrt((n - 1) * (m - 1)), full_matrices=False)
        return s.sum(), (n - 1) * np.square(u) @ s, (m - 1) * np.square(v.T) @ s
    (q, r), (p, t) = qr(x, mode="economic"), qr(y, mode="economic")
    u, s, v = svd(r @ t.T / np.sqrt((n - 1) * (m - 1)), full_matrices=False)
    return s.sum(), (n - 1) * np.square(q @ u) @ s, (m - 1) * np.square(p @ v.T) @ s


def _inverse(root: ndarray) -> ndarray:
    kept = root > np.sqrt(len(root) * np.finfo(np.float64).eps) * root.max()
    return np.divide(1.0, root, out=np.zeros_like(root), where=kept)

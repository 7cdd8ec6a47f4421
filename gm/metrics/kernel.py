"""Kernel distance between two sets of feature vectors, with its standard error."""

import numpy as np
from numpy import ndarray

from gm.metrics.frechet import checked

BLOCK = 1024


def kid(x: ndarray, y: ndarray) -> tuple[float, float]:
    r"""Unbiased squared maximum mean discrepancy with the cubic kernel $k(x, y) = (x^T y / d + 1)^3$.

    $$ \frac{\sum_{i \ne j} k(x_i, x_j)}{n(n-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{m(m-1)}
       - \frac{2 \sum_{ij} k(x_i, y_j)}{nm} $$

    All pairs are used, so nothing is drawn at random; the value may be negative, and its mean is zero for
    equal distributions. The standard error is the delete-one jackknife over the rows of both sets, with net
    and model held fixed. Where the distributions are equal the statistic is degenerate and this is
    conservative: its square is about twice the variance.

    References:
        Demystifying MMD GANs (Binkowski, Sutherland, Arbel & Gretton, 2018).
        The Jackknife Estimate of Variance (Efron & Stein, 1981).

    Arguments:
        x: features, `[n, d]`, n >= 3.
        y: features, `[m, d]`, m >= 3.

    Returns:
        The squared discrepancy and its standard error.

    Raises:
        ValueError: if the two are not finite matrices of at least three rows and of one width.

    Example:
        >>> import numpy as np
        >>> value, se = kid(np.zeros((4, 2)), np.ones((4, 2)))
        >>> value
        7.0
    """
    x, y = checked(x, y)
    n, m = len(x), len(y)
    if min(n, m) < 3:
        raise ValueError(f"found {n} and {m} rows; expected at least 3 of each, as one at a time is left out")
    xx, yy = _row_sums(x, x) - _kernel(x), _row_sums(y, y) - _kernel(y)
    xy, yx = _row_sums(x, y), _row_sums(y, x)
    within_x, within_y, across = xx.sum() / (n * (n - 1)), yy.sum() / (m * (m - 1)), xy.sum() / (n * m)
    value = within_x + within_y - 2 * across
    without_x = (xx.sum() - 2 * xx) / ((n - 1) * (n - 2)) - 2 * (xy.sum() - xy) / ((n - 1) * m)
    without_y = (yy.sum() - 2 * yy) / ((m - 1) * (m - 2)) - 2 * (yx.sum() - yx) / ((m - 1) * n)
    return float(value), float(np.sqrt((n - 1) * without_x.var() + (m - 1) * without_y.var()))


def _kernel(x: ndarray) -> ndarray:
    return (np.square(x).sum(1) / x.shape[1] + 1) ** 3


def _row_sums(x: ndarray, y: ndarray) -> ndarray:
    """Sum over j of k(x_i, y_j), `[n]`, a block of rows at a time."""
    starts = range(0, len(x), BLOCK)
    return np.concatenate([((x[i : i + BLOCK] @ y.T / x.shape[1] + 1) ** 3).sum(1) for i in starts])

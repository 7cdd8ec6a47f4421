"""Kernel distance between two sets of feature vectors, with its standard error."""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from gm.metrics.frechet import checked

BLOCK = 1024


def kid(x: ndarray, y: ndarray) -> tuple[float, float]:
    r"""Unbiased squared maximum mean discrepancy with the cubic kernel $k(x, y) = (x^T y / d + 1)^3$.

    $$ \frac{\sum_{i \ne j} k(x_i, x_j)}{n(n-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{m(m-1)}
       - \frac{2 \sum_{ij} k(x_i, y_j)}{nm} $$

    All pairs are used, so nothing is drawn at random; the value may be negative, and its mean is zero for
    equal distributions. The variance is the delete-one jackknife over the rows of both sets, with net and model
    held fixed, less the second-order term $2 v_{xx}/n^2 + 2 v_{yy}/m^2 + 4 v_{xy}/(nm)$, v the mean square of the
    doubly centred kernel over pairs: the jackknife counts that term twice, and where the distributions are equal
    there is no other.

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
    jackknife = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    centre = xx / (n - 1) - within_x / 2, yy / (m - 1) - within_y / 2
    twice = 2 * (_squares(x, x, centre[0], centre[0]) - np.square(_kernel(x) - 2 * centre[0]).sum()) / n**4
    twice += 2 * (_squares(y, y, centre[1], centre[1]) - np.square(_kernel(y) - 2 * centre[1]).sum()) / m**4
    twice += 4 * _squares(x, y, xy / m - across / 2, yx / n - across / 2) / (n * m) ** 2
    return float(value), float(np.sqrt(max(jackknife - twice, jackknife / 2)))


def _kernel(x: ndarray) -> ndarray:
    return (np.square(x).sum(1) / x.shape[1] + 1) ** 3


def _row_sums(x: ndarray, y: ndarray) -> ndarray:
    """Sum over j of k(x_i, y_j), `[n]`, a block of rows at a time."""
    return np.concatenate([block.sum(1) for block in _blocks(x, y)])


def _squares(x: ndarray, y: ndarray, of_x: ndarray, of_y: ndarray) -> float:
    """Sum over i and j of (k(x_i, y_j) - of_x_i - of_y_j)^2."""
    of_rows = (of_x[i : i + BLOCK, None] for i in range(0, len(x), BLOCK))
    return sum(np.square(block - rows - of_y).sum() for block, rows in zip(_blocks(x, y), of_rows, strict=True))


def _blocks(x: ndarray, y: ndarray) -> Iterator[ndarray]:
    return ((x[i : i + BLOCK] @ y.T / x.shape[1] + 1) ** 3 for i in range(0, len(x), BLOCK))

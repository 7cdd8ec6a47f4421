"""Do two metrics, or two feature nets, rank the models alike?"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

ALPHA = 0.05


def kendall(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    r"""Kendall's rank correlation of two columns of numbers over the same models.

    $$ \tau = \frac{C - D}{\sqrt{(P - T_x)(P - T_y)}} $$

    with C concordant, D discordant, $T_x$ and $T_y$ tied ones of the $P = n(n-1)/2$ pairs of models. Without ties the
    p-value is exact: the share of all n! orders whose |τ| is at least as large. With ties it is asymptotic.

    Reference: M. G. Kendall, *A new measure of rank correlation*, 1938; *The treatment of ties in ranking problems*,
    1945.

    Arguments:
        x: `[n]`, one number per model.
        y: `[n]`, another.

    Returns:
        τ in -1..1 and the two-sided p-value of independence; NaN for fewer than two models, or for a column that
        ties all of them.

    Example:
        >>> tau, p = kendall([1, 2, 3, 4], [1, 2, 4, 3])
        >>> round(tau, 3), round(p, 3)
        (0.667, 0.333)
    """
    from scipy.stats import kendalltau

    if len(x) < 2 or len(set(x)) < 2 or len(set(y)) < 2:
        return math.nan, math.nan
    found = kendalltau(x, y)
    return float(found.statistic), float(found.pvalue)


def critical(n: int) -> float:
    """The smallest |τ| of n untied models that is told from no agreement at 5 %, infinite where none is.

    Example:
        >>> critical(4), round(critical(10), 3)
        (inf, 0.511)
    """
    least = math.inf
    for inversions in range(n * (n - 1) // 4 + 1):
        order, left = list(range(n)), inversions
        for i in range(n):  # the order that has this many inversions: move what is left to the front, as far as needed
            step = min(left, n - 1 - i)
            order.insert(i, order.pop(i + step))
            left -= step
        tau, p = kendall(range(n), order)
        if not p < ALPHA:
            break
        least = tau
    return least


def matrix(columns: Mapping[str, Mapping[str, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kendall's τ between all pairs of metrics, each pair over the models that have both.

    Arguments:
        columns: per metric, by model, a number of which more is better.

    Returns:
        τ, its p-value and the number of models, each `[k, k]` in the order of `columns`; 1 and 0 on the diagonal.
    """
    names = list(columns)
    tau, p, n = np.eye(len(names)), np.zeros((len(names),) * 2), np.zeros((len(names),) * 2, int)
    for i, first in enumerate(names):
        n[i, i] = len(columns[first])
        for j in range(i):
            shared = [model for model in columns[first] if model in columns[names[j]]]
            found = kendall(*([columns[name][model] for model in shared] for name in (first, names[j])))
            tau[i, j], p[i, j] = tau[j, i], p[j, i] = found
            n[i, j] = n[j, i] = len(shared)
    return tau, p, n

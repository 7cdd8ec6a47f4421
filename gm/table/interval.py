"""Intervals over seeds: Student's t, because three seeds are not thirty."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
NORMAL = 1.959963984540054


def moved(values: Sequence[float]) -> bool:
    """Whether seeds move a number at all: the same images in another order differ by rounding alone.

    Example:
        >>> moved([0.1 + 0.2, 0.3]), moved([0.3, 0.31])
        (False, True)
    """
    return max(values) - min(values) > 1e-9 * max(map(abs, values))


def half_width(values: Sequence[float]) -> float:
    r"""Half width of Student's 95 % interval for a mean over `S` seeds, $t_{0.975, S-1}\, s / \sqrt{S}$.

    Reference: Student, *The probable error of a mean*, 1908.

    Arguments:
        values: `[S]`, one number per seed.

    Returns:
        The half width in the unit of `values`; infinite with fewer than two seeds, which tell no spread.

    Example:
        >>> round(half_width([1.0, 2.0, 3.0]), 3)
        2.484
    """
    if len(values) < 2:
        return math.inf
    spread = float(np.std(values, ddof=1)) if moved(values) else 0.0
    return float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * spread / math.sqrt(len(values))


def across(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    r"""Mean over seeds, and a 95 % half width that covers both the seeds and the shared test items.

    $$ h^2 = \Big(t_{0.975,S-1} \frac{s}{\sqrt S}\Big)^2 + (z_{0.975}\, \bar e)^2 $$

    The second term is not divided by S: every seed is judged on the same test items, so their error does not
    average out. With one seed only the second term is left.

    Arguments:
        values: `[S]`, one number per seed, in any unit; an infinite one makes the mean infinite.
        errors: `[S]`, its standard error over test items (and of a shared constant), same unit.

    Returns:
        `(mean, half width)`; the half width of an infinite mean is 0.

    Example:
        >>> across([1.0, 1.0, 1.0], [0.5, 0.5, 0.5])[1] == NORMAL * 0.5
        True
    """
    mean = float(np.mean(values) if moved(values) else values[0])
    if not math.isfinite(mean):
        return mean, 0.0
    spread = half_width(values) if len(values) > 1 else 0.0
    return mean, math.hypot(spread, NORMAL * float(np.mean(errors)))

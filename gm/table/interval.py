"""Intervals and tests over seeds and test items: Student's t below ten seeds, because three seeds are not thirty.

The unit is the seed. All seeds, and all contestants, are judged on the same test items, so that the items' error does
not average out over seeds.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

LEVEL = 0.95
NORMAL = 1.959963984540054
BLOCK = 100


def moved(values: Sequence[float]) -> bool:
    """Whether seeds move a number at all: the same images in another order differ by rounding alone.

    Example:
        >>> moved([0.1 + 0.2, 0.3]), moved([0.3, 0.31])
        (False, True)
    """
    return max(values) - min(values) > 1e-9 * max(map(abs, values))


def standard_error(values: Sequence[float]) -> float:
    r"""Standard error of a mean over seeds, $s / \sqrt S$; 0 of one seed, and where seeds move nothing."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if moved(values) else 0.0


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
    return float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * standard_error(values)


def across(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    r"""Mean over seeds, and a 95 % half width that covers both the seeds and the shared test items.

    $$ h = \big(z + (t - z)\, c^a\big) \sqrt{s^2 / S + \bar e^2}, \qquad
       c = \frac{s^2 / S}{s^2 / S + \bar e^2}, \quad t = t_{0.975, S-1}, \quad z = z_{0.975}, \quad a = \tfrac32 $$

    The items' error is not divided by S: it is the same for every seed. The critical value goes from the normal one
    (seeds do not differ) to Student's (items do not count). With a = 1 it is Cochran's, which covers up to 97.1 % with
    three seeds; with 2 it is, to first order, Welch's, which covers 93.4 % where both matter. Between them, whatever
    the share of the seeds, it covers 94 to 96 % with three seeds or more. With two, a = 5/4, and it covers 93 to 97 %.
    With one seed only the items' error is left.

    References:
        Cochran, Approximate significance levels of the Behrens-Fisher test, 1964.
        Welch, The generalization of 'Student's' problem when several different population variances are involved, 1947.

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
    seeds, items = standard_error(values), float(np.mean(errors))
    total = math.hypot(seeds, items)
    if seeds == 0:
        return mean, NORMAL * items
    student = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    power = 3 if len(values) > 2 else 2.5
    return mean, (NORMAL + (student - NORMAL) * (seeds / total) ** power) * total


def p_value(values: Sequence[float], errors: Sequence[float]) -> float:
    r"""Two-sided p-value of a mean over seeds that share their test items: the level p at which

    $$ \bar v^2 = \Big(t_{1 - p/2,\, S-1} \frac{s}{\sqrt S}\Big)^2 + \big(z_{1 - p/2}\, \bar e\big)^2 . $$

    Student's and the normal half width in quadrature reject at most as often as they say at every level, which a
    correction for many comparisons needs: approximations of the degrees of freedom, and the critical value of `across`,
    are made for 5 %, and with three seeds they reject several times too often at 0.2 %. The price is power: where seeds
    and items matter equally, this rejects 2.5 % of three seeds at 5 %, so that an interval of `across` may exclude a
    value which this does not reject.

    Arguments:
        values: `[S]`, one number per seed, 0 where nothing is to be told; an infinite one gives 0.
        errors: `[S]`, its standard error over test items.

    Returns:
        A number in [0, 1]; the normal p-value where seeds move nothing.

    Example:
        >>> round(p_value([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), 4), round(p_value([NORMAL], [1.0]), 4)
        (0.0742, 0.05)
    """
    mean = float(np.mean(values) if moved(values) else values[0])
    return p_of(mean, standard_error(values), len(values), float(np.mean(errors)))


def p_of(mean: float, seeds: float, count: int, items: float) -> float:
    """`p_value` from a mean, its standard error over a number of seeds (0 where they move nothing), and over items.

    Example:
        >>> round(p_of(2.0, 3**-0.5, 3, 0.0), 4), p_of(0.0, 0.0, 1, 0.0)
        (0.0742, 1.0)
    """
    if not math.isfinite(mean):
        return 0.0
    if mean == 0 or seeds == items == 0:
        return float(mean == 0)

    def excess(log_p: float) -> float:
        tail = math.exp(log_p) / 2
        student = stdtrit(count - 1, tail) * seeds if seeds else 0.0
        return math.hypot(student, ndtri(tail) * items) - abs(mean)

    least = math.log(1e-300)
    return 1e-300 if excess(least) < 0 else math.exp(brentq(excess, least, 0.0, xtol=1e-12))


def bootstrap(values: np.ndarray, *, rng: np.random.Generator, draws: int = 2000) -> tuple[float, float, float]:
    r"""Mean over seeds and items, with a hierarchical bootstrap's 95 % interval: for ten seeds or more.

    Seeds are drawn with replacement, and test items with replacement, the same for all seeds, which share them. The
    quantiles are those of the studentised mean $t^* = (\bar v^* - \bar v) / e^*$, the interval
    $\bar v - t^*_{0.975}\, e,\ \bar v - t^*_{0.025}\, e$, with the error of a mean over a two-way table

    $$ e^2 = \frac{s_{\text{seeds}}^2}{S} + \frac{s_{\text{items}}^2}{n} - \frac{s_{\text{rest}}^2}{S n}, $$

    where s are the standard deviations of the seeds' means, of the items' means, and of what these two leave, which is
    in both of them. The plain percentiles cover 91 % of 12 seeds where seeds differ, and nearly all where neither
    seeds nor items do, because what is left is then drawn twice; the studentised ones cover 94 to 97 %.

    References:
        Owen, The pigeonhole bootstrap, 2007.
        Hall, Theoretical comparison of bootstrap confidence intervals, 1988 (the studentised mean).

    Arguments:
        values: `[S, n]`, one number per seed and test item, S and n at least 2.
        rng: source of the resamples.
        draws: their number.

    Returns:
        `(mean, low, high)` in the unit of `values`; all equal where nothing varies.

    Raises:
        ValueError: if there are fewer than two seeds or items, or an infinite value.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> mean, low, high = bootstrap(rng.normal(1, 1, (12, 200)), rng=rng)
        >>> low < mean < high
        True
    """
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(f"found values of shape {values.shape}; expected finite [S, n] with S and n at least 2")
    seeds, items = values.shape
    mean = float(values.mean())
    centred = values - mean
    error = _two_way(centred, np.ones((1, seeds)), np.ones((1, items)))[1].item()
    if error == 0:
        return mean, mean, mean
    ratios = []
    for start in range(0, draws, BLOCK):
        size = min(BLOCK, draws - start)
        v = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size).astype(np.float64)
        w = rng.multinomial(items, np.full(items, 1 / items), size).astype(np.float64)
        shift, spread = _two_way(centred, v, w)
        ratios.append(shift / np.where(spread > 0, spread, np.inf))
    low, high = np.quantile(np.concatenate(ratios), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return mean, mean - float(high) * error, mean - float(low) * error


def _two_way(x: np.ndarray, v: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of a table `[S, n]` and its standard error, per row of weights over seeds `[B, S]` and items `[B, n]`."""
    seeds, items = x.shape
    rows, columns = w @ x.T / items, v @ x / seeds
    mean = (v * rows).sum(1) / seeds
    between_rows = (v * (rows - mean[:, None]) ** 2).sum(1)
    between_columns = (w * (columns - mean[:, None]) ** 2).sum(1)
    total = ((v @ x**2) * w).sum(1) - seeds * items * mean**2
    rest = np.maximum(total - items * between_rows - seeds * between_columns, 0) / (seeds - 1) / (items - 1)
    by_seeds, by_items = between_rows / (seeds - 1) / seeds, between_columns / (items - 1) / items
    variance = by_seeds + by_items - rest / (seeds * items)
    return mean, np.sqrt(np.maximum(variance, np.maximum(by_seeds, by_items)))


def superiority(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    r"""P(X > Y), ties counted half: the chance that a run of one model scores higher than a run of another.

    $$ \hat\theta = \frac1{mn} \sum_{i,j} \mathbb 1[x_i > y_j] + \tfrac12 \mathbb 1[x_i = y_j] $$

    The 95 % interval holds every θ with

    $$ \Big(|\hat\theta - \theta| - \frac1{2mn}\Big)_+^2 \le z^2\, \frac{\theta (1 - \theta)}{mn}
       \Big[1 + (n^* - 1) \Big(\frac{1 - \theta}{2 - \theta} + \frac{\theta}{1 + \theta}\Big)\Big],
       \qquad n^* = \frac{m + n}2 , $$

    the variance being Hanley and McNeil's at the θ in question, symmetrised by Newcombe; the half count is a correction
    for continuity. With three runs against three, complete separation gives [0.45, 1]: an exact rank test has p = 0.1
    there, so three seeds never tell a model's runs from another's; four do (p = 0.03), when all agree. Averaged over
    θ from 0.5 to 0.98 it covers 94 to 97 % with three to ten runs a side of normal or exponential values, of
    equal or threefold spread; at a single θ between 92 and 100 %, because $\hat\theta$ takes few values.

    References:
        Hanley, McNeil, The meaning and use of the area under a receiver operating characteristic (ROC) curve, 1982.
        Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2, 2006.

    Arguments:
        x: `[m]`, one number per run.
        y: `[n]`, the other model's; its runs are independent of those of `x`.

    Returns:
        `(estimate, low, high)`.

    Example:
        >>> tuple(round(end, 3) for end in superiority([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]))
        (1.0, 0.448, 1.0)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    m, n = len(x), len(y)
    found = float((np.sign(x[:, None] - y).mean() + 1) / 2)
    step = 1 / (2 * m * n)

    def excess(theta: float) -> float:
        spread = 1 + ((m + n) / 2 - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (abs(found - theta) - step) ** 2 - NORMAL**2 * theta * (1 - theta) / (m * n) * spread

    low = brentq(excess, 0.0, found - step) if found > step else 0.0
    high = brentq(excess, found + step, 1.0) if found < 1 - step else 1.0
    return found, float(low), float(high)

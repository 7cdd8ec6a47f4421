"""How well a score tells outliers from inliers (higher = more outlying), with errors in closed form.

Nothing is ever flipped: a score that ranks outliers below inliers keeps its AUROC below one half. The names of others:

    here        what it is                                                   elsewhere
    `aupr`      average precision, outliers positive                         AUPR-out, AUPR-error
    `auprin`    average precision, inliers positive                          AUPR-in, AUPR-success
    `fpr95`     outliers missed where 95 % of the inliers are kept           FPR at 95 % TPR, inliers positive
    `fpr95out`  inliers flagged where 95 % of the outliers are found         FPR at 95 % TPR, outliers positive

Libraries print either of the last two as FPR95; they are different numbers.

Sets are `aligned` when outlier i is a transform of inlier i (a mirrored test image): the image is then what was drawn,
and errors are over images, not over inliers and outliers apart. Errors are to be read as a 95 % interval, the value
plus or minus 1.96 of them, and never vanish for want of a counterexample: a value nearer to its end (0 or 1) than
$b_k = 1 - 0.05^{1/k}$, about 3/k, has a half width of b_k at least. That is the 95 % bound on the share of comparisons
that come out the other way when none of k independent ones did.
"""

import numpy as np
from numpy import ndarray
from scipy.special import betainc

NORMAL = 1.959963984540054


def auroc(inlier: ndarray, outlier: ndarray, *, aligned: bool = False) -> tuple[float, float]:
    r"""Probability that an outlier scores higher than an inlier, ties counted one half (Mann-Whitney).

    $$ \frac{1}{nm} \sum_{ij} 1[s_j > s_i] + \tfrac12\,1[s_j = s_i] $$

    The standard error is DeLong's, from the placements of each score among the other set: V_i, the share of
    outliers above inlier i, and W_j, the share of inliers below outlier j. Pairs are clusters of two (Obuchowski):

    $$ \frac{\mathrm{Var}\,V}{n} + \frac{\mathrm{Var}\,W}{m}, \qquad\text{aligned:}\quad
       \frac{\mathrm{Var}_i\,(V_i + W_i)}{n} $$

    Both vanish where the sets are separated completely. But k = min(n, m) disjoint pairs of an inlier and an outlier
    (n // 2 when aligned, an inlier with another's outlier) are independent, and at an area of 1 - b or less all of
    them are in order with a chance of at most (1 - b)^k. Therefore the 95 % interval of an area of 1 reaches down to
    1 - b_k, and that of an area nearer to an end than b_k is no narrower.

    References:
        Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves: A
        Nonparametric Approach (DeLong, DeLong & Clarke-Pearson, 1988).
        Nonparametric Analysis of Clustered ROC Curve Data (Obuchowski, 1997).
        If Nothing Goes Wrong, Is Everything All Right? Interpreting Zero Numerators (Hanley & Lippman-Hand, 1983).

    Arguments:
        inlier: scores of inliers, `[n]`.
        outlier: scores of outliers, `[m]`.
        aligned: whether outlier i is a transform of inlier i.

    Returns:
        The area and its standard error.

    Raises:
        ValueError: if a score is NaN, there are fewer than two of either, or aligned sets differ in number.

    Example:
        >>> import numpy as np
        >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))[0]
        0.875
    """
    inlier, outlier = _checked(inlier, outlier)
    value, error = _area(*_ranks(inlier, outlier), aligned)
    return value, at_least(error, min(value, 1 - value), unseen(_comparisons(inlier, outlier, aligned)))


def auroc_difference(
    inlier: tuple[ndarray, ndarray], outlier: tuple[ndarray, ndarray], *, aligned: bool = False
) -> tuple[float, float]:
    r"""AUROC of one score minus that of another on the same images, with DeLong's paired standard error.

    Two scores that both separate the sets have no spread between them. None of k independent comparisons told them
    apart, so that the 95 % interval of their difference is $\pm b_k$ (and $1 \pm 2 b_k$ where they separate in opposite
    order). It is no narrower where both areas are nearer to an end than b_k, or the scores place every image alike.

    Arguments:
        inlier: two scores of the same inliers, each `[n]`.
        outlier: the same two scores of the same outliers, each `[m]`.
        aligned: whether outlier i is a transform of inlier i.

    Returns:
        The difference and its standard error, in which the covariance of the two areas is taken off.

    Raises:
        ValueError: if a score is NaN, or the two differ in number.

    Example:
        >>> import numpy as np
        >>> a, b = np.arange(250.0), np.arange(250.0) + 300
        >>> value, se = auroc_difference((a, a), (b, b))
        >>> value, round(1.96 * se, 4)
        (0.0, 0.0119)
    """
    if len(inlier[0]) != len(inlier[1]) or len(outlier[0]) != len(outlier[1]):
        sizes = [len(score) for score in (*inlier, *outlier)]
        raise ValueError(f"found {sizes} scores (inliers twice, outliers twice); expected the same images in each pair")
    first = _ranks(*_checked(inlier[0], outlier[0]))
    second = _ranks(*_checked(inlier[1], outlier[1]))
    value, error = _area(first[0] - second[0], first[1] - second[1], aligned)
    areas = [_area(*ranks, aligned)[0] for ranks in (first, second)]
    gap = 0.0 if all((a == b).all() for a, b in zip(first, second, strict=True)) else max(min(a, 1 - a) for a in areas)
    share = unseen(_comparisons(inlier[0], outlier[0], aligned))
    return value, max(error, (1 + abs(value)) * share / NORMAL) if gap < share else error


def aupr(inlier: ndarray, outlier: ndarray, *, aligned: bool = False) -> tuple[float, float]:
    r"""Average precision with outliers as the positive class, `aupr`.

    $$ \sum_t (R_t - R_{t-1})\,P_t = \frac1m \sum_j \frac{A_j}{A_j + B_j} $$

    over the distinct scores t from the highest down, without interpolation; A_j outliers and B_j inliers score at least
    as high as outlier j. Chance level is m / (n + m). The standard error is the infinitesimal jackknife's, from the
    influence of an inlier at x and of an outlier at y (whose own precision is a),

    $$ -\frac{n}{m} \sum_{s_j \le x} \frac{A_j}{(A_j + B_j)^2}, \qquad
       a(y) + \sum_{s_j \le y} \frac{B_j}{(A_j + B_j)^2} $$

    whose variances count as those of the placements in `auroc`. It vanishes at 1; there the 95 % interval
    reaches down to the lower average precision of two laws that such scores just do not refute, with c = n / m: a
    share b_n of inliers above all outliers, or a share b_m of outliers below all inliers,

    $$ 1 - c\,b_n \ln\Big(1 + \frac{1}{c\,b_n}\Big), \qquad 1 - c \ln\frac{1 + c}{1 + c - b_m} $$

    and it is no narrower at a value above that.

    References:
        The Jackknife, the Bootstrap and Other Resampling Plans (Efron, 1982), chapter 6.
        The Relationship between Precision-Recall and ROC Curves (Davis & Goadrich, 2006).

    Arguments:
        inlier: scores of inliers, `[n]`.
        outlier: scores of outliers, `[m]`.
        aligned: whether outlier i is a transform of inlier i.

    Returns:
        The average precision and its standard error.

    Raises:
        ValueError: if a score is NaN, there are fewer than two of either, or aligned sets differ in number.

    Example:
        >>> import numpy as np
        >>> round(aupr(np.array([0.0, 2.0]), np.array([1.0, 3.0]))[0], 4)
        0.8333
    """
    inlier, outlier = _checked(inlier, outlier)
    n, m = len(inlier), len(outlier)
    ordered = np.sort(outlier)
    found = m - np.searchsorted(ordered, ordered, "left")
    false = n - np.searchsorted(np.sort(inlier), ordered, "left")
    flagged = found + false
    value = float((found / flagged).mean())
    of_inlier = -n / m * _up_to(inlier, ordered, found / flagged**2)
    own = (found / flagged)[np.searchsorted(ordered, outlier)]
    of_outlier = own + _up_to(outlier, ordered, false / flagged**2)
    c, high, low = n / m, unseen(n), unseen(m)
    loss = max(c * high * np.log1p(1 / (c * high)), c * np.log((1 + c) / (1 + c - low)))
    return value, at_least(_spread(of_inlier, of_outlier, aligned), 1 - value, loss)


def auprin(inlier: ndarray, outlier: ndarray, *, aligned: bool = False) -> tuple[float, float]:
    """Average precision with inliers as the positive class, `auprin`: `aupr` of the sets exchanged and negated.

    Chance level is n / (n + m). Arguments, result and errors are those of `aupr`.

    Example:
        >>> import numpy as np
        >>> auprin(np.array([0.0, 1.0]), np.array([2.0, 3.0]))[0]
        1.0
    """
    return aupr(-np.asarray(outlier), -np.asarray(inlier), aligned=aligned)


def fpr95(inlier: ndarray, outlier: ndarray, *, aligned: bool = False) -> tuple[float, float]:
    r"""Fraction of outliers *missed* at the threshold that keeps 95 % of the inliers, `fpr95`; lower is better.

    $$ M(t) = \frac1m \#\{j : s_j \le t\}, \qquad t = s_{(k)}, \quad k = \lceil 0.95\,n \rceil $$

    With inliers as the positive class this is the false positive rate at a true positive rate of 95 %. The standard
    error is the bootstrap's, threshold included, without drawing: a resample of the inliers has its threshold at or
    below the i-th smallest score when k or more of n draws fall on the i smallest, so that

    $$ \Pr(t^* \le s_{(i)}) = I_{i/n}(k, n - k + 1), \qquad
       \mathrm{Var} = \mathrm{Var}\,M(t^*) + \mathrm{E}\,\frac{M(t^*)(1 - M(t^*))}{m} = a^2 + b^2 $$

    For aligned sets the two parts go together: $a^2 + b^2 - 2 \rho a b$, to first order in 1/n, where rho is the
    correlation over images of being kept and of the transform being missed. A fraction nearer to 0 or 1 than b_m, m
    being the number of outliers, has a half width of at least that.

    References:
        Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks (Liang, Li & Srikant, 2018).
        The Jackknife, the Bootstrap and Other Resampling Plans (Efron, 1982), chapter 10.

    Arguments:
        inlier: scores of inliers, `[n]`.
        outlier: scores of outliers, `[m]`.
        aligned: whether outlier i is a transform of inlier i.

    Returns:
        The fraction and its standard error.

    Raises:
        ValueError: if a score is NaN, there are fewer than two of either, or aligned sets differ in number.

    Example:
        >>> import numpy as np
        >>> fpr95(np.arange(100.0), np.array([50.0, 94.0, 95.0, 200.0]))[0]
        0.5
    """
    inlier, outlier = _checked(inlier, outlier)
    n, m = len(inlier), len(outlier)
    ordered, kept = np.sort(inlier), -(-95 * n // 100)
    missed = np.searchsorted(np.sort(outlier), ordered, "right") / m
    chance = np.diff(betainc(kept, n - kept + 1, np.arange(n + 1) / n))
    threshold = np.sqrt(chance @ (missed - chance @ missed) ** 2)
    count = np.sqrt(chance @ (missed * (1 - missed)) / m)
    value, together = float(missed[kept - 1]), 0.0
    if aligned:
        _paired(n, m)
        both = inlier <= ordered[kept - 1], outlier <= ordered[kept - 1]
        together = np.corrcoef(both)[0, 1] if min(part.var() for part in both) > 0 else 0.0
    error = np.sqrt(threshold**2 + count**2 - 2 * together * threshold * count)
    return value, at_least(error, min(value, 1 - value), unseen(m))


def fpr95out(inlier: ndarray, outlier: ndarray, *, aligned: bool = False) -> tuple[float, float]:
    """Fraction of inliers *flagged* at the threshold that finds 95 % of the outliers, `fpr95out`; lower is better.

    It is `fpr95` of the sets exchanged and negated, so that outliers are the positive class. Arguments, result and
    errors are those of `fpr95`; a fraction nearer to 0 or 1 than b_n has a half width of at least that.

    Example:
        >>> import numpy as np
        >>> fpr95out(np.array([0.0, 1.0, 2.0, 50.0]), np.arange(100.0))[0]
        0.25
    """
    return fpr95(-np.asarray(outlier), -np.asarray(inlier), aligned=aligned)


def _checked(inlier: ndarray, outlier: ndarray) -> tuple[ndarray, ndarray]:
    for name, score in (("inliers", inlier), ("outliers", outlier)):
        if np.ndim(score) != 1 or len(score) < 2 or np.isnan(score).any():
            bad = int(np.isnan(score).sum())
            raise ValueError(f"scores of {name}: shape {np.shape(score)}, {bad} NaN; expected [N >= 2] without NaN")
    return np.asarray(inlier, np.float64), np.asarray(outlier, np.float64)


def _paired(n: int, m: int) -> None:
    if n != m:
        raise ValueError(f"found {n} inliers and {m} outliers; expected as many of both in aligned sets")


def unseen(k: int) -> float:
    """The share of which none is among k draws with a chance of 5 %, `b_k`."""
    return float(-np.expm1(np.log(0.05) / k))


def _comparisons(inlier: ndarray, outlier: ndarray, aligned: bool) -> int:
    """How many independent comparisons of an inlier and an outlier there are."""
    return len(inlier) // 2 if aligned else min(len(inlier), len(outlier))


def at_least(error: float, gap: float, reach: float) -> float:
    """The error of a value at distance `gap` from its end, whose 95 % half width there is `reach`."""
    return float(max(error, reach / NORMAL) if gap < reach else error)


def _ranks(inlier: ndarray, outlier: ndarray) -> tuple[ndarray, ndarray]:
    """Twice the number of outliers above each inlier, and of inliers below each outlier; ties count once."""
    return 2 * len(outlier) - _below(inlier, outlier), _below(outlier, inlier)


def _below(score: ndarray, other: ndarray) -> ndarray:
    other = np.sort(other)
    return np.searchsorted(other, score, "left") + np.searchsorted(other, score, "right")


def _area(of_inlier: ndarray, of_outlier: ndarray, aligned: bool) -> tuple[float, float]:
    """Mean of the comparisons and its error, from integer ranks: equal ones cancel exactly."""
    n, m = len(of_inlier), len(of_outlier)
    pairs = 2 * n * m
    return float(of_outlier.sum() / pairs), _spread(n * of_inlier, m * of_outlier, aligned) / pairs


def _spread(of_inlier: ndarray, of_outlier: ndarray, aligned: bool) -> float:
    """Standard error of a mean over inliers plus a mean over outliers, or over pairs of them."""
    n, m = len(of_inlier), len(of_outlier)
    if aligned:
        _paired(n, m)
        return float(np.sqrt((of_inlier + of_outlier).var(ddof=1) / n))
    return float(np.sqrt(of_inlier.var(ddof=1) / n + of_outlier.var(ddof=1) / m))


def _up_to(score: ndarray, ordered: ndarray, summand: ndarray) -> ndarray:
    """Sum of what stands beside the ordered scores up to each score."""
    return np.append(0.0, summand.cumsum())[np.searchsorted(ordered, score, "right")]

"""Outlier detection from scores (higher = more outlying), with errors, and trivial scores from pixels.

Nothing is ever flipped: a score that ranks outliers below inliers keeps its AUROC below one half.

Sets are `aligned` when outlier i is a transform of inlier i (a mirrored test image): the image is then what was drawn,
and errors are over images, not over inliers and outliers apart. Errors are to be read as a 95 % interval, the value
plus or minus 1.96 of them, and never vanish for want of a counterexample: a value nearer to its end (0 or 1) than
$b_k = 1 - 0.05^{1/k}$, about 3/k, has a half width of b_k at least. That is the 95 % bound on the share of comparisons
that come out the other way when none of k independent ones did.
"""

import zlib

import numpy as np
from numpy import ndarray

from gm.metrics.memorisation import nearest

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
    return value, _at_least(error, min(value, 1 - value), _unseen(_comparisons(inlier, outlier, aligned)))


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
    share = _unseen(_comparisons(inlier[0], outlier[0], aligned))
    return value, max(error, (1 + abs(value)) * share / NORMAL) if gap < share else error


def resampling(
    n: int, m: int, *, rng: np.random.Generator, replicates: int = 200, aligned: bool = False
) -> tuple[ndarray, ndarray]:
    """Bootstrap multiplicities `[replicates, n]` and `[replicates, m]` of n inliers and m outliers.

    One pair serves all scores of the same images, which makes their bootstrap errors paired. Aligned sets share
    theirs: an inlier and its transform are drawn together.

    Raises:
        ValueError: if aligned sets differ in number.
    """
    if aligned:
        _paired(n, m)
        return (rng.multinomial(n, np.full(n, 1 / n), replicates),) * 2
    return tuple(rng.multinomial(size, np.full(size, 1 / size), replicates) for size in (n, m))


def aupr(inlier: ndarray, outlier: ndarray, *, weights: tuple[ndarray, ndarray]) -> tuple[float, float]:
    r"""Average precision with outliers as the positive class.

    $$ \sum_t (R_t - R_{t-1})\,P_t $$

    over the distinct scores t from the highest down, without interpolation. Chance level is m / (n + m). The
    standard error is the bootstrap's, over what `weights` draws. At 1 no resample differs; then the 95 % interval
    reaches down to the lower average precision of two laws that such scores just do not refute, with c = n / m: a
    share b_n of inliers above all outliers, or a share b_m of outliers below all inliers,

    $$ 1 - c\,b_n \ln\Big(1 + \frac{1}{c\,b_n}\Big), \qquad 1 - c \ln\frac{1 + c}{1 + c - b_m} $$

    and it is no narrower at a value above that.

    Arguments:
        inlier: scores of inliers, `[n]`.
        outlier: scores of outliers, `[m]`.
        weights: multiplicities from `resampling`.

    Returns:
        The average precision and its standard error.

    Raises:
        ValueError: if a score is NaN, or there are fewer than two of either.
    """
    inlier, outlier = _checked(inlier, outlier)
    value = _average_precision(inlier, outlier, np.ones((1, len(inlier))), np.ones((1, len(outlier))))
    error = _average_precision(inlier, outlier, *weights).std(ddof=1)
    c, high, low = len(inlier) / len(outlier), _unseen(len(inlier)), _unseen(len(outlier))
    loss = max(c * high * np.log1p(1 / (c * high)), c * np.log((1 + c) / (1 + c - low)))
    return float(value[0]), _at_least(error, 1 - value[0], loss)


def fpr95(inlier: ndarray, outlier: ndarray, *, weights: tuple[ndarray, ndarray]) -> tuple[float, float]:
    r"""Fraction of outliers *missed* at the threshold that keeps 95 % of the inliers; lower is better.

    $$ \frac1m \#\{j : s_j \le t\}, \qquad t = \min\{s_i : \#\{i' : s_{i'} \le s_i\} \ge 0.95\,n\} $$

    With inliers as the positive class this is the false positive rate at a true positive rate of 95 %. Some
    libraries print under the same name the fraction of inliers flagged where 95 % of the outliers are found;
    that is another number. The standard error is the bootstrap's, over what `weights` draws, threshold included.
    A fraction nearer to 0 or 1 than b_m, m being the number of outliers, has a half width of at least that.

    Reference:
        A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks (Hendrycks
        & Gimpel, 2017); Enhancing the Reliability of Out-of-distribution Image Detection in Neural Networks
        (Liang, Li & Srikant, 2018).

    Arguments:
        inlier: scores of inliers, `[n]`.
        outlier: scores of outliers, `[m]`.
        weights: multiplicities from `resampling`.

    Returns:
        The fraction and its standard error.

    Raises:
        ValueError: if a score is NaN, or there are fewer than two of either.
    """
    inlier, outlier = _checked(inlier, outlier)
    value = _missed(inlier, outlier, np.ones((1, len(inlier))), np.ones((1, len(outlier))))
    error = _missed(inlier, outlier, *weights).std(ddof=1)
    return float(value[0]), _at_least(error, min(value[0], 1 - value[0]), _unseen(len(outlier)))


def intensity(x: ndarray) -> ndarray:
    """Mean pixel, `[N]`: brighter is scored as more outlying."""
    return x.reshape(len(x), -1).mean(1)


def png_length(x: ndarray) -> ndarray:
    """Length in bytes of each image's PNG data stream, `[N]`: less compressible is scored as more outlying.

    The stream is the image's scanlines, a byte a pixel, each after a filter byte 0 (none), deflated with
    zlib's strategy for PNG (run lengths and Huffman codes). Unlike the default strategy it has no search
    whose result depends on the build of zlib, so that lengths agree across machines. Headers, the same for
    all, are left out.

    Reference:
        Input Complexity and Out-of-distribution Detection with Likelihood-based Generative Models (Serra et
        al., 2020).

    Arguments:
        x: images, uint8, `[N, C, H, W]`.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).integers(256, size=(1, 1, 8, 8), dtype=np.uint8)
        >>> bool(png_length(noise) > png_length(np.zeros_like(noise)))
        True
    """
    lines = np.pad(x.astype(np.uint8), [(0, 0), (0, 0), (0, 0), (1, 0)])
    return np.array([_deflated(image.tobytes()) for image in lines], np.float64)


def pixel_scores(x: ndarray, train: ndarray) -> dict[str, ndarray]:
    """Trivial scores `[N]` of images `[N, C, H, W]`: `intensity`, `png`, `pixel-nn` (distance to `train`)."""
    return {"intensity": intensity(x), "png": png_length(x), "pixel-nn": nearest(x, train)}


def _checked(inlier: ndarray, outlier: ndarray) -> tuple[ndarray, ndarray]:
    for name, score in (("inliers", inlier), ("outliers", outlier)):
        if np.ndim(score) != 1 or len(score) < 2 or np.isnan(score).any():
            bad = int(np.isnan(score).sum())
            raise ValueError(f"scores of {name}: shape {np.shape(score)}, {bad} NaN; expected [N >= 2] without NaN")
    return np.asarray(inlier, np.float64), np.asarray(outlier, np.float64)


def _paired(n: int, m: int) -> None:
    if n != m:
        raise ValueError(f"found {n} inliers and {m} outliers; expected as many of both in aligned sets")


def _unseen(k: int) -> float:
    """The share of which none is among k draws with a chance of 5 %, `b_k`."""
    return float(-np.expm1(np.log(0.05) / k))


def _comparisons(inlier: ndarray, outlier: ndarray, aligned: bool) -> int:
    """How many independent comparisons of an inlier and an outlier there are."""
    return len(inlier) // 2 if aligned else min(len(inlier), len(outlier))


def _at_least(error: float, gap: float, reach: float) -> float:
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
    if aligned:
        _paired(n, m)
    value = float(of_outlier.sum() / (2 * n * m))
    if aligned:
        return value, float(np.sqrt(((of_inlier + of_outlier) / (2 * n)).var(ddof=1) / n))
    of_inlier, of_outlier = of_inlier / (2 * m), of_outlier / (2 * n)
    return value, float(np.sqrt(of_inlier.var(ddof=1) / n + of_outlier.var(ddof=1) / m))


def _average_precision(inlier: ndarray, outlier: ndarray, w_in: ndarray, w_out: ndarray) -> ndarray:
    """Average precision `[R]` of weighted items, weights `[R, n]` and `[R, m]`."""
    score = np.concatenate([inlier, outlier])
    order = np.argsort(-score, kind="stable")
    score = score[order]
    last = np.append(np.flatnonzero(score[1:] != score[:-1]), len(score) - 1)
    found = np.concatenate([np.zeros_like(w_in), w_out], 1)[:, order].cumsum(1)[:, last]
    flagged = np.concatenate([w_in, w_out], 1)[:, order].cumsum(1)[:, last]
    precision = found / np.maximum(flagged, 1)
    return (np.diff(found, axis=1, prepend=0) * precision).sum(1) / found[:, -1]


def _missed(inlier: ndarray, outlier: ndarray, w_in: ndarray, w_out: ndarray) -> ndarray:
    """Weight of outliers at or below the threshold `[R]`."""
    order = np.argsort(inlier, kind="stable")
    kept = 100 * w_in[:, order].cumsum(1) >= 95 * len(inlier)
    threshold = inlier[order][kept.argmax(1)]
    return ((outlier <= threshold[:, None]) * w_out).sum(1) / len(outlier)


def _deflated(content: bytes) -> int:
    stream = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return len(stream.compress(content)) + len(stream.flush())

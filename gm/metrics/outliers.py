"""Outlier detection from scores (higher = more outlying), with errors, and trivial scores from pixels.

Nothing is ever flipped: a score that ranks outliers below inliers keeps its AUROC below one half.
"""

import zlib

import numpy as np
from numpy import ndarray

from gm.metrics.memorisation import nearest


def auroc(inlier: ndarray, outlier: ndarray) -> tuple[float, float]:
    r"""Probability that an outlier scores higher than an inlier, ties counted one half (Mann-Whitney).

    $$ \frac{1}{nm} \sum_{ij} 1[s_j > s_i] + \tfrac12\,1[s_j = s_i] $$

    The standard error is DeLong's, from the placements of each score among the other set. It vanishes where
    the two sets are separated completely; then read it as "below 1/n".

    Reference:
        Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves: A
        Nonparametric Approach (DeLong, DeLong & Clarke-Pearson, 1988).

    Arguments:
        inlier: scores of inliers, `[n]`.
        outlier: scores of outliers, `[m]`.

    Returns:
        The area and its standard error.

    Raises:
        ValueError: if a score is NaN, or there are fewer than two of either.

    Example:
        >>> import numpy as np
        >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))[0]
        0.875
    """
    inlier, outlier = _checked(inlier, outlier)
    of_inlier, of_outlier = _placements(inlier, outlier)
    return float(of_outlier.mean()), _two_sample_se(of_inlier, of_outlier)


def auroc_difference(inlier: tuple[ndarray, ndarray], outlier: tuple[ndarray, ndarray]) -> tuple[float, float]:
    """AUROC of one score minus that of another on the same images, with DeLong's paired standard error.

    Arguments:
        inlier: two scores of the same inliers, each `[n]`.
        outlier: the same two scores of the same outliers, each `[m]`.

    Returns:
        The difference and its standard error, in which the covariance of the two areas is taken off.

    Raises:
        ValueError: if a score is NaN, or the two differ in number.

    Example:
        >>> import numpy as np
        >>> a, b = np.arange(5.0), np.arange(5.0) + 2
        >>> auroc_difference((a, a), (b, b))
        (0.0, 0.0)
    """
    if len(inlier[0]) != len(inlier[1]) or len(outlier[0]) != len(outlier[1]):
        sizes = [len(score) for score in (*inlier, *outlier)]
        raise ValueError(f"found {sizes} scores (inliers twice, outliers twice); expected the same images in each pair")
    first = _placements(*_checked(inlier[0], outlier[0]))
    second = _placements(*_checked(inlier[1], outlier[1]))
    of_inlier, of_outlier = first[0] - second[0], first[1] - second[1]
    return float(of_outlier.mean()), _two_sample_se(of_inlier, of_outlier)


def resampling(n: int, m: int, *, rng: np.random.Generator, replicates: int = 200) -> tuple[ndarray, ndarray]:
    """Bootstrap multiplicities `[replicates, n]` and `[replicates, m]` of n inliers and m outliers.

    One pair serves all scores of the same images, which makes their bootstrap errors paired.
    """
    return tuple(rng.multinomial(size, np.full(size, 1 / size), replicates) for size in (n, m))


def aupr(inlier: ndarray, outlier: ndarray, *, weights: tuple[ndarray, ndarray]) -> tuple[float, float]:
    r"""Average precision with outliers as the positive class.

    $$ \sum_t (R_t - R_{t-1})\,P_t $$

    over the distinct scores t from the highest down, without interpolation. Chance level is m / (n + m). The
    standard error is the bootstrap's, over inliers and outliers separately.

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
    return float(value[0]), float(_average_precision(inlier, outlier, *weights).std(ddof=1))


def fpr95(inlier: ndarray, outlier: ndarray, *, weights: tuple[ndarray, ndarray]) -> tuple[float, float]:
    r"""Fraction of outliers *missed* at the threshold that keeps 95 % of the inliers; lower is better.

    $$ \frac1m \#\{j : s_j \le t\}, \qquad t = \min\{s_i : \#\{i' : s_{i'} \le s_i\} \ge 0.95\,n\} $$

    With inliers as the positive class this is the false positive rate at a true positive rate of 95 %. Some
    libraries print under the same name the fraction of inliers flagged where 95 % of the outliers are found;
    that is another number. The standard error is the bootstrap's, over inliers and outliers separately,
    threshold included.

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
    return float(value[0]), float(_missed(inlier, outlier, *weights).std(ddof=1))


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


def _placements(inlier: ndarray, outlier: ndarray) -> tuple[ndarray, ndarray]:
    """Fraction of outliers above each inlier, and of inliers below each outlier; ties are halves."""
    return 1 - _below(inlier, outlier), _below(outlier, inlier)


def _below(score: ndarray, other: ndarray) -> ndarray:
    other = np.sort(other)
    return (np.searchsorted(other, score, "left") + np.searchsorted(other, score, "right")) / (2 * len(other))


def _two_sample_se(a: ndarray, b: ndarray) -> float:
    return float(np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))


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

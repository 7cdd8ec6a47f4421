"""Arrays that figures draw: operating characteristics, distribution functions and nearest training images."""

from collections.abc import Sequence

import numpy as np

GRID = np.linspace(0.0, 1.0, 101)
BLOCK = 4096


def roc(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Share of outliers found at each share of false alarms, averaged over seeds at equal false alarms.

    Arguments:
        pairs: per seed, scores of test items `[N]` and of outliers `[M]`, higher for outliers.

    Returns:
        `[101]`, the mean share found at false-alarm shares 0, 0.01, ..., 1.
    """
    curves = []
    for inside, outside in pairs:
        thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([inside, outside]))[::-1]])
        alarms = 1 - np.searchsorted(np.sort(inside), thresholds, "left") / len(inside)
        found = 1 - np.searchsorted(np.sort(outside), thresholds, "left") / len(outside)
        curves.append(np.interp(GRID, alarms, found))
    return np.mean(curves, axis=0)


def detection(pairs: Sequence[tuple[np.ndarray, np.ndarray]], alarms: np.ndarray) -> np.ndarray:
    """Share of members found when at most a share of non-members is flagged, averaged over seeds.

    A threshold lies at a score, and what equals it is not flagged: nothing is interpolated, for between two
    thresholds a logarithmic axis would invent detections.

    Arguments:
        pairs: per seed, scores of members `[M]` and of non-members `[N]`, higher for members.
        alarms: largest shares of non-members flagged, `[k]`.

    Returns:
        `[k]`.

    Example:
        >>> detection([(np.array([1.0, 3.0]), np.array([0.0, 2.0]))], np.array([0.1, 0.5, 1.0])).tolist()
        [0.5, 1.0, 1.0]
    """
    found = []
    for member, nonmember in pairs:
        thresholds = np.concatenate([np.sort(nonmember)[::-1], [-np.inf]])
        found.append((member > thresholds[_allowed(alarms, len(nonmember))][:, None]).mean(1))
    return np.mean(found, axis=0)


def chance(alarms: np.ndarray, members: int, nonmembers: int) -> np.ndarray:
    r"""Pointwise 95 % band of `detection` for scores that tell members from non-members not at all.

    With the threshold at the (k+1)-th highest of N non-members, the M members above it are
    $\mathrm{BetaBinomial}(M, k + 1, N - k)$, whatever the continuous distribution of the scores.

    Arguments:
        alarms: shares of non-members flagged, `[k]`.
        members: their number, M.
        nonmembers: their number, N.

    Returns:
        Shares of members, lowest and highest, `[2, k]`.
    """
    from scipy.stats import betabinom

    k = _allowed(alarms, nonmembers)
    band = np.ones((2, len(alarms)))
    inside = k < nonmembers
    for line, level in zip(band, (0.025, 0.975), strict=True):
        line[inside] = betabinom.ppf(level, members, k[inside] + 1, nonmembers - k[inside]) / members
    return band


def _allowed(alarms: np.ndarray, nonmembers: int) -> np.ndarray:
    return np.floor(alarms * nonmembers + 1e-9).astype(int)


def ecdf(seeds: Sequence[np.ndarray], grid: np.ndarray) -> np.ndarray:
    """Share of values at most each point of a grid, averaged over seeds.

    Example:
        >>> ecdf([np.array([0.0, 1.0, 2.0, 4.0])], np.array([0.0, 2.0, 5.0])).tolist()
        [0.25, 0.75, 1.0]
    """
    return np.mean([np.searchsorted(np.sort(x), grid, "right") / len(x) for x in seeds], axis=0)


def nearest(x: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training image of each image, in Euclidean distance over pixels.

    Arguments:
        x: images `[n, C, H, W]`.
        train: training images `[N, C, H, W]`.

    Returns:
        The nearest images `[n, C, H, W]` and their distances `[n]`, in levels.
    """
    from scipy.spatial.distance import cdist

    rows = x.reshape(len(x), -1).astype(np.float64)
    index, distance = np.zeros(len(x), int), np.full(len(x), np.inf)
    for start in range(0, len(train), BLOCK):
        block = train[start : start + BLOCK]
        found = cdist(rows, block.reshape(len(block), -1).astype(np.float64))
        here = found.argmin(1)
        closer = found[np.arange(len(x)), here] < distance
        index[closer] = start + here[closer]
        distance[closer] = found[closer, here[closer]]
    return train[index], distance

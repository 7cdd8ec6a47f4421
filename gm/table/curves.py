"""Arrays that figures draw: receiver operating characteristics and nearest training images."""

from collections.abc import Sequence

import numpy as np

GRID = np.linspace(0.0, 1.0, 101)


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


def nearest(x: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training image of each image, in Euclidean distance over pixels.

    Arguments:
        x: images `[n, C, H, W]`.
        train: training images `[N, C, H, W]`.

    Returns:
        The nearest images `[n, C, H, W]` and their distances `[n]`, in levels.
    """
    from scipy.spatial.distance import cdist

    distances = cdist(x.reshape(len(x), -1).astype(np.float64), train.reshape(len(train), -1).astype(np.float64))
    index = distances.argmin(1)
    return train[index], distances[np.arange(len(x)), index]

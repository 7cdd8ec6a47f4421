"""Does a model replay its training images? Distances to the training set, beside those of held-out data."""

import numpy as np
from numpy import ndarray
from scipy.spatial.distance import cdist

BLOCK = 1024


def nearest(x: ndarray, train: ndarray) -> ndarray:
    """Euclidean pixel distance of each image to its nearest training image; 0 exactly where it is a copy.

    Arguments:
        x: images, `[n, *event]`.
        train: images, `[m, *event]`.

    Returns:
        Distances, `[n]`, float64.

    Raises:
        ValueError: if the events differ.

    Example:
        >>> import numpy as np
        >>> nearest(np.array([[0, 0], [3, 4]]), np.array([[0, 0]]))
        array([0., 5.])
    """
    if x.shape[1:] != train.shape[1:]:
        raise ValueError(f"found images of shape {x.shape[1:]} and {train.shape[1:]}; expected one shape")
    rows, train = x.reshape(len(x), -1), train.reshape(len(train), -1).astype(np.float64)
    starts = range(0, len(rows), BLOCK)
    return np.concatenate([cdist(rows[i : i + BLOCK].astype(np.float64), train).min(1) for i in starts])


def nn_ratio(distance: ndarray, held_out: ndarray) -> tuple[float, float]:
    r"""Mean distance of samples to the training set over that of held-out data.

    $$ r = \bar d / \bar h, \qquad
       se^2 = \frac{\mathrm{var}\,d / n + r^2\, \mathrm{var}\,h / m}{\bar h^2} $$

    About 1 for fresh data, 0 for a model that replays its training set, 1 - c for one that does so in a
    fraction c of its samples (a median would not move until c is a half, and is coarse on binary images).
    Samples that are off the data raise it, so that a value near 1 alone does not tell a good model from a
    mixture of copies and noise: `copies` stands beside it. The standard error is the delta method's over
    samples and held-out images; the training set is held fixed.

    Arguments:
        distance: samples' distances to the training set, `[n]` (`nearest`).
        held_out: held-out data's, `[m]`.

    Returns:
        The ratio and its standard error.

    Raises:
        ValueError: if all held-out images are copies of training images, for which no ratio exists.

    Example:
        >>> import numpy as np
        >>> nn_ratio(np.zeros(9), np.ones(9))
        (0.0, 0.0)
    """
    mean = held_out.mean()
    if mean == 0:
        raise ValueError(f"all {len(held_out)} held-out images are training images; expected held-out data")
    ratio = distance.mean() / mean
    variance = distance.var(ddof=1) / len(distance) + ratio**2 * held_out.var(ddof=1) / len(held_out)
    return float(ratio), float(np.sqrt(variance) / mean)


def copies(distance: ndarray) -> tuple[float, float]:
    r"""Fraction of images that are identical to a training image.

    The standard error is that of Agresti and Coull, $\sqrt{p(1-p)/(n+4)}$ at $p = (c+2)/(n+4)$, which does
    not vanish where none or all are copies.

    Reference:
        Approximate Is Better than "Exact" for Interval Estimation of Binomial Proportions (Agresti & Coull,
        1998).

    Arguments:
        distance: distances to the training set, `[n]` (`nearest`).

    Returns:
        The fraction and its standard error.

    Example:
        >>> import numpy as np
        >>> copies(np.array([0.0, 1.0, 2.0, 0.0]))[0]
        0.5
    """
    count, n = int((distance == 0).sum()), len(distance)
    p = (count + 2) / (n + 4)
    return count / n, float(np.sqrt(p * (1 - p) / (n + 4)))

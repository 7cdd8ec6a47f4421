"""Does a model replay its training images? Euclidean distances in pixels, in levels, beside those of held-out data.

No one of these tells memorisation from the other ways of being wrong. Samples that are off the data are far from every
image, and hide copies in a mean; a model without variety lies near the densest training images without having copied
one. They are to be read together, and beside the rows of fresh real images and of a model that replays.
"""

import numpy as np
from numpy import ndarray

from gm.metrics.neighbours import nearest

DUPLICATE = 1 / 3


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
        distance: samples' distances to the training set, `[n]` (`gm.metrics.neighbours.nearest`).
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
    """Fraction of images that are identical to a training image.

    Arguments:
        distance: distances to the training set, `[n]` (`gm.metrics.neighbours.nearest`).

    Returns:
        The fraction and its standard error (`share`).

    Example:
        >>> import numpy as np
        >>> copies(np.array([0.0, 1.0, 2.0, 0.0]))[0]
        0.5
    """
    return share(distance == 0)


def duplicates(distance: ndarray) -> tuple[float, float]:
    r"""Fraction of images that are near-duplicates of one training image: $d_1 \le d_2 / 3$.

    The distance to the nearest training image against that to the second nearest, which knows how dense the training
    images lie there. Where the training set itself holds an image twice, a copy of that one counts too.

    References:
        Diffusion Probabilistic Models Generalize when They Fail to Memorize (Yoon et al., 2023).
        On Memorization in Diffusion Models (Gu et al., 2023).

    Arguments:
        distance: distances to the two nearest training images, ascending, `[n, 2]`.

    Returns:
        The fraction and its standard error (`share`).

    Example:
        >>> import numpy as np
        >>> duplicates(np.array([[0.0, 4.0], [1.0, 4.0], [2.0, 4.0], [4.0, 4.0]]))[0]
        0.5
    """
    return share(distance[:, 0] <= DUPLICATE * distance[:, 1])


def authenticity(distance: ndarray, of_neighbour: ndarray) -> tuple[float, float]:
    r"""Fraction of samples that lie further from their nearest training image than that one from another.

    $$ \frac1n \#\{j : \lVert s_j - t_{i(j)} \rVert > \min_{k \ne i(j)} \lVert t_{i(j)} - t_k \rVert\},
       \qquad i(j) = \operatorname{argmin}_i \lVert s_j - t_i \rVert $$

    Not one half for fresh data: the nearest training image of a fresh one is more central than most, and is nearer to
    its own neighbours than fresh data are to it. 0 for a copier.

    Reference:
        How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative Models (Alaa et
        al., 2022), section 4.

    Arguments:
        distance: samples' distances to their nearest training image, `[n]`.
        of_neighbour: that training image's distance to the nearest other one, `[n]`.

    Returns:
        The fraction and its standard error (`share`).

    Example:
        >>> import numpy as np
        >>> authenticity(np.array([0.0, 1.0, 3.0, 5.0]), np.array([2.0, 2.0, 2.0, 2.0]))[0]
        0.5
    """
    return share(distance > of_neighbour)


def dcr_share(samples: ndarray, train: ndarray, held_out: ndarray) -> tuple[float, float]:
    r"""Fraction of samples nearer to training images than to as many held-out ones, ties counted one half.

    With c_i the samples whose nearest of all 2h images is image i, and p the share of them that is training images',

    $$ p = \frac1n \sum_{i \in T} c_i, \qquad
       se^2 = \frac{h}{(h-1)\,n^2} \Big[(1-p)^2 \sum_{i \in T} (c_i - \bar c_T)^2
              + p^2 \sum_{i \in H} (c_i - \bar c_H)^2\Big] $$

    One half for a model that knows no more of the training images than of others: then which of the 2h images were
    trained on is a coin flip, and the error is that of a random half of them. It is wider than a binomial's, because in
    many dimensions a few images are the nearest of a great many samples, and all of these move together. It is never
    less than a binomial's (`share`).

    Arguments:
        samples: `[n, *event]`.
        train: training images, `[h, *event]`.
        held_out: images of the same distribution that were not trained on, `[h, *event]`.

    Returns:
        The fraction and its standard error.

    Raises:
        ValueError: if there are not as many training as held-out images, two at least.

    Example:
        >>> import numpy as np
        >>> train, held_out = np.array([[0.0], [10.0]]), np.array([[4.0], [14.0]])
        >>> dcr_share(np.array([[1.0], [2.0], [11.0], [13.0]]), train, held_out)[0]
        0.625
    """
    h, n = len(train), len(samples)
    if h != len(held_out) or h < 2:
        raise ValueError(
            f"found {h} training and {len(held_out)} held-out images; expected as many of both, at least 2"
        )
    (to_train, of_train), (to_other, of_other) = (nearest(samples, images) for images in (train, held_out))
    won = 0.5 * ((to_train < to_other) + 1.0 - (to_train > to_other))[:, 0]
    p = won.mean()
    counts = (np.bincount(of_train[:, 0], won, h), np.bincount(of_other[:, 0], 1 - won, h))
    variance = h * ((1 - p) ** 2 * counts[0].var(ddof=1) + p**2 * counts[1].var(ddof=1)) / n**2
    return float(p), max(float(np.sqrt(variance)), share(won)[1])


def c_t(
    samples: ndarray, test: ndarray, train: ndarray, *, rng: np.random.Generator, cells: int = 10, least: int = 20
) -> tuple[float, float]:
    r"""Data-copying statistic: are samples nearer to the training set than test images are? Below 0 where they are.

    In each cell of a k-means partition of the training set, with distances to the training images of that cell, U
    counts the pairs in which a sample of the cell is further off than a test image of it, ties one half:

    $$ Z_c = \frac{U_c - n_c m_c / 2}{\sqrt{n_c m_c (n_c + m_c + 1) / 12}}, \qquad C_T = \sum_c w_c Z_c,
       \qquad se = \sqrt{\textstyle\sum_c w_c^2} $$

    over the cells that hold at least `least` samples, w_c their shares of the test images there; where no cell does,
    all images are one cell. The error is that of fresh data, where the Z_c are independent and standard normal, given
    the training set.

    Reference:
        A Non-Parametric Test to Detect Data-Copying in Generative Models (Meehan, Chaudhuri & Dasgupta, 2020).

    Arguments:
        samples: `[n, *event]`.
        test: held-out images, `[m, *event]`.
        train: `[l, *event]`.
        rng: source of the partition.
        cells: how many; no more than one for every `least` samples or test images.
        least: samples that a cell must hold to count.

    Returns:
        C_T and its standard error.
    """
    from sklearn.cluster import KMeans

    flat = [images.reshape(len(images), -1).astype(np.float32) for images in (samples, test, train)]
    count = min(cells, len(samples) // least, len(test) // least) or 1
    partition = KMeans(count, n_init=1, random_state=int(rng.integers(2**31))).fit(flat[2])
    of = [*(partition.predict(images) for images in flat[:2]), partition.labels_]
    z, weight = [], []
    for cell in range(count):
        ours, others, trained = (
            images[label == cell] for images, label in zip((samples, test, train), of, strict=True)
        )
        if len(ours) >= least and len(others):
            z.append(_mann_whitney(ours, others, trained))
            weight.append(len(others))
    if not weight:
        return _mann_whitney(samples, test, train), 1.0
    weight = np.array(weight) / sum(weight)
    return float(weight @ z), float(np.sqrt(weight @ weight))


def share(hit: ndarray) -> tuple[float, float]:
    r"""A fraction, hits counted from 0 to 1 each, and its standard error.

    The error is that of Agresti and Coull, $\sqrt{p(1-p)/(n+4)}$ at $p = (c+2)/(n+4)$, which does not vanish where none
    or all are hit. The training set is held fixed.

    Reference:
        Approximate Is Better than "Exact" for Interval Estimation of Binomial Proportions (Agresti & Coull, 1998).

    Example:
        >>> import numpy as np
        >>> value, se = share(np.zeros(96))
        >>> value, round(se, 3)
        (0.0, 0.014)
    """
    n = len(hit)
    p = (float(hit.sum()) + 2) / (n + 4)
    return float(hit.mean()), float(np.sqrt(p * (1 - p) / (n + 4)))


def _mann_whitney(x: ndarray, other: ndarray, train: ndarray) -> float:
    """Z-score of the pairs in which x is further from the training images."""
    x, other = (nearest(images, train)[0][:, 0] for images in (x, other))
    n, m, other = len(x), len(other), np.sort(other)
    above = (np.searchsorted(other, x, "left") + np.searchsorted(other, x, "right")).sum() / 2
    return float((above - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))

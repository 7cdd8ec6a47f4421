"""Nearest training images by Euclidean distance: exact, in bounded memory, at the speed of a matrix product."""

import math

import numpy as np
from numpy import ndarray

ENTRIES = 2**24


def nearest(x: ndarray, train: ndarray, *, k: int = 1) -> tuple[ndarray, ndarray]:
    r"""Distances of each image to its k nearest training images, and which they are.

    $$ \tfrac12 \lVert x - t \rVert^2 = \tfrac12 \lVert x \rVert^2 + \tfrac12 \lVert t \rVert^2 - x \cdot t $$

    ranks the training images by a product of matrices, in single precision and about the mean of `train`. Its rounding
    is at most $\gamma_D \lVert t \rVert\,(\lVert x \rVert + \lVert t \rVert)$ for whatever order of summation, so that
    the nearest are among those within twice that of the k-th; of these few the difference x - t is squared and summed
    in double precision. Therefore no neighbour is missed, a copy is at a distance of exactly 0, and distances of
    integers are the same on every machine.

    Reference:
        Accuracy and Stability of Numerical Algorithms (Higham, 2002), section 3.1.

    Arguments:
        x: images, `[n, *event]`.
        train: images, `[m, *event]`.
        k: how many neighbours.

    Returns:
        Distances, `[n, k]`, float64, ascending, and rows of `train`, `[n, k]`; of equal distances the first row counts.

    Raises:
        ValueError: if the events differ, or there are fewer than k training images.

    Example:
        >>> import numpy as np
        >>> distance, index = nearest(np.array([[0, 0], [3, 5]]), np.array([[0, 0], [3, 4]]), k=2)
        >>> distance.tolist(), index.tolist()
        ([[0.0, 5.0], [1.0, 5.830951894845301]], [[0, 1], [1, 0]])
    """
    if x.shape[1:] != train.shape[1:]:
        raise ValueError(f"found images of shape {x.shape[1:]} and {train.shape[1:]}; expected one shape")
    if not 1 <= k <= len(train):
        raise ValueError(f"found k = {k} and {len(train)} training images; expected k in 1..{len(train)}")
    x, train = (images.reshape(len(images), math.prod(images.shape[1:])) for images in (x, train))
    centre = train.mean(0, dtype=np.float64).astype(np.float32)
    near = (train - centre).astype(np.float32, copy=False)
    half = 0.5 * np.einsum("md,md->m", near, near, dtype=np.float64)
    radius = np.sqrt(2 * half.max())
    slack = 2 * (x.shape[1] + 8) * np.finfo(np.float32).eps * radius
    distance, index = np.empty((len(x), k)), np.empty((len(x), k), np.intp)
    block = max(1, ENTRIES // len(train))
    for start in range(0, len(x), block):
        rows = slice(start, start + block)
        centred = x[rows] - centre
        gap = half.astype(np.float32) - centred.astype(np.float32, copy=False) @ near.T
        kth = gap.min(1) if k == 1 else np.partition(gap, k - 1, axis=1)[:, k - 1]
        reach = kth + slack * (np.linalg.norm(centred, axis=1) + radius)
        image, other = np.nonzero(gap <= reach[:, None])
        square = _squares(x[rows], train, image, other)
        order = np.lexsort((square, image))
        first = np.searchsorted(image, np.arange(len(centred)))
        chosen = order[first[:, None] + np.arange(k)]
        distance[rows], index[rows] = np.sqrt(square[chosen]), other[chosen]
    return distance, index


def _squares(x: ndarray, train: ndarray, image: ndarray, other: ndarray) -> ndarray:
    """Squared distances of the pairs of rows named, from their differences."""
    out = np.empty(len(image))
    step = max(1, ENTRIES // (4 * x.shape[1]))
    for start in range(0, len(image), step):
        pair = slice(start, start + step)
        difference = x[image[pair]].astype(np.float64) - train[other[pair]]
        out[pair] = np.einsum("pd,pd->p", difference, difference)
    return out

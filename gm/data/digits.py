"""Scikit-learn's handwritten digits: 1797 real images of 8x8 pixels, integers 0..16."""

import numpy as np
from numpy import ndarray


def load() -> tuple[ndarray, ndarray]:
    """Read the images and their classes from the installed scikit-learn; nothing is downloaded.

    Reference:
        Optical Recognition of Handwritten Digits (Alpaydin & Kaynak, 1998), UCI Machine Learning Repository;
        the 1797 images of its test half, which are distinct.

    Returns:
        Images, uint8 `[1797, 1, 8, 8]`, values 0..16, and classes, int64 `[1797]`.

    Example:
        >>> x, label = load()
        >>> x.shape, int(x.max())
        ((1797, 1, 8, 8), 16)
    """
    from sklearn.datasets import load_digits

    pixels, label = load_digits(return_X_y=True)
    return pixels.astype(np.uint8).reshape(-1, 1, 8, 8), label.astype(np.int64)

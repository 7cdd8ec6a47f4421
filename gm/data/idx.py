"""IDX files, the format in which MNIST and Fashion-MNIST are published: a header and the bytes of one array."""

import math
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

HALVES = ("train", "t10k")


def read(files: Mapping[str, bytes]) -> tuple[ndarray, ndarray]:
    """Images and classes of the four files of MNIST or of a dataset published like it, the test half last.

    References:
        Gradient-Based Learning Applied to Document Recognition (LeCun, Bottou, Bengio & Haffner, 1998); Fashion-MNIST:
        a Novel Image Dataset for Benchmarking Machine Learning Algorithms (Xiao, Rasul & Vollgraf, 2017).

    Arguments:
        files: content of `<half>-images-idx3-ubyte` and `<half>-labels-idx1-ubyte` for the halves `train` and `t10k`.

    Returns:
        Images, uint8 `[N, 1, H, W]`, and classes, int64 `[N]`.

    Raises:
        ValueError: if a file is missing or not what its name says.
    """
    images, labels = [], []
    for half in HALVES:
        pair = []
        for name, axes in ((f"{half}-images-idx3-ubyte", 3), (f"{half}-labels-idx1-ubyte", 1)):
            if name not in files:
                raise ValueError(f"no file {name}; found {', '.join(sorted(files)) or 'none'}")
            pair.append(parse(files[name], axes, name))
        if len(pair[0]) != len(pair[1]):
            raise ValueError(f"{half}: {len(pair[0])} images and {len(pair[1])} labels; expected as many of both")
        images.append(pair[0])
        labels.append(pair[1])
    if images[0].shape[1:] != images[1].shape[1:]:
        shapes = " and ".join(f"{h}x{w}" for _, h, w in (half.shape for half in images))
        raise ValueError(f"the halves hold images of {shapes}; expected one size")
    return np.concatenate(images)[:, None], np.concatenate(labels).astype(np.int64)


def parse(content: bytes, axes: int, name: str = "an IDX file") -> ndarray:
    """The array in the bytes of an IDX file: 0, 0, 8 (bytes), the number of axes, big-endian sizes, the values.

    Returns:
        uint8, of `axes` axes.

    Raises:
        ValueError: if the header is another, or the values are more or fewer than it says.

    Example:
        >>> parse(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), 1)
        array([7, 8, 9], dtype=uint8)
    """
    start = 4 + 4 * axes
    if content[:4] != bytes([0, 0, 8, axes]) or len(content) < start:
        expected = f"{bytes([0, 0, 8, axes]).hex(' ')} (bytes, {axes} axes) and {axes} sizes"
        raise ValueError(f"{name} begins with {content[:4].hex(' ') or 'nothing'}; expected {expected}")
    shape = [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1)]
    if len(content) != start + math.prod(shape):
        sizes = " x ".join(map(str, shape))
        raise ValueError(f"{name} has {len(content) - start} bytes of values; expected {sizes} as its header says")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)

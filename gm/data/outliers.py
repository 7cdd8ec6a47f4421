"""Outlier sets: images of the dataset's event that are not its data.

Each function takes the test images, the number of grey levels and a seeded generator, and returns as many
images as the test split has, but for `constant`. What a dataset's YAML may set is keyword-only.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
from numpy import ndarray

# Row i of these is made from test image i, so that the two are no independent draws.
ALIGNED = ("hflip", "shuffle")

PHOTOGRAPHS = {
    "brick": "664a145c5253f0d66db1a12776785f0ea35a44cc7447ffc933f6d6118dc58643",
    "grass": "b18dae4c68bf850a7a7b28a29d1846c76be890665117b57fd125fe29c4d4ede6",
    "gravel": "3d51ad45f789cd8b98534b7af6bce774e499ead45421135afd757358c7230009",
}


def hflip(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """The test images mirrored left to right: near outliers (a 0 or an 8 hardly changes)."""
    return test[..., ::-1].copy()


def shuffle(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """The test images with pixels permuted, each by a permutation of its own: same grey levels, no shape."""
    n, c, h, w = test.shape
    order = rng.permuted(np.tile(np.arange(h * w), (n, 1)), axis=1)
    return np.take_along_axis(test.reshape(n, c, h * w), order[:, None], axis=2).reshape(test.shape)


def constant(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """Images of one grey level each, from 0 upwards, one a level: there are no more that differ."""
    grey = np.arange(levels)[:, None, None, None]
    return np.broadcast_to(grey, (levels, *test.shape[1:])).astype(test.dtype)


def noise(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """Independent pixels, uniform over the levels."""
    return rng.integers(levels, size=test.shape).astype(test.dtype)


def texture(test: ndarray, levels: int, rng: np.random.Generator, *, scale: int = 4) -> ndarray:
    """Patches of scikit-image's photographs of brick, grass and gravel, reduced to the event's shape.

    Patches lie on a square lattice over each photograph, the photographs in turn; blocks of `scale` x `scale`
    pixels are averaged, and 0..255 is cut into `levels` equal bins. The photographs are CC0 and part of the
    installed package.

    Arguments:
        test: test images `[N, C, H, W]`; only their shape is used.
        levels: grey levels.
        rng: not used; the patches are fixed.
        scale: photograph pixels per image pixel, along each side.

    Raises:
        ValueError: if a patch does not fit the photograph, or the installed photograph is another one.
    """
    n, c, h, w = test.shape
    grey = np.empty((n, h * scale, w * scale), np.int64)
    for i, name in enumerate(PHOTOGRAPHS):
        photograph = _photograph(name)
        room = np.subtract(photograph.shape, (h * scale, w * scale))
        if scale < 1 or room.min() < 0:
            raise ValueError(f"scale {scale} makes patches of {h * scale}x{w * scale}; expected 1x1 to 512x512")
        rows = np.arange(i, n, len(PHOTOGRAPHS))
        side = math.ceil(math.sqrt(len(rows)))
        cells = np.linspace(0, side * side - 1, len(rows)).astype(int)
        top, left = (np.linspace(0, length, side).astype(int) for length in room)
        for row, y, x in zip(rows, top[cells // side], left[cells % side], strict=True):
            grey[row] = photograph[y : y + h * scale, x : x + w * scale]
    total = grey.reshape(n, h, scale, w, scale).sum((2, 4))
    level = total * levels // (256 * scale * scale)
    return np.repeat(level[:, None], c, axis=1).astype(test.dtype)


def _photograph(name: str) -> ndarray:
    from skimage import data

    photograph = getattr(data, name)()
    digest = hashlib.sha256(photograph.tobytes()).hexdigest()
    if digest != PHOTOGRAPHS[name]:
        raise ValueError(f"scikit-image's '{name}' has sha256 {digest}; expected {PHOTOGRAPHS[name]}")
    return photograph


OUTLIERS: dict[str, Callable[..., ndarray]] = {
    "hflip": hflip,
    "shuffle": shuffle,
    "constant": constant,
    "noise": noise,
    "texture": texture,
}

"""Outlier sets: images of the dataset's event that are not its data.

Each function takes test images, the number of grey levels and a seeded generator, and returns as many images as it
is given, but for `constant`. What a dataset's YAML may set is keyword-only.
"""

import hashlib
import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from PIL import ImageFont

# Row i of these is made from test image i, so that the two are no independent draws.
ALIGNED = ("hflip", "vflip", "shuffle")

LETTERS = "ABCDEFGHIJ"
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
)

PHOTOGRAPHS = {
    "brick": "664a145c5253f0d66db1a12776785f0ea35a44cc7447ffc933f6d6118dc58643",
    "grass": "b18dae4c68bf850a7a7b28a29d1846c76be890665117b57fd125fe29c4d4ede6",
    "gravel": "3d51ad45f789cd8b98534b7af6bce774e499ead45421135afd757358c7230009",
}


def hflip(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """The test images mirrored left to right: near outliers (a 0 or an 8 hardly changes)."""
    return test[..., ::-1].copy()


def vflip(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """The test images mirrored top to bottom."""
    return test[..., ::-1, :].copy()


def shuffle(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """The test images with pixels permuted, each by a permutation of its own: same grey levels, no shape."""
    n, c, h, w = test.shape
    order = rng.permuted(np.tile(np.arange(h * w), (n, 1)), axis=1)
    return np.take_along_axis(test.reshape(n, c, h * w), order[:, None], axis=2).reshape(test.shape)


def constant(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """Images of one grey level each, from black to white, at most one a level: there are no more that differ."""
    n = min(levels, len(test))
    grey = np.linspace(0, levels - 1, n).round().astype(test.dtype)[:, None, None, None]
    return np.broadcast_to(grey, (n, *test.shape[1:])).copy()


def noise(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """Independent pixels, uniform over the levels."""
    return rng.integers(levels, size=test.shape, dtype=test.dtype)


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
    total = np.empty((n, h, w), np.int64)
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
            patch = photograph[y : y + h * scale, x : x + w * scale]
            total[row] = patch.reshape(h, scale, w, scale).sum((1, 3))
    level = total * levels // (256 * scale * scale)
    return np.repeat(level[:, None], c, axis=1).astype(test.dtype)


def glyphs(test: ndarray, levels: int, rng: np.random.Generator) -> ndarray:
    """The letters A to J, white on black, in twelve faces of the DejaVu fonts that matplotlib ships.

    Sizes go from half the image's shorter side to nine tenths of it, and centres move by up to a tenth of it. The
    combinations of letter, face, size and place are drawn without replacement, and an image seen before is left out.

    Arguments:
        test: test images `[N, C, H, W]`; only their shape is used.
        levels: grey levels; 0..255 is cut into as many equal bins.
        rng: draws the combinations.

    Raises:
        ValueError: if the event is so small that there are fewer than N different images.
    """
    n, c, h, w = test.shape
    side = min(h, w)
    reach = range(-(side // 10), side // 10 + 1)
    sizes = range(math.ceil(side / 2), math.floor(0.9 * side) + 1)
    choices = list(itertools.product(LETTERS, FACES, sizes, reach, reach))
    seen: dict[bytes, ndarray] = {}
    for choice in rng.permutation(len(choices)):
        if len(seen) == n:
            break
        letter, face, size, down, right = choices[choice]
        image = _drawn(letter, face, size, (w / 2 + right, h / 2 + down), (w, h)).astype(np.int64) * levels // 256
        seen.setdefault(image.tobytes(), image)
    if len(seen) < n:
        raise ValueError(f"images of {h}x{w} have {len(seen)} different glyphs; expected {n}")
    level = np.array(list(seen.values()), test.dtype).reshape(n, 1, h, w)
    return np.repeat(level, c, axis=1)


def _drawn(letter: str, face: str, size: int, centre: tuple[float, float], shape: tuple[int, int]) -> ndarray:
    """One letter as a picture `[H, W]`, 0..255, the middle of its ink at `centre` to within half a pixel."""
    from PIL import Image, ImageDraw

    font, picture = _font(face, size), Image.new("L", shape)
    left, top, right, bottom = font.getbbox(letter)
    place = round(centre[0] - (left + right) / 2), round(centre[1] - (top + bottom) / 2)
    ImageDraw.Draw(picture).text(place, letter, fill=255, font=font)
    return np.asarray(picture)


@cache
def _font(face: str, size: int) -> "ImageFont.FreeTypeFont":
    from matplotlib import get_data_path
    from PIL import ImageFont

    file = f"{get_data_path()}/fonts/ttf/{face}.ttf"
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def _photograph(name: str) -> ndarray:
    from skimage import data

    photograph = getattr(data, name)()
    digest = hashlib.sha256(photograph.tobytes()).hexdigest()
    if digest != PHOTOGRAPHS[name]:
        raise ValueError(f"scikit-image's '{name}' has sha256 {digest}; expected {PHOTOGRAPHS[name]}")
    return photograph


OUTLIERS: dict[str, Callable[..., ndarray]] = {
    "hflip": hflip,
    "vflip": vflip,
    "shuffle": shuffle,
    "constant": constant,
    "noise": noise,
    "texture": texture,
    "glyphs": glyphs,
}

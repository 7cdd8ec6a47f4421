"""A user's own images: a folder of pictures, or arrays in an `.npz`."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = {"L": "L", "1": "L", "RGB": "RGB"}


def pictures(files: Mapping[str, bytes]) -> tuple[ndarray, ndarray]:
    """Images and classes of a folder of PNG or JPEG pictures: `<class>/<picture>.png`, all grey or all RGB.

    Classes are numbered in the order of their folders' names, pictures follow the order of their paths. Pictures that
    lie in no folder are of one class, 0.

    Arguments:
        files: content by path inside the folder.

    Returns:
        Images, uint8 `[N, 1, H, W]` (grey) or `[N, 3, H, W]` (RGB), and classes, int64 `[N]`.

    Raises:
        ValueError: if there are none, one cannot be read, or they differ in size or mode.
    """
    from PIL import Image

    if not files:
        raise ValueError(f"no pictures; expected files <class>/<name> ending in {', '.join(SUFFIXES)}")
    paths, images, first = sorted(files), [], None
    for path in paths:
        try:
            with Image.open(io.BytesIO(files[path]), formats=("PNG", "JPEG")) as picture:
                mode = MODES.get(picture.mode)
                kind = f"{picture.width}x{picture.height} {mode or picture.mode}"
                if mode is None:
                    raise ValueError(f"{path} is {kind}; expected a picture in 8-bit grey or RGB")
                first = first or (path, kind)
                if kind != first[1]:
                    raise ValueError(f"{path} is {kind}, {first[0]} is {first[1]}; expected one size and mode for all")
                images.append(np.asarray(picture.convert(mode)))
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path} is no readable picture: {error}") from error
    x = np.stack(images)
    folders = [path.rpartition("/")[0] for path in paths]
    label = np.unique(np.array(folders), return_inverse=True)[1]
    return x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2).copy(), label.astype(np.int64)


def arrays(content: bytes) -> tuple[ndarray, ndarray]:
    """Images and classes of an `.npz`: `x`, uint8 `[N, H, W]` or `[N, C, H, W]`, and, if it has it, `label` `[N]`.

    Without `label` all images are of class 0. Pickles are refused.

    Returns:
        Images, uint8 `[N, C, H, W]`, and classes, int64 `[N]`.

    Raises:
        ValueError: if it cannot be read without pickles, or an array has another type or shape.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ValueError("not an .npz, or a part of one; expected what numpy.savez writes")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            found = {name: file[name] for name in ("x", "label") if name in file.files}
            names = file.files
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"no readable .npz without pickles: {error}") from error
    if "x" not in found:
        raise ValueError(f"no array 'x'; found {', '.join(sorted(names)) or 'none'}")
    x, label = found["x"], found.get("label")
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or not x.size:
        raise ValueError(f"'x' is {x.dtype} of shape {x.shape}; expected uint8 [N, H, W] or [N, C, H, W]")
    label = np.zeros(len(x), np.int64) if label is None else label
    if label.shape != (len(x),) or label.dtype.kind not in "iu":
        raise ValueError(f"'label' is {label.dtype} of shape {label.shape}; expected whole numbers, ({len(x)},)")
    return x[:, None] if x.ndim == 3 else x, label.astype(np.int64)

"""From a dataset's definition to its arrays: splits, outlier sets and the fixed dequantisation noise."""

import hashlib

import numpy as np
from numpy import ndarray

from gm.data.outliers import ALIGNED, OUTLIERS
from gm.rng import numpy_stream
from gm.source import resolve

SPLITS = ("train", "valid", "test", "fresh", "nonmember")
NOISY = ("test", "member", "nonmember")


def build(spec: dict) -> dict[str, ndarray]:
    """All arrays of a dataset from the content of its YAML, the keyword arguments of `dataset`."""
    return dataset(**spec)


def dataset(
    *,
    source: str,
    sha256: str,
    levels: int,
    splits: dict[str, int],
    member: int,
    seed: int,
    outliers: dict[str, dict],
    threshold: int | None = None,
    leave_out: int | None = None,
) -> dict[str, ndarray]:
    """Cut a source into disjoint splits, make outlier sets, and draw the noise u of y = x + u.

    `train`, `valid` and `test` are stratified by class. `fresh` and `nonmember` are plain random draws: samples of a
    perfect model have no quota of each class, and real images that had one would look nearer to `test` than it can be.

    The outlier sets in `ALIGNED` are the test images transformed, row by row. The images of any other outlier set are
    distinct, after the threshold: a repeated image says nothing new, and must not count as another outlier.

    Every draw has its own stream of `seed`: another outlier set or another size of the last split moves
    nothing else. u = (i + 1/2) / 2^15 with i uniform over 0..2^15-1, so that y is exact in float32 and
    floor(y) = x.

    Arguments:
        source: function, `package.module.function` or `path/to/file.py:function`, that returns images
            `[N, C, H, W]`, uint8, and classes `[N]`.
        sha256: `digest` of what it must return.
        levels: grey levels of the dataset, 2 if there is a threshold.
        splits: images in `train`, `valid`, `test`, `fresh` and `nonmember`, disjoint; each class has its
            share of the first three, to within one image or two.
        member: images of `train` that stand for it in membership tests, stratified too.
        seed: the dataset's own seed, of splits, outlier sets and noise.
        outliers: set name in `OUTLIERS` -> its keyword arguments.
        threshold: pixels of at least this level become 1, the others 0, in outlier sets too; null for
            grey levels.
        leave_out: class that no split holds and that makes the outlier set `class-<k>`; null for none.

    Returns:
        `x_<split>` uint8 and `label_<split>` int64 for the splits and `member`; `x_outlier_<set>` uint8;
        `u_<part>` float32 for test, member, nonmember and the outlier sets; `levels` int64; `aligned` str, the
        outlier parts `outlier_<set>` whose row i is made from test image i, sorted.

    Raises:
        ValueError: if the source is not the one expected, sizes do not fit, or a name or level is not legal.
    """
    x, label = resolve(source)()
    if (found := digest(x, label)) != sha256:
        raise ValueError(f"source '{source}' has sha256 {found}; expected {sha256}")
    _check("split", splits, SPLITS, required=SPLITS)
    _check("outlier set", outliers, OUTLIERS)
    grey = int(x.max()) + 1
    legal = levels == grey if threshold is None else levels == 2 and 0 < threshold < grey
    if not legal:
        expected = f"levels {grey} without a threshold, or levels 2 with one in 1..{grey - 1}"
        raise ValueError(f"found levels {levels} and threshold {threshold} for '{source}'; expected {expected}")
    if leave_out is not None and leave_out not in label:
        raise ValueError(f"leave_out is {leave_out}; expected one of the classes {np.unique(label).tolist()}")

    arrays: dict[str, ndarray] = {}
    kept = np.flatnonzero(label != leave_out) if leave_out is not None else np.arange(len(x))
    if sum(splits.values()) > len(kept) or member > splits["train"]:
        sizes = f"splits {splits} and member {member}"
        raise ValueError(f"found {sizes}; expected at most {len(kept)} images in all, and member within train")
    rng = numpy_stream(seed, "splits")
    kept = rng.permutation(kept)
    apart = splits["fresh"] + splits["nonmember"]
    order = np.concatenate([kept[apart:][_stratified(label[kept[apart:]], rng)], kept[:apart]])
    start = 0
    for split in SPLITS:
        start = len(order) - apart if split == "fresh" else start
        part = order[start : start + splits[split]]
        start += len(part)
        if split == "train":
            arrays["x_member"], arrays["label_member"] = x[part[:member]], label[part[:member]]
        part = rng.permutation(part)
        arrays[f"x_{split}"], arrays[f"label_{split}"] = x[part], label[part]

    for name, options in outliers.items():
        rng = numpy_stream(seed, "outlier", name)
        arrays[f"x_outlier_{name}"] = OUTLIERS[name](arrays["x_test"], grey, rng, **options)
    if leave_out is not None:
        arrays[f"x_outlier_class-{leave_out}"] = x[label == leave_out][: splits["test"]]
    if threshold is not None:
        images = {name: array for name, array in arrays.items() if name.startswith("x_")}
        arrays |= {name: (image >= threshold).astype(np.uint8) for name, image in images.items()}

    aligned = sorted(f"outlier_{name}" for name in outliers if name in ALIGNED)
    for name in arrays:
        if name.startswith("x_outlier_") and name.removeprefix("x_") not in aligned:
            arrays[name] = _distinct(arrays[name])
    for part in [*NOISY, *(name.removeprefix("x_") for name in arrays if name.startswith("x_outlier_"))]:
        i = numpy_stream(seed, "u", part).integers(2**15, size=arrays[f"x_{part}"].shape)
        arrays[f"u_{part}"] = ((i + 0.5) / 2**15).astype(np.float32)
    return arrays | {"levels": np.array(levels, np.int64), "aligned": np.array(aligned, np.str_)}


def digest(x: ndarray, label: ndarray) -> str:
    """Hexadecimal sha256 of the images' bytes (uint8) followed by the classes' (little-endian int64)."""
    content = np.ascontiguousarray(x, np.uint8).tobytes() + np.ascontiguousarray(label, "<i8").tobytes()
    return hashlib.sha256(content).hexdigest()


def _stratified(label: ndarray, rng: np.random.Generator) -> ndarray:
    """A random order in which every block of items has its share of each class, to within one or two.

    The r-th of the n_c items of a class gets a place drawn uniformly from [r / n_c, (r + 1) / n_c).
    """
    place = np.empty(len(label))
    for c in np.unique(label):
        items = rng.permutation(np.flatnonzero(label == c))
        place[items] = (np.arange(len(items)) + rng.random(len(items))) / len(items)
    return np.argsort(place)


def _distinct(x: ndarray) -> ndarray:
    """The first of each image, in their order."""
    return x[np.sort(np.unique(x.reshape(len(x), -1), axis=0, return_index=True)[1])]


def _check(what: str, found: dict, legal, required=()) -> None:
    if wrong := sorted(set(found) - set(legal)):
        raise ValueError(f"unknown {what} {wrong}; expected names among {sorted(legal)}")
    if missing := sorted(set(required) - set(found)):
        raise ValueError(f"missing {what} {missing}; expected all of {sorted(required)}")

"""From a source's images to a dataset's arrays: splits, binarisation, outlier sets and the dequantisation noise."""

import hashlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy import ndarray

from gm.data.outliers import ALIGNED, OUTLIERS
from gm.rng import numpy_stream

SPLITS = ("train", "valid", "test", "fresh", "reference")
NOISY = ("test", "member", "nonmember")


def dataset(
    x: ndarray,
    label: ndarray,
    foreign: Mapping[str, ndarray] | None = None,
    *,
    levels: int,
    splits: dict[str, int],
    candidates: int,
    seed: int,
    outliers: dict[str, dict],
    held_out: int = 0,
    outlier_size: int | None = None,
    threshold: int | None = None,
    binarise: Literal["static", "dynamic"] | None = None,
    leave_out: int | None = None,
    confidential: bool = False,
) -> dict[str, ndarray]:
    r"""Cut a source into disjoint splits, make outlier sets, and draw the noise u of y = x + u.

    The source's own test set, its last `held_out` images, makes `test` and nothing else; a source without one is cut
    as a whole. See `cut` for which image goes where.

    Binary images are `x >= threshold`, or one Bernoulli draw of every pixel,

    $$ x_i \sim \mathrm{Bernoulli}(g_i / 255), $$

    g being the grey level. The draw is made once with the dataset's seed. `dynamic` hands on the grey levels of the
    training images too, so that a model can draw again in each minibatch; everything else stays as drawn.

    The outlier sets in `ALIGNED` are all test images transformed, row by row. The images of any other outlier set are
    distinct, after the binarisation: a repeated image says nothing new, and must not count as another outlier.

    Every draw has its own stream of `seed`: another outlier set moves nothing else. u = (i + 1/2) / 2^15 with i
    uniform over 0..2^15-1, so that y is exact in float32 and floor(y) = x.

    Reference:
        On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008), of the binarisation.

    Arguments:
        x: images `[N, C, H, W]`, uint8.
        label: their classes `[N]`.
        foreign: images of other datasets `[M, C, H, W]`, uint8, by the name of the outlier set that they make.
        levels: grey levels of the dataset, 2 if it is binary.
        splits: images in `train` (beside the members), `valid`, `test`, `fresh` and `reference`.
        candidates: images whose membership a fair coin decides.
        seed: the dataset's own seed, of splits, coins, binarisation, outlier sets and noise.
        outliers: set name in `OUTLIERS` -> its keyword arguments; or a name in `foreign`.
        held_out: how many images at the end of the source are its own test set.
        outlier_size: most images in an outlier set that is not aligned; null for as many as `test` has.
        threshold: pixels of at least this level become 1, the others 0; null for none.
        binarise: one Bernoulli draw of each pixel, for good (`static`) or anew in training (`dynamic`); null for none.
        leave_out: class that no split holds and that makes the outlier set `class-<k>`; null for none.
        confidential: whether training images may never be shown.

    Returns:
        `x_<part>` uint8 and `label_<part>` int64 for the splits, `member` and `nonmember`; `x_outlier_<set>` uint8;
        `u_<part>` float32 for test, member, nonmember and the outlier sets; `grey_train` uint8, where the
        binarisation is dynamic; `levels` int64; `confidential` bool; `aligned` str, the outlier parts `outlier_<set>`
        whose row i is made from test image i, sorted.

    Raises:
        ValueError: if sizes do not fit, or a name or level is not legal.
    """
    foreign = foreign or {}
    _check("split", splits, SPLITS, required=SPLITS)
    _check("outlier set", outliers, [*OUTLIERS, *foreign])
    grey = _grey_levels(int(x.max()) + 1, levels, threshold, binarise)
    if leave_out is not None and leave_out not in label:
        raise ValueError(f"leave_out is {leave_out}; expected one of the classes {np.unique(label).tolist()}")

    def shown(images: ndarray, name: str) -> ndarray:
        if threshold is not None:
            return (images >= threshold).astype(np.uint8)
        if binarise is None:
            return images
        # A whole number below 255 is below g with probability g / 255, exactly.
        below = numpy_stream(seed, "binarise", name).integers(255, size=images.shape, dtype=np.uint8)
        return (below < images).astype(np.uint8)

    parts = cut(label, splits=splits, candidates=candidates, held_out=held_out, leave_out=leave_out, seed=seed)
    whole, arrays = shown(x, "source"), {}
    for part, rows in parts.items():
        arrays[f"x_{part}"], arrays[f"label_{part}"] = whole[rows], label[rows].astype(np.int64)
    if binarise == "dynamic":
        arrays["grey_train"] = x[parts["train"]]

    test = x[parts["test"]]
    size = len(test) if outlier_size is None else outlier_size
    sets: dict[str, ndarray] = {}
    for name, options in outliers.items():
        rng = numpy_stream(seed, "outlier", name)
        if name in foreign:
            images = _matching(name, foreign[name], test.shape[1:], grey)
            sets[name] = images[rng.permutation(len(images))[:size]]
        else:
            sets[name] = OUTLIERS[name](test if name in ALIGNED else test[:size], grey, rng, **options)
    if leave_out is not None:
        rows = np.flatnonzero(label == leave_out)
        sets[f"class-{leave_out}"] = x[rows[rows >= len(x) - held_out] if held_out else rows][:size]
    for name, images in sets.items():
        images = shown(images, f"outlier_{name}")
        arrays[f"x_outlier_{name}"] = images if name in ALIGNED else _distinct(images)

    for part in [*NOISY, *(f"outlier_{name}" for name in sets)]:
        i = numpy_stream(seed, "u", part).integers(2**15, size=arrays[f"x_{part}"].shape, dtype=np.uint16)
        arrays[f"u_{part}"] = (i + np.float32(0.5)) / np.float32(2**15)
    aligned = sorted(f"outlier_{name}" for name in sets if name in ALIGNED)
    facts = {"levels": np.array(levels, np.int64), "confidential": np.array(confidential)}
    return arrays | facts | {"aligned": np.array(aligned, np.str_)}


def cut(
    label: ndarray,
    *,
    splits: dict[str, int],
    candidates: int,
    held_out: int,
    leave_out: int | None,
    seed: int,
) -> dict[str, ndarray]:
    """Which image goes where: row numbers of the source by part.

    `valid`, `test` and train's own images are stratified by class. The candidates, `fresh` and `reference` are plain
    random draws: samples of a perfect model have no quota of each class, and real images that had one would look
    nearer to `test` than they can be.

    Each candidate is tossed by a fair coin of its own, independent of all else: heads join `train` and are `member`,
    tails are `nonmember` and lie nowhere else. So which images a model was trained on is independent of the images,
    which is what an audit of membership needs.

    Reference:
        Privacy Auditing with One (1) Training Run (Steinke, Nasr & Jagielski, 2023).

    Returns:
        Row numbers of `SPLITS`, `member` and `nonmember`. All but `member` are disjoint, and it lies inside `train`.

    Raises:
        ValueError: if there are not as many images.
    """
    kept = np.arange(len(label)) if leave_out is None else np.flatnonzero(label != leave_out)
    rng, first = numpy_stream(seed, "splits"), len(label) - held_out
    pool, own_test = rng.permutation(kept[kept < first]), rng.permutation(kept[kept >= first])
    wanted = candidates + sum(splits.values()) - (splits["test"] if held_out else 0)
    if min(*splits.values(), candidates, held_out) < 0 or wanted > len(pool):
        raise ValueError(f"found splits {splits} and candidates {candidates}; expected at most {len(pool)} images")
    if held_out and splits["test"] > len(own_test):
        raise ValueError(f"found test {splits['test']}; expected at most the {len(own_test)} images held out")

    apart = np.cumsum([candidates, splits["fresh"], splits["reference"]])
    tossed, fresh, reference, rest = np.split(pool, apart)
    rest = rest[_stratified(label[rest], rng)]
    if held_out:
        own_test = own_test[_stratified(label[own_test], rng)]
    else:
        own_test, rest = np.split(rest, [splits["test"]])
    valid, own = rest[: splits["valid"]], rest[splits["valid"] :][: splits["train"]]
    heads = numpy_stream(seed, "coins").integers(2, size=candidates).astype(bool)
    ordered = {"valid": valid, "test": own_test[: splits["test"]], "fresh": fresh, "reference": reference}
    ordered["train"] = np.concatenate([own, tossed[heads]])
    shuffled = {part: rng.permutation(rows) for part, rows in ordered.items()}
    return shuffled | {"member": tossed[heads], "nonmember": tossed[~heads]}


def digest(x: ndarray, label: ndarray) -> str:
    """Hexadecimal sha256 of the images' bytes (uint8) followed by the classes' (little-endian int64)."""
    content = np.ascontiguousarray(x, np.uint8).tobytes() + np.ascontiguousarray(label, "<i8").tobytes()
    return hashlib.sha256(content).hexdigest()


def _grey_levels(found: int, levels: int, threshold: int | None, binarise: str | None) -> int:
    """The source's grey levels, when the dataset's are what they can be."""
    binary = threshold is not None or binarise is not None
    if threshold is not None and binarise is not None:
        raise ValueError(f"found threshold {threshold} and binarise {binarise}; expected one of the two at most")
    if binarise is not None and found != 256:
        raise ValueError(f"found grey levels 0..{found - 1} and binarise {binarise}; expected 0..255, or a threshold")
    if threshold is not None and not 0 < threshold < found:
        raise ValueError(f"found threshold {threshold}; expected one in 1..{found - 1}")
    if levels != 2 if binary else not found <= levels <= 256:
        legal = "2, as the images are made binary" if binary else f"{found} to 256, as grey levels are 0..{found - 1}"
        raise ValueError(f"found levels {levels}; expected {legal}")
    return found if binary else levels


def _matching(name: str, images: ndarray, shape: tuple[int, ...], grey: int) -> ndarray:
    """Images of another dataset, if they are of the same event."""
    if images.shape[1:] != shape or images.max() >= grey:
        found = f"images {images.shape[1:]} with grey levels up to {images.max()}"
        raise ValueError(f"outlier set {name}: {found}; expected {tuple(shape)} up to {grey - 1}, as the dataset's own")
    return images


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

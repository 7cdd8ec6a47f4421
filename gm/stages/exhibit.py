"""What the report shows of a dataset's images, small enough to travel with the numbers in place of the dataset."""

import hashlib
import json
from collections.abc import Iterable

import numpy as np

Arrays = dict[str, np.ndarray]
Row = dict[str, object]

GROUP = ("x", "nearest", "distance")


def describe(data: Arrays) -> Row:
    """Facts of a dataset that no image can be told from.

    Arguments:
        data: the arrays of a `data.npz`.

    Returns:
        `shape` of an image, `levels`, `ends` (least and greatest value), `sizes` by split, the names of the `outliers`
        and of the `aligned` ones among them, `confidential`, and `test`, the sha256 of the test images.
    """
    train, test, levels = data["x_train"], data["x_test"], int(data["levels"])
    ends = (0, levels - 1) if levels else (float(train.min()), float(train.max()))
    parts = {name.removeprefix("x_"): len(array) for name, array in data.items() if name.startswith("x_")}
    outliers = sorted(name.removeprefix("outlier_") for name in parts if name.startswith("outlier_"))
    return {
        "shape": list(test.shape[1:]),
        "levels": levels,
        "ends": list(ends),
        "sizes": {name: size for name, size in parts.items() if not name.startswith("outlier_")},
        "outliers": outliers,
        "aligned": [str(name) for name in data.get("aligned", ())],
        "confidential": bool(data.get("confidential", False)),
        "test": hashlib.sha256(np.ascontiguousarray(test).tobytes()).hexdigest(),
    }


def pack(about: Row, groups: Iterable[Row]) -> Arrays:
    """Facts and pictures as arrays, to be read by `unpack` in place of the dataset.

    Arguments:
        about: of `describe`.
        groups: pictures as `gm.stages.panels.sample_groups` gives them: `name`, `family`, and arrays `GROUP`.

    Example:
        >>> groups = [{"name": "vae", "family": "vae", "x": np.zeros((2, 1, 4, 4))}]
        >>> about, found = unpack(pack({"levels": 2}, groups))
        >>> about["levels"], found[0]["name"], found[0]["x"].shape
        (2, 'vae', (2, 1, 4, 4))
    """
    groups = list(groups)
    names = [{key: group[key] for key in ("name", "family")} for group in groups]
    out = {"about": np.array(json.dumps({"about": about, "groups": names}, sort_keys=True))}
    for index, group in enumerate(groups):
        out |= {f"{index}/{key}": group[key] for key in GROUP if key in group}
    return out


def unpack(arrays: Arrays) -> tuple[Row, list[Row]]:
    """The facts and the pictures that `pack` was given."""
    found = json.loads(str(arrays["about"]))
    groups = [
        group | {key: arrays[f"{index}/{key}"] for key in GROUP if f"{index}/{key}" in arrays}
        for index, group in enumerate(found["groups"])
    ]
    return found["about"], groups

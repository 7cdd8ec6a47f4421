"""A contestant made elsewhere: `samples.npz` and, if it has them, `scores.npz`, checked and ranked like the rest.

`samples.npz` holds `x` of shape `[n, C, H, W]`, at least as many images as the test split. `scores.npz` holds, for
each judged part (`test`, `member`, `nonmember`, `outlier_<name>`), `lower_<part>` and `upper_<part>`: nats at
y = x + u with the dataset's own u. Its ends count as `heuristic`: nothing here can certify them.
"""

import numpy as np
import torch

from gm import io
from gm.model import Bounds
from gm.stages.job import Failed


def _arrays(path: str, wanted: str) -> dict[str, np.ndarray]:
    try:
        return io.read_arrays(path)
    except (ValueError, EOFError) as error:
        raise Failed("invalid", f"{path}: not a readable .npz without pickles ({error}); expected {wanted}") from error


def hashes(spec: dict) -> dict[str, str]:
    """The sha256 of what was handed in, by name."""
    return {name: io.sha256(path) for name, path in spec["external"].items() if path}


def samples(spec: dict, n: int) -> torch.Tensor:
    """The first `n` images of an external `samples.npz`."""
    path = spec["external"]["samples"]
    arrays = _arrays(path, "an array 'x' [n, C, H, W]")
    if "x" not in arrays:
        raise Failed("invalid", f"{path} holds {sorted(arrays)}; expected an array 'x' [n, C, H, W]")
    if len(arrays["x"]) < n:
        raise Failed("invalid", f"{path} holds {len(arrays['x'])} images; expected at least {n}")
    x = arrays["x"][:n]
    if x.dtype.kind not in "iufb":
        raise Failed("invalid", f"'x' in {path} has dtype {x.dtype}; expected numbers")
    whole = x.dtype.kind != "f" or bool((x == np.floor(x)).all())
    return torch.from_numpy(x.astype(np.int64) if whole else x)


def scores(spec: dict, sizes: dict[str, int]) -> tuple[Bounds, dict[str, torch.Tensor]]:
    """Bounds of an external `scores.npz`, rows in the order of `sizes`; no density where the file is not given."""
    path = spec["external"].get("scores")
    if not path:
        return Bounds.none(sum(sizes.values())), {}
    arrays = _arrays(path, "arrays 'lower_<part>' and 'upper_<part>'")
    ends = []
    for end in ("lower", "upper"):
        pieces = []
        for part, size in sizes.items():
            found = arrays.get(f"{end}_{part}")
            if found is None or found.shape != (size,):
                seen = "is missing" if found is None else f"has shape {found.shape}"
                raise Failed("invalid", f"'{end}_{part}' in {path} {seen}; expected shape ({size},)")
            pieces.append(found.astype(np.float64))
        ends.append(torch.from_numpy(np.concatenate(pieces)))
    bounds = Bounds(*ends, kinds=("heuristic", "heuristic"), note="ends as handed in, not verified here")
    return bounds, {"nll": -bounds.lower}

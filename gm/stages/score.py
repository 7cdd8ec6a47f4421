"""score: model.safetensors -> scores.npz, bounds on log p and outlier scores for every row that is judged."""

import numpy as np
import torch

from gm import io, rng
from gm.model import Bounds, load
from gm.stages import external
from gm.stages.contestant import contestant
from gm.stages.device import described, device_for
from gm.stages.job import Failed, Input, Outcome, Output


def parts_of(arrays: dict[str, np.ndarray]) -> list[str]:
    """The splits that are judged: those with fixed noise u, and all of them for real-valued data."""
    return sorted(name.removeprefix("u_") for name in arrays if name.startswith("u_"))


def rows_of(arrays: dict[str, np.ndarray], parts: list[str]) -> torch.Tensor:
    """All judged rows y = x + u, `[B, C, H, W]`, float32 (exact, because u has 16 bits)."""
    rows = [arrays[f"x_{part}"].astype(np.float32) + arrays[f"u_{part}"] for part in parts]
    return torch.from_numpy(np.concatenate(rows))


def check(bounds: Bounds) -> None:
    """Refuse bounds that are no interval."""
    low, high = bounds.lower, bounds.upper
    if torch.isnan(low).any() or torch.isnan(high).any():
        raise Failed(
            "diverged", f"{int((low.isnan() | high.isnan()).sum())} of {len(low)} rows have bounds that are NaN"
        )
    if (low > high + 1e-6 * (1 + high.abs())).any():
        raise Failed("invalid", f"{int((low > high).sum())} of {len(low)} rows have a lower end above the upper end")


def run(data: Input, weights: Input, scores: Output, *, spec: dict, seed: int) -> Outcome:
    """Bound log p(y) on test, member, nonmember and outlier rows in one call, so that all share one log Z."""
    arrays = io.read_arrays(data)
    parts = parts_of(arrays)
    y = rows_of(arrays, parts)
    used = {}
    if "external" in spec:
        bounds, outliers = external.scores(spec, {part: len(arrays[f"x_{part}"]) for part in parts})
    else:
        with device_for(spec) as device, contestant(), torch.no_grad():
            model, y = load(weights).to(device), y.to(device)
            bounds = model.bounds(y, generator=rng.stream(seed, "score"), **spec.get("score", {}))
            outliers = model.outlier_scores(y, bounds, generator=rng.stream(seed, "outliers"))
            used = described(device)
    check(bounds)
    columns = {"lower": bounds.lower, "upper": bounds.upper}
    columns |= {f"term_{name}": term for name, term in bounds.terms.items()}
    columns |= {f"score_{name}": score for name, score in outliers.items()}
    ends = np.cumsum([len(arrays[f"x_{part}"]) for part in parts])[:-1]
    out = {}
    for name, column in columns.items():
        pieces = np.split(column.detach().cpu().double().numpy(), ends)
        out |= {f"{name}_{part}": piece for part, piece in zip(parts, pieces, strict=True)}
    out |= {
        "kinds": np.array(bounds.kinds),
        "shared": np.array(bounds.shared, np.float64),
        "shared_se": np.float64(bounds.shared_se),
        "slack": np.float64(bounds.slack),
        "alpha": np.float64(bounds.alpha),
        "note": np.array(bounds.note),
    }
    io.write_arrays(scores, out)
    return Outcome(evals=bounds.evals, facts={"note": bounds.note}, **used)


def empty(scores: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(scores, {"kinds": np.array(["none", "none"])})

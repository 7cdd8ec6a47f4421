"""evaluate: truth, ruler, draws and intervals -> metrics.csv, one row per number; a family's rows end in the member."""

import math
from collections.abc import Iterable

import numpy as np

from gm import io, provenance
from gm.metrics import draws
from gm.stages.evaluate import COLUMNS, counted
from gm.stages.job import Input, Outcome, Output
from gm.table.summary import weakest

GROUPS = {
    "moments": ("b2_mean", "b2_worst"),
    "ess": ("ess", "ess_per_gradient"),
    "modes": ("mode_tv",),
    "discrepancy": ("mmd", "sliced_w2"),
}
ROUNDING = 1e-9

Row = dict[str, object]
Arrays = dict[str, np.ndarray]


def run(
    data: Input,
    ruler: Input,
    weights: Input,
    samples: Input,
    scores: Input,
    features: Input,
    metrics: Output,
    per_item: Output,
    *,
    spec: dict,
    failure: tuple[str, str],
) -> Outcome:
    """Turn one run's arrays into rows; a failed run leaves one row that says so. No figure draws single items."""
    status, _ = failure
    rows: list[Row] = [{"metric": "run", "value": int(status == "ok"), "n": 1, "kind": "count"}]
    artefacts = {"train": weights, "sample": samples, "score": scores}
    if status == "ok":
        truth = io.read_arrays(data)
        ruled, drawn, scored, seen = (io.read_arrays(path) for path in (ruler, samples, scores, features))
        for member in members_of(truth):
            own = [of(arrays, member) for arrays in (truth, ruled, drawn, seen)]
            found = draw_rows(*own, wanted=spec["metrics"])
            if "logz" in spec["metrics"]:
                found += log_z_rows(of(scored, member), own[0])
            rows += [row | {"metric": f"{row['metric']}/{member}" if member else row["metric"]} for row in found]
        rows += failures(artefacts)
    rows += counted(artefacts)
    io.write_arrays(per_item, {})
    io.write_rows(metrics, COLUMNS, ({"status": status} | row for row in rows))
    return Outcome()


def members_of(data: Arrays) -> list[str]:
    """The members of a family, `""` for a target alone."""
    return [name.partition("/")[2] for name in data if name.partition("/")[0] == "dim"]


def of(arrays: Arrays, member: str) -> Arrays:
    """A member's own arrays, by names without it."""
    if not member:
        return arrays
    suffix = f"/{member}"
    return {name.removesuffix(suffix): array for name, array in arrays.items() if name.endswith(suffix)}


def draw_rows(truth: Arrays, ruler: Arrays, drawn: Arrays, seen: Arrays, *, wanted: Iterable[str]) -> list[Row]:
    """How far the draws of each replicate are from exact ones; none without exact draws to compare with."""
    names = [name for group in wanted for name in GROUPS.get(group, ())]
    if not names or "x" not in drawn or "n" not in ruler:
        return []
    modes = (seen["label"], truth["mode_weights"]) if "label" in seen else None
    found = draws.scores(drawn["x"], truth["x"], ruler, log_w=drawn.get("log_w"), modes=modes)
    evals = float(drawn["evals"]) / len(drawn["x"])
    return [row for row in draws.summary(found, evals or None) if row["metric"] in names]


def log_z_rows(scores: Arrays, truth: Arrays) -> list[Row]:
    """Rows `logz_<what>/<budget>` over replicates: `point`, `width`, `evals`, and where log Z is known `error` (the
    mean of the absolute error, nats), `bias` (with its sign) and `cover` (how often the interval holds the truth)."""
    rows = []
    for budget in sorted((name.partition("/")[2] for name in scores if name.startswith("point/")), key=int):
        lower, upper, point, evals = (scores[f"{name}/{budget}"] for name in ("lower", "upper", "point", "evals"))
        kind = weakest(map(str, scores[f"kinds/{budget}"].flat))
        columns = {"point": (point, "estimate"), "width": (upper - lower, kind), "evals": (evals, "count")}
        if "log_z" in truth:
            log_z = float(truth["log_z"])
            slack = ROUNDING * max(1.0, abs(log_z))
            cover = (lower <= log_z + slack) & (log_z - slack <= upper)
            columns |= {"error": (np.abs(point - log_z), "estimate"), "bias": (point - log_z, "estimate")}
            columns |= {"cover": (cover.astype(np.float64), kind)}
        rows += [_row(f"logz_{name}/{budget}", values, kind) for name, (values, kind) in columns.items()]
    return rows


def _row(metric: str, values: np.ndarray, kind: str) -> Row:
    if not np.isfinite(values).all():
        return {"metric": metric, "value": math.inf, "n": len(values), "kind": kind}
    (row,) = draws.summary({metric: values})
    return row | {"kind": kind}


def failures(artefacts: dict[str, Input]) -> list[Row]:
    """Members, or budgets of members, at which a stage failed while the run went on: rows without a value."""
    names = {"train": "fit", "sample": "draws", "score": "logz_error"}
    rows = []
    for stage, path in artefacts.items():
        failed = io.read_json(provenance.record_of(path))["facts"].get("failed", {})
        rows += [
            {"metric": f"{names[stage]}/{place}".rstrip("/"), "n": 0, "kind": "none", "status": status}
            for place, (status, _) in failed.items()
        ]
    return rows

"""The tidy table, summed up over seeds."""

import math
from collections.abc import Iterable, Mapping

from gm.table.interval import NORMAL, across, half_width, moved, standard_error

COLUMNS = ("benchmark", "dataset", "model", "seed", "metric", "value", "se", "n", "kind", "status")
SUMMARY = (
    "benchmark", "dataset", "model", "metric", "mean", "low", "high", "over", "se", "se_items", "half_total",
    "low_total", "high_total", "n", "kind", "n_ok", "n_planned",
)  # fmt: skip
STATUS = ("dataset", "model", "seed", "stage", "status", "reason", "n_ok", "n_planned")
# Metrics that are shares, areas under curves or probabilities, by how their names begin.
SHARES = (
    "auroc/", "aupr/", "auprin/", "fpr95", "precision_", "recall_", "coverage_", "accuracy/", "macro_f1/", "copies",
    "duplicates", "dcr_share", "authenticity", "mia_auc/", "mia_tpr",
)  # fmt: skip
STRENGTH = ("exact", "certified", "heuristic", "estimate", "count", "none", "")

Row = dict[str, object]


def number(text: object) -> float | None:
    """A cell of the table as a number; an empty cell is None."""
    return None if text in ("", None) else float(text)


def range_of(metric: str) -> tuple[float, float]:
    """Least and greatest value that a metric can have.

    Example:
        >>> range_of("auroc/nll/mnist"), range_of("FD_pca@250")
        ((0.0, 1.0), (-inf, inf))
    """
    return (0.0, 1.0) if metric.startswith(SHARES) else (-math.inf, math.inf)


def weakest(kinds: Iterable[str]) -> str:
    """The weakest of several kinds: what a quantity computed from all of them may claim.

    Example:
        >>> weakest(["exact", "heuristic", "certified"])
        'heuristic'
    """
    return max(kinds, key=STRENGTH.index)


def summarise(rows: Iterable[Mapping[str, object]], planned: Mapping[tuple[str, str], int]) -> list[Row]:
    """One row per dataset, model and metric: mean over the seeds that ran, with Student's 95 % interval.

    A failed seed's numbers are left out of the mean and shown by `n_ok < n_planned`; they are never replaced. A number
    of all seeds together (`seed = all`) counts the seeds that ran, and has an error over test items alone.
    Where no seed moves the number, the interval is over test items (`over = items`, by the rows' own standard error).
    A count or a choice of a fit, which has no error of its own, has no interval. That of a share ends at 0 and at 1.

    Arguments:
        rows: rows of the table, with `COLUMNS`.
        planned: how many seeds were planned per `(dataset, model)`.

    Returns:
        Rows with columns `SUMMARY`, in the order in which the quantities first appear: `se` is the standard
        error over seeds, `se_items` the mean of the rows' own, `half_total` the half width of a 95 % interval that
        covers both (`gm.table.interval.across`), `low_total` and `high_total` its ends, `n` the number of test items
        behind one row.

    Example:
        >>> cell = {"benchmark": "b", "dataset": "d", "model": "m", "metric": "x", "se": "", "n": 9}
        >>> rows = [cell | {"seed": v, "value": v, "kind": "count", "status": "ok"} for v in (1, 2, 3)]
        >>> summarise(rows, {("d", "m"): 4})[0]["mean"], summarise(rows, {("d", "m"): 4})[0]["n_ok"]
        (2.0, 3)
    """
    groups: dict[tuple, list[Mapping]] = {}
    ran: dict[tuple, set] = {}
    for row in rows:
        if row["status"] == "ok" and row["value"] not in ("", None):
            if row["seed"] != "all":
                ran.setdefault((row["dataset"], row["model"]), set()).add(row["seed"])
            groups.setdefault((row["benchmark"], row["dataset"], row["model"], row["metric"]), []).append(row)
    return [
        dict(zip(("benchmark", "dataset", "model", "metric"), key, strict=True))
        | _mean(group)
        | {"n_ok": len(ran.get(key[1:3], group) if group[0]["seed"] == "all" else group)}
        | {"n_planned": planned.get(key[1:3], 1)}
        for key, group in groups.items()
    ]


def _mean(group: list[Mapping]) -> Row:
    values = [float(row["value"]) for row in group]
    errors = [error for row in group if (error := number(row["se"])) is not None]
    items = sum(errors) / len(errors) if errors else None
    # Bounds that hold by themselves, each with its own chance of failure: their mean is none.
    bounds = items is None and all(row["kind"] == "certified" for row in group)
    mean, half, error, over, total = math.fsum(values) / len(values), None, None, "none", None
    if math.isfinite(mean):
        if not moved(values):
            mean = values[0]  # no rounding: a control that draws nothing has no spread at all
        if len(values) > 1 and items is not None and moved(values):
            half, over = half_width(values), "seeds"
            error = standard_error(values)
        elif items is not None:
            half, over = NORMAL * items, "items"
        if items is not None:
            total = across(values, [items])[1]
    low, high = range_of(str(group[0]["metric"]))
    return {
        "mean": mean,
        "low": None if half is None else max(low, mean - half),
        "high": None if half is None else min(high, mean + half),
        "over": over,
        "se": error,
        "se_items": items,
        "half_total": total,
        "low_total": None if total is None else max(low, mean - total),
        "high_total": None if total is None else min(high, mean + total),
        "n": group[0]["n"],
        "kind": "estimate" if bounds and len(values) > 1 else weakest(str(row["kind"]) for row in group),
    }


def statuses(cells: Iterable[Row]) -> list[Row]:
    """Add `n_ok` and `n_planned`, counted over seeds, to cells (`dataset, model, seed, stage, status, reason`).

    A skipped cell was never planned and counts in neither.
    """
    cells = list(cells)
    counts: dict[tuple, list[int]] = {}
    for cell in cells:
        count = counts.setdefault((cell["dataset"], cell["model"]), [0, 0])
        count[0] += cell["status"] == "ok"
        count[1] += cell["status"] != "skipped"
    return [
        cell | dict(zip(("n_ok", "n_planned"), counts[cell["dataset"], cell["model"]], strict=True)) for cell in cells
    ]

"""Rows of the summary in the shape that a figure or a table of the page reads them."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from gm.table.checks import Summary
from gm.table.summary import Row

UNBOUNDED = {"mean": math.inf, "low": None, "high": None, "kind": "none"}
TRIVIAL = "trivial"


def metrics_of(summary: Summary, dataset: str, *prefixes: str) -> list[str]:
    """Metrics of a dataset that start with one of the prefixes, in the order of the prefixes, then as they came."""
    found = dict.fromkeys(metric for where, _, metric in summary if where == dataset)
    return [metric for prefix in prefixes for metric in found if metric.startswith(prefix)]


def by_model(summary: Summary, dataset: str, models: Mapping[str, Mapping], metrics: Iterable[str]) -> list[Row]:
    """Per model `name`, `family`, `labels`, `evals` (mean total of a run) and `rows` by metric."""
    metrics = list(metrics)
    counted = metrics_of(summary, dataset, "evals/")
    out = []
    for model, about in models.items():
        rows = {m: summary[dataset, model, m] for m in metrics if (dataset, model, m) in summary}
        evals = sum(summary[dataset, model, m]["mean"] for m in counted if (dataset, model, m) in summary)
        out.append({"name": model, **about, "rows": rows, "evals": evals})
    return out


def intervals(summary: Summary, dataset: str, models: Mapping[str, Mapping]) -> list[Row]:
    """Per model with a density `name`, `family`, and its ends `lower`, `upper`, `bpd_lower`, `bpd_upper`."""
    out = []
    for model, about in models.items():
        lower = summary.get((dataset, model, "logp_lower"))
        if lower is not None:
            absent = UNBOUNDED | {name: lower[name] for name in ("n", "n_ok", "n_planned")}
            names = {"upper": "logp_upper", "bpd_lower": "bpd_lower", "bpd_upper": "bpd_upper"}
            ends = {end: summary.get((dataset, model, name), absent) for end, name in names.items()}
            if ends["bpd_lower"] is absent:
                ends["bpd_lower"] = absent | {"mean": -math.inf}
            out.append({"name": model, **about, "lower": lower, **ends})
    return out


def rungs(paired: Iterable[Row], dataset: str, ladder: list[str], models: Mapping[str, Mapping]) -> list[Row]:
    """Per rung above the base its paired row against the base (`gain`) and against the rung below (`step`)."""
    final = {
        (row["model"], row["reference"]): row
        for row in paired
        if (row["dataset"], row["quantity"], row["seed"]) == (dataset, "logp", "all") and row["n_ok"]
    }
    present = [model for model in ladder[1:] if (model, ladder[0]) in final]
    below = dict(zip(present[1:], present, strict=False))
    return [
        {
            "name": model,
            "family": models[model]["family"],
            "gain": final[model, ladder[0]],
            "step": final.get((model, below.get(model))),
        }
        for model in present
    ]


def areas(
    summary: Summary, dataset: str, models: Mapping[str, Mapping]
) -> tuple[list[tuple[str, str]], list[str], np.ndarray, np.ndarray]:
    """AUROC as a matrix: labels with families (trivial baselines last), sets, means and 95 % half widths."""
    cells: dict[tuple[str, str], Row] = {}
    labels: dict[str, str] = {}
    families = {model: about["family"] for model, about in models.items()} | {TRIVIAL: TRIVIAL}
    for model, family in families.items():
        for metric in metrics_of(summary, dataset, "auroc/"):
            row = summary.get((dataset, model, metric))
            if row is not None:
                _, score, part = metric.split("/", 2)
                label = f"{score} (trivial)" if model == TRIVIAL else f"{model}: {score}"
                labels[label] = family
                cells[label, part] = row
    sets = sorted({part for _, part in cells})
    values = np.full((len(labels), len(sets)), np.nan)
    halves = values.copy()
    for i, label in enumerate(labels):
        for j, part in enumerate(sets):
            row = cells.get((label, part))
            if row is not None:
                values[i, j] = row["mean"]
                halves[i, j] = np.nan if row["half_total"] is None else row["half_total"]
    return list(labels.items()), sets, values, halves


def coverage(cells: Iterable[Row]) -> dict[tuple[str, str], tuple[str, str]]:
    """By `(model, dataset)` the state of its seeds and the text to show."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for cell in cells:
        groups.setdefault((cell["model"], cell["dataset"]), []).append(cell)
    out = {}
    for key, group in groups.items():
        bad = list(dict.fromkeys(cell["status"] for cell in group if cell["status"] != "ok"))
        n_ok, planned = group[0]["n_ok"], group[0]["n_planned"]
        if bad == ["skipped"]:
            out[key] = ("skipped", "skipped")
        elif not bad:
            out[key] = ("ok", f"{n_ok}/{planned}")
        else:
            state = "missing" if bad == ["missing"] else "part" if n_ok else "failed"
            out[key] = (state, f"{n_ok}/{planned}  {', '.join(bad)}")
    return out

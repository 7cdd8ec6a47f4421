"""Rows of the summary in the shape that a figure or a table of the page reads them."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from gm.table.checks import Summary
from gm.table.summary import Row

UNBOUNDED = {"mean": math.inf, "low": None, "high": None, "half_total": None, "kind": "none"}
TRIVIAL, BASELINES = "trivial", "trivial baselines"


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


def areas(summary: Summary, dataset: str, models: Mapping[str, Mapping], measure: str = "auroc") -> list[Row]:
    """One matrix per score, of models by outlier sets, `nll` first; the trivial baselines are a last one, by score.

    The matrices of scores have the same rows: every model that has any.

    Returns:
        Per score `name`, `rows` (label and family of each), `columns` (sets), `values` (means) and `halves` (95 % half
        widths), both `[rows, columns]`, NaN where there is none.
    """
    found: dict[str, dict[tuple[str, str], dict[str, Row]]] = {"nll": {}}
    families = {model: about["family"] for model, about in models.items()} | {TRIVIAL: TRIVIAL}
    for metric in metrics_of(summary, dataset, f"{measure}/"):
        _, score, part = metric.split("/", 2)
        for model, family in families.items():
            if (row := summary.get((dataset, model, metric))) is not None:
                trivial = model == TRIVIAL
                lines = found.setdefault(TRIVIAL if trivial else score, {})
                lines.setdefault((score if trivial else model, family), {})[part] = row
    baselines = found.pop(TRIVIAL, {})
    shown = {model for lines in found.values() for model, _ in lines}
    rows = [(model, family) for model, family in families.items() if model in shown]
    panels = {score: {key: lines.get(key, {}) for key in rows} for score, lines in found.items() if lines}
    panels |= {BASELINES: baselines} if baselines else {}
    sets = sorted({part for lines in panels.values() for row in lines.values() for part in row})
    return [matrix(name, sets, lines) for name, lines in panels.items()]


def matrix(name: str, columns: Iterable[str], lines: Mapping[tuple[str, str], Mapping[str, Row]]) -> Row:
    """Rows of the summary as a matrix with its half widths, by `(label, family)` and column."""
    columns = list(columns)
    values = np.full((len(lines), len(columns)), np.nan)
    halves = values.copy()
    for i, line in enumerate(lines.values()):
        for j, column in enumerate(columns):
            if column in line:
                values[i, j] = line[column]["mean"]
                half = line[column]["half_total"]
                halves[i, j] = np.nan if half is None else half
    return {"name": name, "rows": list(lines), "columns": columns, "values": values, "halves": halves}


def classes(summary: Summary, dataset: str, models: Mapping[str, Mapping]) -> list[Row]:
    """Per net with class-wise coverage a matrix of models by classes, as `areas` has them."""
    nets: dict[str, dict[str, str]] = {}
    for metric in metrics_of(summary, dataset, "coverage_"):
        net, slash, label = metric.partition("/class-")
        if slash:
            nets.setdefault(net, {})[metric] = label
    panels = []
    for net, labels in nets.items():
        lines = {
            (model, about["family"]): row
            for model, about in models.items()
            if (row := {labels[m]: summary[dataset, model, m] for m in labels if (dataset, model, m) in summary})
        }
        panels.append(matrix(net, sorted(labels.values(), key=lambda label: (len(label), label)), lines))
    return panels


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

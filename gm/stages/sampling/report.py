"""report: everything that the runs of a grid of targets left -> table.csv, pooled numbers, figures, and a page."""

from pathlib import Path

import numpy as np

from gm import io, provenance
from gm.figures import captions, page
from gm.metrics.draws import laws
from gm.sampling.diagnostics import mode_tv_null
from gm.stages.job import Outcome, Output
from gm.stages.results import COST, Row, Tree, costs, resource, statuses
from gm.stages.sampling.evaluate import of
from gm.stages.sampling.pictures import draw
from gm.table import checks, paired, sampling, summary, targets

GONE = {"metric": "run", "value": 0, "n": 1, "kind": "count", "status": "missing"}
ENDS = ("lower", "upper", "point", "evals", "kinds", "alpha")
COLUMNS = ("rmse", "cover", "width", "evals")


def run(table: Output, page: Output, *, spec: dict) -> Outcome:
    """Report on the benchmark whose folder `table` lies in; the other files stand beside it."""
    make(table.parent, spec, provenance.commit())
    return Outcome()


def make(root: Path, spec: dict, commit: str, cores: int = 1) -> None:
    """Report on what a commit left in a folder, by this stage's slice of the configuration; `cores` draw figures."""
    models = {about["name"]: about for about in spec["models"]}
    report(root, spec | {"models": models, "commit": commit}, cores)


def report(root: Path, spec: dict, cores: int = 1) -> None:
    """Write the tables, the figures and the page of one benchmark of samplers.

    Arguments:
        root: `results/<benchmark>`, which holds the runs and receives the report.
        spec: `benchmark`, `models` (name -> `family`, in display order), `datasets`, `families` (dataset -> `vary`,
            `members`), `seeds`, `budgets`, `groups`, `draws`, `planned`, `skipped`, `commit`.
    """
    tree = Tree(Path(root), spec, cores)
    table, cells = rows_of(tree), statuses(tree)
    runs = {(cell["dataset"], cell["model"]): (cell["n_ok"], cell["n_planned"]) for cell in cells}
    runs = {place: counts for place, counts in runs.items() if counts[1]}
    planned = {place: counts[1] for place, counts in runs.items()}
    pools, points = pools_of(tree, table)
    known = {place: law for place in places(tree) if (law := law_of(tree, *place))}
    found = targets.sampled_checks(pools, spec["models"], known, spec["budgets"], runs)
    found = [dict(zip(checks.CHECKS, row, strict=True)) for row in found]
    compared = targets.comparisons(pools, spec["models"], max(spec["budgets"]), spec["benchmark"], planned)
    fits = [row for dataset in spec["datasets"] for row in scaling_of(tree, dataset, pools)]
    for name, columns, rows in (
        ("table", summary.COLUMNS, table),
        ("summary", summary.SUMMARY, summary.summarise(table, planned)),
        ("pooled", sampling.POOLED, targets.flat(pools, spec["benchmark"], planned)),
        ("scaling", sampling.SCALING, fits),
        ("paired", paired.PAIRED, compared),
        ("checks", checks.CHECKS, found),
        ("status", summary.STATUS, cells),
        ("cost", COST, costs(tree)),
    ):
        path = tree.root / f"{name}.csv"
        io.write_rows(path, columns, ({column: row.get(column) for column in columns} for row in rows))
    commit, digest = spec["commit"], io.sha256(tree.root / "table.csv")
    facts = {place: facts_of(tree, *place) for place in places(tree)}
    origin = f"table.csv sha256 {digest}, commit {commit}"
    pictures = draw(tree, pools, points, facts, known, cells, origin)
    content = {"spec": spec, "pictures": pictures, "captions": captions.TARGETS, "digest": digest, "checks": found}
    content |= {"cells": cells, "versions": provenance.versions(), "budget": max(spec["budgets"])}
    chapters = [chapter(tree, d, pools, facts, known, runs, compared, fits) for d in spec["datasets"]]
    twins = {about["name"]: {m["name"]: m["cells"] for m in about["models"]} for about in chapters}
    content |= {"chapters": chapters, "twins": twins}
    template, sheet = (resource(name) for name in ("sampling.html", "page.css"))
    io.write_text(tree.root / "report/index.html", page.page(template, sheet, **content))


def rows_of(tree: Tree) -> list[Row]:
    """All rows of all runs as they were written."""
    return [
        {"benchmark": tree.spec["benchmark"], "dataset": dataset, "model": model, "seed": seed} | row
        for dataset, model, seed in tree.cells
        for row in tree.rows((dataset, model, seed), "metrics.csv") or [GONE]
    ]


def places(tree: Tree) -> list[tuple[str, str]]:
    """Every `(dataset, member)`; a target alone has the member ``."""
    return [
        (dataset, member) for dataset in tree.spec["datasets"] for member in tree.spec["families"][dataset]["members"]
    ]


def facts_of(tree: Tree, dataset: str, member: str) -> Row:
    """What is known of a target: `dim`, `log_z`, `mode_weights`, `constant`; the latter ones None where unknown."""
    data = of(tree.data[dataset], member)
    log_z = float(data["log_z"]) if "log_z" in data else None
    found = {"dim": int(data["dim"]), "log_z": log_z, "constant": float(data["constant"])}
    weights = data.get("mode_weights")
    noise = None if weights is None else mode_tv_null(weights, tree.spec["draws"])
    return found | {"mode_weights": weights, "mode_tv": noise, "reference": len(data.get("x", ()))}


def law_of(tree: Tree, dataset: str, member: str) -> dict:
    """The law of the distances of exact draws, on how many `sets`, and their `ess`; nothing without a ruler."""
    path = tree.root / dataset / "ruler/features.npz"
    ruler = of(io.read_arrays(path), member) if path.is_file() else {}
    if "n" not in ruler:
        return {}
    ends = {name: tuple(np.quantile(_ratios(name, ruler), (0.025, 0.975))) for name in ("mmd", "sliced_w2")}
    return laws(ruler) | {"sets": len(ruler["mmd"]), "ends": ends, "ess": 1 / float(ruler["b2"].mean())}


def _ratios(name: str, ruler: dict) -> np.ndarray:
    mean, deviation, _ = laws(ruler)[name]
    values = ruler[name]
    return mean + (values - values.mean()) * deviation / values.std(ddof=1)


def pools_of(tree: Tree, table: list[Row]) -> tuple[dict, dict]:
    """All pooled numbers by `(dataset, member, model)`, and by that and budget each replicate's error of log Z."""
    drawn, points = targets.draws([row for row in table if tree.ran((row["dataset"], row["model"], row["seed"]))]), {}
    pools: dict[tuple[str, str, str], dict[str, Row]] = {}
    for dataset, member in places(tree):
        log_z = facts_of(tree, dataset, member)["log_z"]
        models = tree.models(dataset)
        runs = {model: [of(tree.scores[cell], member) for cell in tree.runs(dataset, model)] for model in models}
        for budget in tree.spec["budgets"]:
            given = {
                model: [{name: run[f"{name}/{budget}"] for name in ENDS} for run in found if f"point/{budget}" in run]
                for model, found in runs.items()
            }
            means = [np.mean([run["point"] for run in found]) for found in given.values() if found]
            centre = log_z if log_z is not None else float(np.median(means)) if means else 0.0
            for model, found in given.items():
                rows = sampling.estimates(found, centre, truth=log_z is not None) if found else {}
                place = pools.setdefault((dataset, member, model), {})
                place |= {f"{name}/{budget}": row | {"n_ok": len(found)} for name, row in rows.items()}
                points[dataset, member, model, budget] = [float(p - centre) for run in found for p in run["point"]]
        for model in models:
            pools[dataset, member, model] |= drawn.get((dataset, member, model), {})
    return pools, points


def scaling_of(tree: Tree, dataset: str, pools: dict) -> list[Row]:
    """Fitted exponents of every sampler on a family."""
    family = tree.spec["families"][dataset]
    tops = {m: sampling.ceiling(facts_of(tree, dataset, m)["mode_weights"]) for m in family["members"]}
    budgets = tree.spec["budgets"]
    return [r for model in tree.models(dataset) for r in targets.scaled(pools, dataset, family, model, budgets, tops)]


def chapter(
    tree: Tree, dataset: str, pools: dict, facts: dict, known: dict, runs: dict, compared: list[Row], fits: list[Row]
) -> dict:
    """What the page says of one target, or of one family."""
    members = list(tree.spec["families"][dataset]["members"])
    budget, alone = max(tree.spec["budgets"]), members == [""]
    verdicts = {(row["model"], row["quantity"]): row["verdict"] for row in compared if row["dataset"] == dataset}
    models = []
    for model, about in tree.models(dataset).items():
        rows = dict(pools.get((dataset, "", model), {})) if alone else {}
        rows |= {name: rows[f"{name}/{budget}"] for name in (*COLUMNS, "error", "spread") if f"{name}/{budget}" in rows}
        if gradient := rows.get("ess_per_gradient"):
            rows["per_thousand"] = gradient | {end: 1000 * gradient[end] for end in ("value", "low", "high")}
        beside = {q: verdicts.get((model, f"log {q}")) for q in (f"rmse/{budget}", *targets.COMPARED)}
        row = {"name": model, **about, "seeds": runs[dataset, model], "cells": rows, "verdicts": beside}
        models.append(row | {"scaling": [fit for fit in fits if (fit["dataset"], fit["model"]) == (dataset, model)]})
    twin = f"{dataset}-twin"
    return {
        "name": dataset,
        "alone": alone,
        "members": members,
        "vary": tree.spec["families"][dataset]["vary"],
        "facts": facts[dataset, members[0]],
        "dims": sorted({facts[dataset, member]["dim"] for member in members}),
        "law": known.get((dataset, members[0]), {}),
        "models": models,
        "twin": twin if twin in tree.spec["datasets"] else None,
        "notes": notes(tree, dataset, budget) if alone else {},
    }


def notes(tree: Tree, dataset: str, budget: int) -> dict[str, str]:
    """What the first replicate of each sampler's first seed says of its interval."""
    out: dict[str, str] = {}
    for cell in tree.cells:
        text = str(tree.scores[cell].get(f"note/{budget}", ""))
        if cell[0] == dataset and text:
            out.setdefault(cell[1], text)
    return out

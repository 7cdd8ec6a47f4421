"""report: everything that the runs left -> table.csv, summaries, figures, and a page that stands alone."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gm import io, provenance
from gm.figures import captions, page, style
from gm.figures import coverage as draw_coverage
from gm.figures import fidelity as draw_fidelity
from gm.figures import likelihood as draw_likelihood
from gm.figures import outliers as draw_outliers
from gm.figures import samples as draw_samples
from gm.figures import training as draw_training
from gm.metrics.outliers import auroc_difference
from gm.stages.job import Outcome, Output
from gm.stages.results import COST, Tree, costs, resource, statuses, table_of
from gm.table import checks, curves, paired, summary, views

SHOWN = 10
CURVES = 4
LARGE = 250_000
DISTANCES = ("FD_", "KID_")
COVERAGES = ("precision_", "recall_", "density_", "coverage_")

Row = summary.Row
Arrays = dict[str, np.ndarray]


def likelihoods(tree: Tree, dataset: str) -> list[Row]:
    """Paired differences of likelihood: those asked for, and every rung of the ladder against the base and below."""
    models, ladder = tree.models(dataset), [m for m in tree.spec["ladder"] if m in tree.models(dataset)]
    pairs = [tuple(pair) for pair in tree.spec["compare"]]
    pairs += [(model, ladder[0]) for model in ladder[1:]]
    pairs += list(zip(ladder[1:], ladder, strict=False))
    out = []
    for model, reference in dict.fromkeys(pairs):
        if model not in models or reference not in models:
            continue
        key = {"benchmark": tree.spec["benchmark"], "dataset": dataset, "quantity": "logp"}
        key |= {"model": model, "reference": reference}
        rows = []
        for cell in tree.runs(dataset, model):
            ours, theirs = (tree.scores.get((dataset, name, cell[2]), {}) for name in (model, reference))
            if "lower_test" in ours and "lower_test" in theirs:
                rows.append(key | {"seed": cell[2]} | paired.likelihood(ours, theirs))
        planned = len(tree.runs(dataset, model))
        out += paired.fold(rows, planned) if rows else [paired.nothing(key, planned)]
    return out


def outliers(tree: Tree, dataset: str, trivial: dict[str, Arrays], sums: checks.Summary) -> list[Row]:
    """Paired differences of AUROC: each density's nll against the trivial baseline that is best in hindsight."""
    out = []
    for part in sets_of(tree, dataset):
        best = best_trivial(sums, dataset, part, trivial)
        theirs, aligned = trivial[best], f"outlier_{part}" in tree.data[dataset].get("aligned", ())
        for model, cells in tree.densities(dataset).items():
            key = {"benchmark": tree.spec["benchmark"], "dataset": dataset, "quantity": f"auroc/{part}"}
            key |= {"model": model, "reference": f"{views.TRIVIAL}/{best}"}
            rows = []
            for cell in cells:
                ours = tree.scores[cell]
                inside = ours["score_nll_test"], theirs["test"]
                outside = ours[f"score_nll_outlier_{part}"], theirs[f"outlier_{part}"]
                value, error = auroc_difference(inside, outside, aligned=aligned)
                rows.append(key | {"seed": cell[2]} | paired.point(value, error, len(inside[0]) + len(outside[0])))
            out += paired.fold(rows, len(tree.runs(dataset, model)))
    return out


def sets_of(tree: Tree, dataset: str) -> list[str]:
    """Outlier sets of a dataset."""
    names = [name for name in tree.data[dataset] if name.startswith("x_outlier_")]
    return sorted(name.removeprefix("x_outlier_") for name in names)


def best_trivial(sums: checks.Summary, dataset: str, part: str, names: Iterable[str]) -> str:
    """The trivial baseline with the highest AUROC on a set."""
    return max(names, key=lambda name: sums[dataset, views.TRIVIAL, f"auroc/{name}/{part}"]["mean"])


def floors(tree: Tree, dataset: str, table: list[Row], sums: checks.Summary) -> list[Row]:
    """On every distance the best model that is not made of real images, against fresh real images."""
    out = []
    models = tree.models(dataset)
    for metric in views.metrics_of(sums, dataset, *DISTANCES) if checks.FRESH in models else ():
        best = checks.closest(sums, dataset, models, metric)
        if best is not None:
            key = {"benchmark": tree.spec["benchmark"], "dataset": dataset, "quantity": metric}
            key |= {"model": best, "reference": checks.FRESH}
            out += paired.lower_is_better(table, key, len(tree.runs(dataset, best)))
    return out


def sample_groups(tree: Tree, dataset: str) -> list[Row]:
    """The first samples of each model's first good seed with their nearest training images; real test images first."""
    data = tree.data[dataset]
    found = {"real test images": ("control", data["x_test"][:SHOWN])}
    for model, about in tree.models(dataset).items():
        drawn = [x for cell in tree.runs(dataset, model) if len(x := tree.arrays(cell, "samples.npz").get("x", ()))]
        found[model] = (about["family"], drawn[0][:SHOWN] if drawn else data["x_test"][:0])
    groups = []
    for name, (family, x) in found.items():
        near, distance = curves.nearest(x, data["x_train"]) if len(x) else (x, np.zeros(0))
        groups.append({"name": name, "family": family, "x": x, "nearest": near, "distance": distance})
    return groups


def roc_sets(tree: Tree, dataset: str, trivial: dict[str, Arrays], sums: checks.Summary) -> list[Row]:
    """Per outlier set the curves of the best densities and of the best trivial baseline."""
    out = []
    models = tree.models(dataset)
    for part in sets_of(tree, dataset):
        rows = {m: sums.get((dataset, m, f"auroc/nll/{part}")) for m in tree.densities(dataset)}
        area = {model: row["mean"] for model, row in rows.items() if row}
        shown = []
        for model in sorted(area, key=area.get, reverse=True)[:CURVES]:
            runs = [tree.scores[cell] for cell in tree.densities(dataset)[model]]
            found = curves.roc([(run["score_nll_test"], run[f"score_nll_outlier_{part}"]) for run in runs])
            shown.append({"label": model, "family": models[model]["family"], "found": found, "auroc": area[model]})
        best = best_trivial(sums, dataset, part, trivial)
        found = curves.roc([(trivial[best]["test"], trivial[best][f"outlier_{part}"])])
        value = sums[dataset, views.TRIVIAL, f"auroc/{best}/{part}"]["mean"]
        shown.append({"label": f"{best} (trivial)", "family": views.TRIVIAL, "found": found, "auroc": value})
        n = f"{len(trivial[best]['test'])} + {len(trivial[best][f'outlier_{part}'])}"
        out.append({"name": part, "n": n, "curves": shown})
    return out


def histories(tree: Tree, dataset: str) -> list[Row]:
    """Per model with an iterative fit, its named terms as curves, one per seed."""
    out = []
    for model, about in tree.models(dataset).items():
        terms: dict[str, list] = {}
        for cell in tree.runs(dataset, model):
            rows = tree.rows(cell, "history.csv")
            for term in [name for name in rows[0] if name != "step"] if len(rows) > 1 else ():
                points = [(float(row["step"]), float(row[term])) for row in rows if row[term] != ""]
                if points:
                    terms.setdefault(term, []).append(tuple(zip(*points, strict=True)))
        if terms:
            out.append({"name": model, "family": about["family"], "terms": terms})
    return out


def figures_of(tree: Tree, dataset: str, trivial: dict, sums: checks.Summary, pairs: list[Row]) -> dict:
    """The figures of one dataset, those that have something to show, by name."""
    data, models = tree.data[dataset], tree.models(dataset)
    levels = int(data["levels"])
    ends = (0, levels - 1) if levels else (float(data["x_train"].min()), float(data["x_train"].max()))
    drawn = {"samples": draw_samples.samples(sample_groups(tree, dataset), *ends)}
    intervals = views.intervals(sums, dataset, models)
    if intervals:
        drawn["likelihood"] = draw_likelihood.likelihood(intervals, int(np.prod(data["x_train"].shape[1:])))
    if rungs := views.rungs(pairs, dataset, tree.spec["ladder"], models):
        drawn["ladder"] = draw_likelihood.ladder(tree.spec["ladder"][0], rungs)
    if panels := views.metrics_of(sums, dataset, *DISTANCES):
        drawn["fidelity"] = draw_fidelity.fidelity(views.by_model(sums, dataset, models, panels), panels)
    labels, sets, values, halves = views.areas(sums, dataset, models)
    if sets:
        drawn["roc"] = draw_outliers.roc(roc_sets(tree, dataset, trivial, sums), curves.GRID)
        drawn["auroc"] = draw_outliers.auroc(labels, sets, values, halves)
    if fits := histories(tree, dataset):
        drawn["training"] = draw_training.training(fits)
    quality = [("logp_lower", "log p, lower end, nats per image (up is better)")] if intervals else []
    quality += [(metric, f"{metric} (down is better)") for metric in panels[:1]]
    if quality:
        rows = views.by_model(sums, dataset, models, [metric for metric, _ in quality])
        drawn["cost"] = draw_fidelity.cost(rows, quality)
    return drawn


def run(table: Output, page: Output, *, spec: dict) -> Outcome:
    """Report on the benchmark whose folder `table` lies in; the other files stand beside it."""
    models = {about["name"]: {key: about[key] for key in ("family", "labels", "measure")} for about in spec["models"]}
    report(table.parent, spec | {"models": models, "commit": provenance.commit()})
    return Outcome()


def report(root: Path, spec: dict) -> None:
    """Write the table, its summaries, the figures and the page of one benchmark.

    Arguments:
        root: `results/<benchmark>`, which holds the runs and receives the report.
        spec: `benchmark`, `models` (name -> `family`, `labels`, in display order), `datasets`, `seeds`, `planned`
            (dataset, model, seed), `skipped` (dataset, model, reason), `compare` (model, reference), `ladder`,
            `commit`.
    """
    tree = Tree(Path(root), spec)
    trivial = {dataset: tree.trivial(dataset) for dataset in spec["datasets"]}
    table, cells = table_of(tree, trivial), statuses(tree)
    planned: dict[tuple[str, str], int] = {}
    for dataset, model, _ in tree.cells:
        planned[dataset, model] = planned.get((dataset, model), 0) + 1
    means = summary.summarise(table, planned)
    sums = {(row["dataset"], row["model"], row["metric"]): row for row in means}
    pairs, found = [], []
    for dataset in spec["datasets"]:
        floor = floors(tree, dataset, table, sums)
        pairs += likelihoods(tree, dataset) + outliers(tree, dataset, trivial[dataset], sums) + floor
        last = [row for row in floor if row["seed"] == "all"]
        found += checks.controls(dataset, tree.models(dataset), sums, last)
    for name, columns, rows in (
        ("table", summary.COLUMNS, table),
        ("summary", summary.SUMMARY, means),
        ("paired", paired.PAIRED, pairs),
        ("checks", checks.CHECKS, found),
        ("status", summary.STATUS, cells),
        ("cost", COST, costs(tree)),
    ):
        path = tree.root / f"{name}.csv"
        io.write_rows(path, columns, ({column: row.get(column) for column in columns} for row in rows))
    commit, digest = spec["commit"], io.sha256(tree.root / "table.csv")
    pictures = draw(tree, trivial, sums, pairs, cells, f"table.csv sha256 {digest}, commit {commit}")
    content = {"spec": spec, "pictures": pictures, "captions": captions.CAPTIONS, "digest": digest}
    content |= {
        "checks": found,
        "cells": cells,
        "versions": provenance.versions(),
        "sentence": checks.sentence,
    }
    content |= {"chapters": [chapter(tree, dataset, sums, pairs, cells) for dataset in spec["datasets"]]}
    template, sheet = (resource(name) for name in ("report.html", "page.css"))
    io.write_text(tree.root / "report/index.html", page.page(template, sheet, **content))


def draw(tree: Tree, trivial: dict, sums: checks.Summary, pairs: list[Row], cells: list[Row], origin: str) -> dict:
    """Draw and write every figure; by dataset (empty for the whole benchmark) and name, its address for the page."""
    pictures: dict[str, dict[str, str]] = {}
    for name in captions.CAPTIONS:
        (tree.root / "figures" / name).mkdir(parents=True, exist_ok=True)
    with style.theme():
        families = [(model, about["family"]) for model, about in tree.spec["models"].items()]
        whole = draw_coverage.coverage(families, tree.spec["datasets"], views.coverage(cells))
        for dataset in ["", *tree.spec["datasets"]]:
            drawn = figures_of(tree, dataset, trivial[dataset], sums, pairs) if dataset else {"coverage": whole}
            for name, figure in drawn.items():
                title = " ".join(filter(None, (tree.spec["benchmark"], dataset, name)))
                formats = style.save(figure, title, origin)
                for kind, content in formats.items():
                    path = tree.root / "figures" / name / f"{dataset or 'all'}.{kind}"
                    io.save_with(lambda target, content=content: target.write_bytes(content), path)
                kind = "svg" if len(formats["svg"]) < LARGE else "png"
                pictures.setdefault(dataset, {})[name] = page.picture(formats[kind], kind)
    return pictures


def chapter(tree: Tree, dataset: str, sums: checks.Summary, pairs: list[Row], cells: list[Row]) -> dict:
    """What the page says of one dataset."""
    models, data = tree.models(dataset), tree.data[dataset]
    final = [row for row in pairs if row["dataset"] == dataset and row["seed"] == "all"]
    ruler = tree.root / dataset / "ruler/features.json"
    columns = {
        "fidelity": views.metrics_of(sums, dataset, *DISTANCES),
        "coverage": views.metrics_of(sums, dataset, *COVERAGES),
        "memorisation": views.metrics_of(sums, dataset, "nn_ratio", "copies"),
        "fit": views.metrics_of(sums, dataset, "fit/"),
        "evals": views.metrics_of(sums, dataset, "evals/"),
    }
    return {
        "name": dataset,
        "shape": " x ".join(str(size) for size in data["x_train"].shape[1:]),
        "levels": int(data["levels"]),
        "sizes": {name: len(data[f"x_{name}"]) for name in ("train", "valid", "test", "fresh")},
        "facts": io.read_json(ruler).get("facts", {}) if ruler.is_file() else {},
        "models": views.by_model(sums, dataset, models, [m for names in columns.values() for m in names]),
        "columns": columns,
        "runs": {cell["model"]: (cell["n_ok"], cell["n_planned"]) for cell in cells if cell["dataset"] == dataset},
        "intervals": views.intervals(sums, dataset, models),
        "notes": notes(tree, dataset),
        "logp": [row for row in final if row["quantity"] == "logp"],
        "outliers": [row for row in final if row["quantity"].startswith("auroc/")],
    }


def notes(tree: Tree, dataset: str) -> dict[str, list[str]]:
    """What the runs' bounds say of themselves, by model."""
    out: dict[str, list[str]] = {}
    for cell in tree.cells:
        text = str(tree.scores[cell].get("note", ""))
        if cell[0] == dataset and text:
            out.setdefault(cell[1], []).append(f"seed {cell[2]}: {text}")
    return out

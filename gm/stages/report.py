"""report: everything that the runs left -> table.csv, summaries, figures, and a page that stands alone."""

from pathlib import Path

from gm import io, provenance
from gm.figures import captions, page
from gm.metrics.roc import auroc_difference
from gm.stages.job import Outcome, Output
from gm.stages.panels import best_trivial, sets_of
from gm.stages.pictures import DISTANCES, DIVERSITY, draw
from gm.stages.results import COST, Arrays, Tree, costs, resource, statuses, table_of
from gm.table import augmentation, checks, paired, panels, ranks, summary, views

MEMORISATION = ("nn_ratio", "copies", "duplicates", "dcr_share", "c_t", "authenticity")
MEMBERSHIP = ("mia_auc", "mia_tpr@1%", "mia_tpr@0.1%", "mia_eps")
AREAS = ("aupr", "auprin", "fpr95", "fpr95out")

Row = summary.Row


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
        theirs, aligned = trivial[best], f"outlier_{part}" in tree.about(dataset)["aligned"]
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


def ranking(tree: Tree, dataset: str, table: list[Row], sums: checks.Summary) -> list[Row]:
    """Ranks of all models, controls too, on fidelity through each net and on what their samples are good for."""
    better = dict.fromkeys(views.metrics_of(sums, dataset, *DISTANCES), True)
    higher = [metric for metric in views.metrics_of(sums, dataset, "coverage_") if "/" not in metric]
    higher += [metric for metric in views.metrics_of(sums, dataset, "accuracy/") if metric.endswith("/tstr")]
    out = []
    for metric, lower in (better | dict.fromkeys(higher, False)).items():
        key = {"benchmark": tree.spec["benchmark"], "dataset": dataset, "quantity": metric}
        out += ranks.rows(table, key, list(tree.models(dataset)), lower_is_better=lower)
    return out


def run(table: Output, page: Output, *, spec: dict) -> Outcome:
    """Report on the benchmark whose folder `table` lies in; the other files stand beside it."""
    make(table.parent, spec, provenance.commit())
    return Outcome()


def make(root: Path, spec: dict, commit: str, cores: int = 1) -> None:
    """Report on what a commit left in a folder, by this stage's slice of the configuration; `cores` draw figures."""
    models = {about["name"]: {key: about[key] for key in ("family", "labels", "measure")} for about in spec["models"]}
    report(root, spec | {"models": models, "commit": commit}, cores)


def report(root: Path, spec: dict, cores: int = 1) -> None:
    """Write the table, its summaries, the figures and the page of one benchmark.

    Arguments:
        root: `results/<benchmark>`, which holds the runs and receives the report.
        spec: `benchmark`, `models` (name -> `family`, `labels`, in display order), `datasets`, `seeds`, `planned`
            (dataset, model, seed), `skipped` (dataset, model, reason), `compare` (model, reference), `ladder`,
            `commit`.
    """
    tree = Tree(Path(root), spec, cores)
    trivial = {dataset: tree.trivial(dataset) for dataset in spec["datasets"]}
    table, cells = table_of(tree, trivial), statuses(tree)
    planned: dict[tuple[str, str], int] = {}
    for dataset, model, _ in tree.cells:
        planned[dataset, model] = planned.get((dataset, model), 0) + 1
    means = summary.summarise(table, planned)
    sums = {(row["dataset"], row["model"], row["metric"]): row for row in means}
    pairs, found, ranked = [], [], []
    for dataset in spec["datasets"]:
        floor = floors(tree, dataset, table, sums)
        pairs += likelihoods(tree, dataset) + outliers(tree, dataset, trivial[dataset], sums) + floor
    pairs = paired.adjust(pairs + augmentation.gains(table, planned))
    for dataset in spec["datasets"]:
        last = [row for row in pairs if row["dataset"] == dataset and row["seed"] == "all"]
        last = [row for row in last if row["quantity"].startswith(DISTANCES)]
        found += checks.controls(dataset, tree.models(dataset), sums, last)
        ranked += ranking(tree, dataset, table, sums)
    for name, columns, rows in (
        ("table", summary.COLUMNS, table),
        ("summary", summary.SUMMARY, means),
        ("paired", paired.PAIRED, pairs),
        ("ranks", ranks.RANKS, ranked),
        ("checks", checks.CHECKS, found),
        ("status", summary.STATUS, cells),
        ("cost", COST, costs(tree)),
    ):
        path = tree.root / f"{name}.csv"
        io.write_rows(path, columns, ({column: row.get(column) for column in columns} for row in rows))
    commit, digest = spec["commit"], io.sha256(tree.root / "table.csv")
    pictures = draw(tree, trivial, sums, pairs, ranked, cells, f"table.csv sha256 {digest}, commit {commit}")
    content = {"spec": spec, "pictures": pictures, "captions": captions.CAPTIONS, "digest": digest}
    content |= {
        "checks": found,
        "cells": cells,
        "versions": provenance.versions(),
        "sentence": checks.sentence,
        "real": (checks.FRESH, checks.COPY),
    }
    planned_on = {dataset: tree.models(dataset) for dataset in spec["datasets"]}
    content["overview"] = panels.bits(sums, planned_on)
    content |= {"chapters": [chapter(tree, dataset, sums, pairs, cells) for dataset in spec["datasets"]]}
    template, sheet = (resource(name) for name in ("report.html", "page.css"))
    io.write_text(tree.root / "report/index.html", page.page(template, sheet, **content))


def chapter(tree: Tree, dataset: str, sums: checks.Summary, pairs: list[Row], cells: list[Row]) -> dict:
    """What the page says of one dataset."""
    models, about = tree.models(dataset), tree.about(dataset)
    final = [row for row in pairs if row["dataset"] == dataset and row["seed"] == "all"]
    ruler = tree.root / dataset / "ruler/features.json"
    nets = panels.by_net(sums, dataset, "FD_", "FDinf_", "KID_", *DIVERSITY)
    attacks = panels.attacks(sums, dataset)
    columns = {
        "memorisation": views.metrics_of(sums, dataset, *MEMORISATION),
        **{what: [f"{what}/{attack}" for attack in attacks] for what in MEMBERSHIP},
        "utility": [m for m in views.metrics_of(sums, dataset, "accuracy/") if m.endswith(("/trtr", "/tstr"))],
        "fit": views.metrics_of(sums, dataset, "fit/"),
        "evals": views.metrics_of(sums, dataset, "evals/"),
    }
    columns["augmentation"] = [m for m in views.metrics_of(sums, dataset, "accuracy/") if m not in columns["utility"]]
    shown = [metric for names in (*nets.values(), *columns.values()) for metric in names]
    return {
        "name": dataset,
        "shape": " x ".join(str(size) for size in about["shape"]),
        "levels": about["levels"],
        "sizes": {name: about["sizes"][name] for name in ("train", "valid", "test", "fresh")},
        "facts": io.read_json(ruler).get("facts", {}) if ruler.is_file() else {},
        "confidential": about["confidential"],
        "models": views.by_model(sums, dataset, models, [*shown, "fit/epsilon"]),
        "columns": columns,
        "nets": nets,
        "present": [what for what in MEMBERSHIP if views.metrics_of(sums, dataset, f"{what}/")],
        "gains": [row for row in final if row["quantity"].startswith("accuracy/")],
        "areas": {what: views.areas(sums, dataset, models, what) for what in AREAS},
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

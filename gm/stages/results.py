"""What the runs of a benchmark left, read once, and its rows."""

import importlib.resources
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from gm import io
from gm.figures import page, style
from gm.metrics.groups.outliers import outlier_rows
from gm.stages import exhibit
from gm.table import ensembles, summary, views

RECORDS = ("model", "samples", "scores", "features", "metrics")
LARGE = 250_000  # bytes of an SVG, beyond which the page shows a PNG
COST = ("dataset", "model", "seed", "stage", "seconds", "peak_mb", "device")

# Files of a run that a report reads, by the names of outputs in records.
READ = {"history": "history.csv", "scores": "scores.npz", "metrics": "metrics.csv", "per_item": "items.npz"}

Row = summary.Row
Arrays = dict[str, np.ndarray]


def resource(name: str) -> str:
    """The text of a template or style sheet of `gm.figures`."""
    return importlib.resources.files("gm.figures").joinpath(name).read_text(encoding="utf-8")


class Tree:
    """The files of one benchmark, read once. Of a redrawn archive, exhibits stand in place of the images.

    Its figures are drawn by as many processes as `cores` says.
    """

    def __init__(self, root: Path, spec: dict, cores: int = 1) -> None:
        self.root, self.spec, self.cores = root, spec, cores
        self.cells = [(dataset, model, seed) for dataset, model, seed in spec["planned"]]
        self.facts: dict[str, Row] = {}
        self.records = {cell: self._records(cell) for cell in self.cells}
        self.scores = {cell: self.arrays(cell, "scores.npz") if self.ran(cell) else {} for cell in self.cells}

    @cached_property
    def data(self) -> dict[str, Arrays]:
        """The arrays of every dataset."""
        return {name: io.read_arrays(self.root / name / "data.npz") for name in self.spec["datasets"]}

    def exhibit(self, dataset: str) -> tuple[Row, list[Row]] | None:
        """Facts and pictures of a dataset whose images are not here; None where they are."""
        if (self.root / dataset / "data.npz").is_file():
            return None
        return exhibit.unpack(io.read_arrays(self.root / dataset / "exhibit.npz"))

    def about(self, dataset: str) -> Row:
        """Facts of a dataset of images (`gm.stages.exhibit.describe`)."""
        if dataset not in self.facts:
            found = self.exhibit(dataset)
            self.facts[dataset] = found[0] if found else exhibit.describe(self.data[dataset])
        return self.facts[dataset]

    def path(self, cell: tuple, name: str) -> Path:
        """A file of one run."""
        dataset, model, seed = cell
        return self.root / dataset / model / str(seed) / name

    def arrays(self, cell: tuple, name: str) -> Arrays:
        """Arrays of one run; none where the file is missing."""
        path = self.path(cell, name)
        return io.read_arrays(path) if path.is_file() else {}

    def rows(self, cell: tuple, name: str) -> list[dict]:
        """Rows of one run; none where the file is missing."""
        path = self.path(cell, name)
        return io.read_rows(path) if path.is_file() else []

    def trivial(self, dataset: str) -> dict[str, Arrays]:
        """Trivial outlier scores of a dataset: score name -> part -> `[N]`."""
        out: dict[str, Arrays] = {}
        for key, score in io.read_arrays(self.root / dataset / "ruler/trivial.npz").items():
            name, _, part = key.partition("/")
            out.setdefault(name, {})[part] = score
        return out

    def models(self, dataset: str) -> dict[str, dict]:
        """Models planned on a dataset, in display order."""
        planned = {model for where, model, _ in self.cells if where == dataset}
        return {model: about for model, about in self.spec["models"].items() if model in planned}

    def confidential(self, dataset: str) -> bool:
        """Whether no real image of a dataset may be shown."""
        return self.about(dataset)["confidential"]

    def ran(self, cell: tuple) -> bool:
        """Whether no stage of a run failed: a run that failed anywhere counts nowhere."""
        return all(record["status"] == "ok" for record in self.records[cell].values())

    def runs(self, dataset: str, model: str) -> list[tuple]:
        """The cells of a model on a dataset."""
        return [cell for cell in self.cells if cell[:2] == (dataset, model)]

    def densities(self, dataset: str) -> dict[str, list[tuple]]:
        """Models whose log density has a lower end, and the runs that have one."""
        found = {
            model: [cell for cell in self.runs(dataset, model) if self.judged(cell)] for model in self.models(dataset)
        }
        return {model: cells for model, cells in found.items() if cells}

    def judged(self, cell: tuple) -> bool:
        """Whether a run ranks outliers by a density of its own."""
        arrays = self.scores[cell]
        return "score_nll_test" in arrays and str(arrays["kinds"][0]) != "none"

    def _records(self, cell: tuple) -> dict[str, dict]:
        """The records of a run.

        Raises:
            gm.io.Damaged: a file that the report reads is not the one that a record names.
        """
        paths = {name: self.path(cell, f"{name}.json") for name in RECORDS}
        found = {name: io.read_json(path) for name, path in paths.items() if path.is_file()}
        for record in found.values():
            for name in READ.keys() & record.get("outputs", {}).keys():
                path = self.path(cell, READ[name])
                if path.is_file() and io.sha256(path) != record["outputs"][name]:
                    told = "is not the file that its record names; delete it, and run again to have it made anew"
                    raise io.Damaged(f"{path} {told}")
        return found


def write(tree: Tree, drawings: Mapping[style.Name, style.Drawing], origin: str) -> dict[str, dict[str, str]]:
    """Draw and write figures in every format.

    Returns:
        By dataset (empty for the whole benchmark) and name, the address of each for the page.
    """
    pictures: dict[str, dict[str, str]] = {dataset: {} for dataset in ["", *tree.spec["datasets"]]}
    titles = {place: " ".join(filter(None, (tree.spec["benchmark"], *place))) for place in drawings}
    with style.theme():
        made = style.save_all(drawings, titles, origin, cores=tree.cores)
        for (dataset, name), formats in zip(drawings, made, strict=True):
            for kind, content in formats.items():
                path = tree.root / "figures" / name / f"{dataset or 'all'}.{kind}"
                io.save_with(lambda target, content=content: target.write_bytes(content), path)
            kind = "svg" if len(formats["svg"]) < LARGE else "png"
            pictures[dataset][name] = page.picture(formats[kind], kind)
    return pictures


def table_of(tree: Tree, trivial: dict[str, dict]) -> list[Row]:
    """All rows of all runs as they were written, and the trivial outlier baselines as a model of their own."""
    table = []
    for dataset in tree.spec["datasets"]:
        place = {"benchmark": tree.spec["benchmark"], "dataset": dataset}
        for model in tree.models(dataset):
            for cell in tree.runs(dataset, model):
                rows = tree.rows(cell, "metrics.csv")
                rows = rows or [{"metric": "run", "value": 0, "n": 1, "kind": "count", "status": "missing"}]
                table += [place | {"model": model, "seed": cell[2]} | row for row in rows]
        aligned = tree.about(dataset)["aligned"]
        for model, cells in tree.densities(dataset).items():
            for seed, scores in combined(tree, dataset, model, cells):
                rows = outlier_rows(scores, aligned=aligned)
                table += [place | {"model": model, "seed": seed, "status": "ok"} | row for row in rows]
        rows = outlier_rows(trivial[dataset], aligned=aligned)
        table += [place | {"model": views.TRIVIAL, "seed": "", "status": "ok"} | row for row in rows]
    return table


def combined(tree: Tree, dataset: str, model: str, cells: list[tuple]) -> list[tuple[int | str, dict]]:
    """Outlier scores that need more than one run: ratios to the ladder's first model, and ensembles over seeds."""

    def nll(which: list[tuple]) -> dict[int, Arrays]:
        prefix = "score_nll_"
        return {
            cell[2]: {
                part: score
                for name, score in tree.scores[cell].items()
                if (part := name.removeprefix(prefix)) == "test" or name.startswith(f"{prefix}outlier_")
            }
            for cell in which
        }

    base, about = next(iter(tree.spec["ladder"]), model), tree.spec["models"]
    if about[base]["measure"] != about[model]["measure"]:
        base = model  # a density and a mass have no ratio
    reference = nll(tree.densities(dataset).get(base, [])) if base != model else {}
    return ensembles.across(nll(cells), reference)


def statuses(tree: Tree) -> list[Row]:
    """One row per planned or skipped cell: the first stage that failed, and why."""
    cells = []
    for cell in tree.cells:
        records = tree.records[cell]
        bad = [records[name] for name in RECORDS if name in records and records[name]["status"] != "ok"]
        if bad:
            found = (bad[0]["stage"], bad[0]["status"], bad[0]["reason"])
        elif "metrics" not in records:
            found = ("", "missing", "no record of this run")
        else:
            found = ("", "ok", "")
        cells.append(dict(zip(summary.STATUS, (*cell, *found), strict=False)))
    skipped = [(dataset, model, "", "", "skipped", why) for dataset, model, why in tree.spec["skipped"]]
    return summary.statuses(cells + [dict(zip(summary.STATUS, cell, strict=False)) for cell in skipped])


def costs(tree: Tree) -> list[Row]:
    """Seconds, memory and device of every job."""
    rows = []
    for dataset in tree.spec["datasets"]:
        for name in ("data.json", "ruler/features.json"):
            path = tree.root / dataset / name
            if path.is_file():
                rows.append(io.read_json(path) | {"dataset": dataset, "model": "", "seed": ""})
    for dataset, model, seed in tree.cells:
        for record in tree.records[dataset, model, seed].values():
            rows.append(record | {"dataset": dataset, "model": model, "seed": seed})
    return [{name: row.get(name) for name in COST} for row in rows]

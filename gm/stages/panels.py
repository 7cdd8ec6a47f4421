"""What the figures of one dataset draw, gathered from its runs."""

import math
from collections.abc import Iterable

import numpy as np

from gm.metrics.groups.utility import REAL
from gm.stages.results import Arrays, Row, Tree
from gm.table import checks, curves, panels, views

SHOWN = 10
CURVES = 4
POINTS = 161
MADE_OF_REAL = (checks.FRESH, checks.COPY)


def sets_of(tree: Tree, dataset: str) -> list[str]:
    """Outlier sets of a dataset."""
    return tree.about(dataset)["outliers"]


def best_trivial(sums: checks.Summary, dataset: str, part: str, names: Iterable[str]) -> str:
    """The trivial baseline with the highest AUROC on a set."""
    return max(names, key=lambda name: sums[dataset, views.TRIVIAL, f"auroc/{name}/{part}"]["mean"])


def sample_groups(tree: Tree, dataset: str) -> list[Row]:
    """The first samples of each model's first good seed with their nearest training images; real test images first.

    Of a confidential dataset no real image is shown: neither test nor nearest training images, nor the controls that
    are made of real ones, nor a sample that equals one.
    """
    if exhibit := tree.exhibit(dataset):
        return exhibit[1]
    data, hidden = tree.data[dataset], tree.confidential(dataset)
    found = {} if hidden else {"real test images": ("control", data["x_test"][:SHOWN])}
    for model, about in tree.models(dataset).items():
        drawn = (x for cell in tree.runs(dataset, model) if len(x := tree.arrays(cell, "samples.npz").get("x", ())))
        if not hidden or model not in MADE_OF_REAL:
            found[model] = (about["family"], next(drawn, data["x_test"][:0])[:SHOWN])
    if hidden:
        real = {image.tobytes() for name, images in data.items() if name.startswith("x_") for image in images}
        kept = {name: [image.astype(data["x_test"].dtype).tobytes() not in real for image in x]
                for name, (_, x) in found.items()}  # fmt: skip
        return [{"name": name, "family": family, "x": x[np.array(kept[name], bool)]}
                for name, (family, x) in found.items()]  # fmt: skip
    near, distance = curves.nearest(np.concatenate([x for _, x in found.values()]), data["x_train"])
    ends = np.cumsum([len(x) for _, x in found.values()])[:-1]
    groups = zip(found.items(), np.split(near, ends), np.split(distance, ends), strict=True)
    return [{"name": name, "family": about[0], "x": about[1], "nearest": x, "distance": d}
            for (name, about), x, d in groups]  # fmt: skip


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


def score_sets(tree: Tree, dataset: str, points: int = 201) -> tuple[list[Row], np.ndarray]:
    """Per density the quantiles of its -log p over the test images and each outlier set, in bits per dimension.

    Those of all seeds together; the second array is the shares below them.
    """
    shares = np.linspace(0, 1, points)
    about = tree.about(dataset)
    unit = math.prod(about["shape"]) * math.log(2)
    out = []
    for model, cells in tree.densities(dataset).items():
        parts = {"test": "test"} | {part: f"outlier_{part}" for part in sets_of(tree, dataset)}
        pooled = {name: np.concatenate([tree.scores[cell][f"score_nll_{part}"] for cell in cells])
                  for name, part in parts.items()}  # fmt: skip
        sizes = {name: len(tree.scores[cells[0]][f"score_nll_{part}"]) for name, part in parts.items()}
        sets = {name: np.quantile(scores, shares, method="inverted_cdf") / unit for name, scores in pooled.items()}
        family = tree.models(dataset)[model]["family"]
        out.append({"name": model, "family": family, "n": sizes, "sets": sets})
    return out, shares


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


class Items:
    """What the runs of a dataset left per item: by model and name, an array per seed that has it."""

    def __init__(self, tree: Tree, dataset: str) -> None:
        self.models = tree.models(dataset)
        self.found: dict[tuple[str, str], list[np.ndarray]] = {}
        for model in self.models:
            for cell in tree.runs(dataset, model):
                for name, array in (tree.arrays(cell, "items.npz") if tree.ran(cell) else {}).items():
                    self.found.setdefault((model, name), []).append(array)

    def names(self, prefix: str) -> list[str]:
        """What follows a prefix in the names of arrays, in the order in which they came."""
        return list(dict.fromkeys(name.removeprefix(prefix) for _, name in self.found if name.startswith(prefix)))

    def having(self, name: str) -> list[tuple[Row, list[np.ndarray]]]:
        """Models that have an array, each `name` and `family`, with its arrays."""
        about = [({"name": model, "family": about["family"]}, model) for model, about in self.models.items()]
        return [(row, self.found[model, name]) for row, model in about if (model, name) in self.found]


def extrapolation(items: Items, sums: checks.Summary, dataset: str) -> list[Row]:
    """Per net the distances at several numbers of images, of the controls and the closest model of each family."""
    out = []
    for net in items.names("fd_curve/"):
        metrics = views.metrics_of(sums, dataset, f"FD_{net}@")
        shown = panels.front(sums, dataset, items.models, metrics[0]) if metrics else []
        models = [row | {"curves": found, "limit": sums.get((dataset, row["name"], f"FDinf_{net}"))}
                  for row, found in items.having(f"fd_curve/{net}") if row["name"] in shown]  # fmt: skip
        out += [{"name": net, "models": models}] if models else []
    return out


def membership(items: Items) -> tuple[list[Row], np.ndarray]:
    """Operating characteristics of every membership attack, and the shares of non-members flagged."""
    out, names = [], [name.removesuffix("/nonmember") for name in items.names("attack/") if name.endswith("/nonmember")]
    pairs = {name: [(row, list(zip(members, others, strict=True)))
                    for (row, members), (_, others) in zip(items.having(f"attack/{name}/member"),
                                                           items.having(f"attack/{name}/nonmember"), strict=True)]
             for name in names}  # fmt: skip
    most = max((len(found[0][1][0][1]) for found in pairs.values()), default=1)
    grid = np.geomspace(1 / most, 1, POINTS)
    for name, found in pairs.items():
        members, nonmembers = (len(scores) for scores in found[0][1][0])
        out.append({
            "name": name, "members": members, "nonmembers": nonmembers,
            "band": curves.chance(grid, members, nonmembers),
            "models": [row | {"found": curves.detection(seeds, grid)} for row, seeds in found],
        })  # fmt: skip
    return out, grid


def distances(items: Items) -> tuple[list[Row], np.ndarray]:
    """Per family the distribution of distances to the nearest training image, beside that of real test images."""
    samples, real = items.having("nn/samples"), items.having("nn/held_out")
    if not samples or not real:
        return [], np.zeros(0)
    held_out = real[0][1][0]  # the same images whatever the run
    shown = [x for _, seeds in samples for x in seeds]
    farthest = max(float(held_out.max()), float(np.quantile(np.concatenate(shown), 0.99)))
    grid = np.linspace(0.0, 1.05 * farthest, POINTS)
    share = curves.ecdf([held_out], grid)
    out: dict[str, list[Row]] = {}
    for row, seeds in samples:
        out.setdefault(row["family"], []).append(row | {"share": curves.ecdf(seeds, grid)})
    return [{"name": name, "held_out": share, "models": models} for name, models in out.items()], grid


def same_test(tree: Tree) -> list[dict[str, int]]:
    """Datasets of the same test images and different numbers of real ones that their classifiers are trained on."""
    groups: list[tuple[str, dict[str, int]]] = []
    for dataset in tree.spec["datasets"]:
        about = tree.about(dataset)
        digest, size = about["test"], min(about["sizes"]["train"], REAL)
        alike = (group for key, group in groups if key == digest and size not in group.values())
        if (group := next(alike, None)) is None:
            groups.append((digest, group := {}))
        group[dataset] = size
    return [group for _, group in groups]

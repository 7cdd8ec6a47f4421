"""Rows of the summary as the panels of figures that compare nets, uses and datasets."""

from collections.abc import Iterable, Mapping

from gm.table.checks import COPY, FRESH, Summary
from gm.table.summary import Row
from gm.table.views import intervals, metrics_of

LOWER = ("FD_", "FDinf_", "KID_")
HIGHER = ("coverage_",)
NALISNICK = ("mnist", "fashion")  # outlier sets, as the datasets name them
SOURCES = {"trtr": "real images alone", "classical": "classical augmentation", "fresh": "fresh real images"}
SOURCES |= {"synthetic": ""}


def goodness(summary: Summary, dataset: str, models: Iterable[str]) -> dict[str, dict[str, float]]:
    """Fidelity metrics that more than one feature net has a say in, by model, turned so that more is better.

    The two controls that are made of real images are left out: they would make every two metrics agree.
    """
    shown = [model for model in models if model not in (FRESH, COPY)]
    out = {}
    for prefixes, sign in ((LOWER, -1.0), (HIGHER, 1.0)):
        for metric in metrics_of(summary, dataset, *prefixes):
            column = {m: sign * summary[dataset, m, metric]["mean"] for m in shown if (dataset, m, metric) in summary}
            if "/" not in metric and len(column) > 2:
                out[metric] = column
    return out


def by_net(summary: Summary, dataset: str, *prefixes: str) -> dict[str, list[str]]:
    """Metrics of samples seen through a net, `<prefix><net>` or `<prefix><net>@<n>`, net by net."""
    found: dict[str, list[str]] = {}
    for prefix in prefixes:
        for metric in metrics_of(summary, dataset, prefix):
            if "/" not in metric:
                found.setdefault(metric.removeprefix(prefix).partition("@")[0], []).append(metric)
    return found


def front(summary: Summary, dataset: str, models: Mapping[str, Mapping], metric: str) -> list[str]:
    """The controls made of real images, and of each family the model with the lowest mean of a metric."""
    best: dict[str, str] = {}
    for model, about in models.items():
        row = summary.get((dataset, model, metric))
        if row is not None and model not in (FRESH, COPY):
            rival = best.setdefault(about["family"], model)
            if row["mean"] < summary[dataset, rival, metric]["mean"]:
                best[about["family"]] = model
    return [model for model in models if model in (FRESH, COPY, *best.values())]


def ranked(ranks: Iterable[Row], dataset: str, models: Mapping[str, Mapping]) -> list[Row]:
    """Per metric `name`, `n` (models ranked), `seeds`, and `models` in their order, `rank` None without a rank."""
    found: dict[str, dict[str, Row]] = {}
    for row in ranks:
        if row["dataset"] == dataset:
            found.setdefault(row["quantity"], {})[row["model"]] = row
    none = {"rank": None, "low": None, "high": None}
    return [
        {
            "name": metric,
            "n": next(iter(rows.values()))["of"],
            "seeds": next(iter(rows.values()))["n_ok"],
            "models": [
                {"name": model, "family": about["family"]}
                | {end: rows.get(model, none)[end] for end in ("rank", "low", "high")}
                for model, about in models.items()
            ],
        }
        for metric, rows in found.items()
    ]


def observation(summary: Summary, datasets: Mapping[str, Mapping[str, Mapping]]) -> list[Row]:
    """Bits per dimension and AUROC of the negative log-likelihood, where the outliers are MNIST or Fashion-MNIST.

    Arguments:
        summary: rows of the summary by `(dataset, model, metric)`.
        datasets: name -> models planned on it.

    Returns:
        Per dataset and set `dataset`, `set`, and `models`: as `gm.table.views.intervals`, each with `auroc`.
    """
    out = []
    for dataset, models in datasets.items():
        for part in NALISNICK:
            shown = [
                model | {"auroc": row}
                for model in intervals(summary, dataset, models)
                if (row := summary.get((dataset, model["name"], f"auroc/nll/{part}"))) is not None
            ]
            if shown:
                out.append({"dataset": dataset, "set": part, "models": shown})
    return out


def bits(summary: Summary, datasets: Mapping[str, Mapping[str, Mapping]]) -> Row:
    """Bits per dimension of every contestant on every dataset, with the AUROC of its negative log-likelihood.

    Arguments:
        summary: rows of the summary by `(dataset, model, metric)`.
        datasets: name -> models planned on it.

    Returns:
        `sets`, the outlier sets of all datasets, and `rows`: as `gm.table.views.intervals`, each with `dataset` and
        `areas`, rows of the summary by set.
    """
    sets: dict[str, None] = {}
    rows = []
    for dataset, models in datasets.items():
        found = [metric.removeprefix("auroc/nll/") for metric in metrics_of(summary, dataset, "auroc/nll/")]
        sets |= dict.fromkeys(sorted(found, key=lambda part: (part not in NALISNICK, part)))
        for model in sorted(intervals(summary, dataset, models), key=lambda model: model["measure"]):
            names = {part: (dataset, model["name"], f"auroc/nll/{part}") for part in found}
            areas = {part: summary[key] for part, key in names.items() if key in summary}
            rows.append({"dataset": dataset} | model | {"areas": areas})
    return {"sets": list(sets), "rows": rows}


def attacks(summary: Summary, dataset: str) -> list[str]:
    """Membership attacks that any model of a dataset has a row of."""
    return [metric.removeprefix("mia_auc/") for metric in metrics_of(summary, dataset, "mia_auc/")]


def augmentation(summary: Summary, sizes: Mapping[str, int], models: Mapping[str, Mapping]) -> list[Row]:
    """Accuracy on the same real test images, by classifier, against real training images or synthetic ones.

    Where datasets differ in their number of real training images, that is the abscissa, and each ratio of added
    images to real ones has a panel; where there is one number only, the ratio is.

    Arguments:
        summary: rows of the summary by `(dataset, model, metric)`, metrics `accuracy/<classifier>/<regime>`.
        sizes: number of real training images of each dataset; all have the same test images.
        models: every model of them, with its `family`.

    Returns:
        Per panel `classifier`, `ratio` (None where it is the abscissa), `several` (whether sizes are) and `lines`:
        `label`, `family`, and `points`, pairs of the abscissa and a row of the summary.
    """
    found: dict[str, dict[tuple[str, str, float | None], dict[int, Row]]] = {}
    for dataset, size in sizes.items():
        for metric in metrics_of(summary, dataset, "accuracy/"):
            _, classifier, regime = metric.split("/", 2)
            source, _, ratio = regime.partition("=")
            rows = {model: row for model in models if (row := summary.get((dataset, model, metric))) is not None}
            if source != "synthetic":  # the same classifier whatever the model: the row that most seeds stand behind
                rows = {"": max(rows.values(), key=lambda row: row["n_ok"])} if rows else {}
            for model, row in rows.items() if source in SOURCES else ():
                key = (model or SOURCES[source], models[model]["family"] if model else source, _number(ratio))
                found.setdefault(classifier, {}).setdefault(key, {})[size] = row
    return [panel for classifier, lines in found.items() for panel in _panels(classifier, lines)]


def _number(ratio: str) -> float | None:
    return float(ratio) if ratio else None


def _panels(classifier: str, lines: Mapping) -> list[Row]:
    ratios = sorted({ratio for _, _, ratio in lines if ratio is not None})
    several = len({size for points in lines.values() for size in points}) > 1
    out = []
    for shown in [[ratio] for ratio in ratios] if several else [ratios] * bool(ratios):
        drawn: dict[tuple[str, str], list] = {}
        for (label, family, ratio), points in lines.items():
            for size, row in sorted(points.items()):
                places = [size] if several else shown if ratio is None else [ratio]
                if ratio is None or ratio in shown:
                    drawn.setdefault((label, family), []).extend((place, row) for place in places)
        out.append({
            "classifier": classifier, "ratio": shown[0] if several else None, "several": several,
            "lines": [{"label": label, "family": family, "points": sorted(points, key=lambda point: point[0])}
                      for (label, family), points in drawn.items()],
        })  # fmt: skip
    return out

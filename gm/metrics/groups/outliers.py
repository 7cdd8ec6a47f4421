"""Outlier detection: rows of the scores of one run, and of the trivial baselines of a dataset."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy import ndarray

from gm.metrics import outliers
from gm.metrics.run import Arrays, Row, Run, row


def baselines(data: Arrays) -> dict[str, dict[str, ndarray]]:
    """Trivial outlier scores of a dataset: score name -> part (`test`, `outlier_<set>`) -> `[N]`."""
    parts = [name.removeprefix("x_") for name in data if name == "x_test" or name.startswith("x_outlier_")]
    by_part = {part: outliers.pixel_scores(data[f"x_{part}"], data["x_train"]) for part in parts}
    return {name: {part: by_part[part][name] for part in parts} for name in by_part["test"]}


def rows(run: Run, rng: np.random.Generator) -> list[Row]:
    """Rows of every score that the run gives."""
    by_name: dict[str, dict[str, ndarray]] = {}
    parts = ["test", *(name.removeprefix("x_") for name in run.data if name.startswith("x_outlier_"))]
    for key, score in run.scores.items():
        for part in parts:
            if key.startswith("score_") and key.endswith(f"_{part}"):
                by_name.setdefault(key.removeprefix("score_").removesuffix(f"_{part}"), {})[part] = score
    if run.scores and str(run.scores["kinds"][0]) == "none":
        by_name.pop("nll", None)
    return outlier_rows(by_name, aligned=run.data.get("aligned", ()), rng=rng)


def outlier_rows(scores: Mapping[str, Arrays], *, aligned: Iterable[str], rng: np.random.Generator) -> list[Row]:
    """Rows `auroc/<score>/<set>`, `aupr/...` and `fpr95/...`; n counts inliers and outliers.

    Arguments:
        scores: score name -> part (`test`, `outlier_<set>`) -> `[N]`, as `baselines` gives.
        aligned: the parts whose row i is made from test image i.
        rng: source of the bootstrap; the scores of a set share its resamples, whatever scores there are.
    """
    rows, aligned = [], set(aligned)
    sets = sorted({part for parts in scores.values() for part in parts if part.startswith("outlier_")})
    for part, child in zip(sets, rng.spawn(len(sets)), strict=True):
        weights = None
        for name, parts in scores.items():
            inlier, outlier = parts["test"], parts[part]
            if weights is None:
                weights = outliers.resampling(len(inlier), len(outlier), rng=child, aligned=part in aligned)
            n, suffix = len(inlier) + len(outlier), f"{name}/{part.removeprefix('outlier_')}"
            rows += [
                row(f"auroc/{suffix}", outliers.auroc(inlier, outlier, aligned=part in aligned), n),
                row(f"aupr/{suffix}", outliers.aupr(inlier, outlier, weights=weights), n),
                row(f"fpr95/{suffix}", outliers.fpr95(inlier, outlier, weights=weights), n),
            ]
    return rows

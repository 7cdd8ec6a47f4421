"""Outlier detection: rows of the scores of one run, and of the trivial baselines of a dataset."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy import ndarray

from gm.metrics import baselines as trivial
from gm.metrics import roc, scores
from gm.metrics.run import Arrays, Row, Run, row

METRICS = {"auroc": roc.auroc, "aupr": roc.aupr, "auprin": roc.auprin, "fpr95": roc.fpr95, "fpr95out": roc.fpr95out}
BATCHES = (2, 10, 25)
GROUPS = 10  # of non-members, left out in turn

ByName = dict[str, dict[str, ndarray]]


def baselines(data: Arrays) -> ByName:
    """Trivial outlier scores of a dataset: score name -> part (`test`, `outlier_<set>`) -> `[N]`."""
    score = trivial.pixel_scores(data["x_train"])
    by_part = {part: score(data[f"x_{part}"]) for part in _judged(name.removeprefix("x_") for name in data)}
    return {name: {part: found[name] for part, found in by_part.items()} for name in by_part["test"]}


def rows(run: Run, rng: np.random.Generator) -> list[Row]:
    r"""Rows of every score that the run gives, and of those derived from its density, which are left in `items`.

    Scores that are told from the non-members have errors over these too: those of `outlier_rows` and, in quadrature,
    the jackknife's that leaves a tenth of the non-members out in turn,

    $$ se^2 = \frac{9}{10} \sum_{g=1}^{10} (\theta_{(g)} - \bar\theta)^2 . $$
    """
    given, aligned = _given(run), run.data.get("aligned", ())
    if "nll" not in given:
        return outlier_rows(given, aligned=aligned)
    made = complexity(run.data, given["nll"]) | unusual(given)
    run.items.update({f"score_{name}_{part}": score for name in made for part, score in made[name].items()})
    key = rng.random(max(map(len, given["nll"].values())))
    found = outlier_rows(given | made | batched(given["nll"], key), aligned=aligned)
    errors = _calibration(given, key, aligned)
    return [row | {"se": math.hypot(row["se"], errors.get(row["metric"], 0.0))} for row in found]


def _calibration(given: Mapping[str, Arrays], key: ndarray, aligned: Iterable[str]) -> dict[str, float]:
    """Standard error of each metric from the non-members that its score is told from."""
    values: dict[str, list[float]] = {}
    for group in range(GROUPS):
        fewer = {name: dict(parts) for name, parts in given.items()}
        for parts in fewer.values():
            if "nonmember" in parts:
                parts["nonmember"] = parts["nonmember"][np.arange(len(parts["nonmember"])) % GROUPS != group]
        for found in outlier_rows(unusual(fewer) | batched(fewer["nll"], key), aligned=aligned):
            values.setdefault(found["metric"], []).append(found["value"])
    return {name: math.sqrt((GROUPS - 1) * np.var(found)) for name, found in values.items()}


def complexity(data: Arrays, nll: Arrays) -> ByName:
    """`complexity` by part, where pixels are integers."""
    if not np.issubdtype(data["x_test"].dtype, np.integer):
        return {}
    return {"complexity": {part: scores.complexity(nll[part], data[f"x_{part}"]) for part in _judged(nll)}}


def unusual(given: Mapping[str, Arrays]) -> ByName:
    """`typicality` and `dose` (density of states) of single images, by part, where non-members were scored.

    Arguments:
        given: score name -> part (`test`, `nonmember`, `outlier_<set>`) -> `[N]`; `nll` is among them.
    """
    nll, out = given["nll"], {}
    parts = _judged(nll)
    usual = {name: found["nonmember"] for name, found in given.items() if _spread(found.get("nonmember", ()))}
    if "nll" in usual:
        out["typicality"] = {part: scores.typicality(nll[part], usual["nll"]) for part in parts}
        out["dose"] = {
            part: scores.density_of_states({name: given[name][part] for name in usual}, usual) for part in parts
        }
    return out


def batched(nll: Arrays, key: ndarray) -> ByName:
    """`typicality@M` of disjoint batches of M images, by part, where a part has two of them.

    Arguments:
        nll: part -> `[N]`.
        key: random numbers, as many as the longest part has images; the order of its first N serves every part of N
            images, so that aligned sets stay aligned.
    """
    if not _spread(nll.get("nonmember", ())):
        return {}
    out = {}
    for size in BATCHES:
        long = [part for part in _judged(nll) if len(nll[part]) >= 2 * size]
        means = {part: scores.batch_means(nll[part], size, order=key[: len(nll[part])].argsort()) for part in long}
        if "test" in means:
            out[f"typicality@{size}"] = {part: scores.typicality(means[part], nll["nonmember"]) for part in long}
    return out


def outlier_rows(by_name: Mapping[str, Arrays], *, aligned: Iterable[str]) -> list[Row]:
    """Rows `auroc/<score>/<set>`, `aupr/...`, `auprin/...`, `fpr95/...` and `fpr95out/...`.

    n counts inliers and outliers (batches of them in scores of batches).

    Arguments:
        by_name: score name -> part (`test`, `outlier_<set>`) -> `[N]`, as `baselines` gives.
        aligned: the parts whose row i is made from test image i.
    """
    out, aligned = [], set(aligned)
    sets = sorted({part for parts in by_name.values() for part in parts if part.startswith("outlier_")})
    for part in sets:
        for name, parts in by_name.items():
            if part in parts:
                sides, suffix = (parts["test"], parts[part]), f"{name}/{part.removeprefix('outlier_')}"
                out += [
                    row(f"{metric}/{suffix}", measure(*sides, aligned=part in aligned), sum(map(len, sides)))
                    for metric, measure in METRICS.items()
                ]
    return out


def _given(run: Run) -> ByName:
    """The run's own scores by name and part; without `nll` where it is no density."""
    out: ByName = {}
    parts = ["nonmember", *_judged(name.removeprefix("x_") for name in run.data)]
    for key, score in run.scores.items():
        for part in parts:
            if key.startswith("score_") and key.endswith(f"_{part}"):
                out.setdefault(key.removeprefix("score_").removesuffix(f"_{part}"), {})[part] = score
    if run.scores and str(run.scores["kinds"][0]) == "none":
        out.pop("nll", None)
    return out


def _judged(parts: Iterable[str]) -> list[str]:
    """The parts that are told apart: the test split and the outlier sets."""
    return [part for part in parts if part == "test" or part.startswith("outlier_")]


def _spread(usual: ndarray | tuple) -> bool:
    """Whether scores of non-members are there, finite, and not all the same."""
    return len(usual) > 1 and bool(np.isfinite(usual).all()) and np.ptp(usual) > 0

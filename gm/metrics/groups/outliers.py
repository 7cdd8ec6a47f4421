"""Outlier detection: rows of the scores of one run, and of the trivial baselines of a dataset."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy import ndarray

from gm.metrics import baselines as trivial
from gm.metrics import roc, scores
from gm.metrics.run import Arrays, Row, Run, row

METRICS = {"auroc": roc.auroc, "aupr": roc.aupr, "auprin": roc.auprin, "fpr95": roc.fpr95, "fpr95out": roc.fpr95out}
BATCHES = (2, 10, 25)

ByName = dict[str, dict[str, ndarray]]


def baselines(data: Arrays) -> ByName:
    """Trivial outlier scores of a dataset: score name -> part (`test`, `outlier_<set>`) -> `[N]`."""
    score = trivial.pixel_scores(data["x_train"])
    by_part = {part: score(data[f"x_{part}"]) for part in _judged(name.removeprefix("x_") for name in data)}
    return {name: {part: found[name] for part, found in by_part.items()} for name in by_part["test"]}


def rows(run: Run, rng: np.random.Generator) -> list[Row]:
    """Rows of every score that the run gives, and of those derived from its density, which are left in `items`."""
    given = _given(run)
    made: ByName = {}
    if "nll" in given:
        made = derived(run.data, given)
        run.items.update({f"score_{name}_{part}": score for name in made for part, score in made[name].items()})
        made |= batched(given["nll"], rng)
    return outlier_rows(given | made, aligned=run.data.get("aligned", ()))


def derived(data: Arrays, given: Mapping[str, Arrays]) -> ByName:
    """Scores of single images made from a run's own, by name and part.

    `complexity` where pixels are integers; `typicality` and `dose` (density of states) where non-members were scored.

    Arguments:
        data: the dataset's arrays.
        given: score name -> part (`test`, `nonmember`, `outlier_<set>`) -> `[N]`; `nll` is among them.
    """
    nll, out = given["nll"], {}
    parts = _judged(nll)
    if np.issubdtype(data["x_test"].dtype, np.integer):
        out["complexity"] = {part: scores.complexity(nll[part], data[f"x_{part}"]) for part in parts}
    usual = {name: found["nonmember"] for name, found in given.items() if _spread(found.get("nonmember", ()))}
    if "nll" in usual:
        out["typicality"] = {part: scores.typicality(nll[part], usual["nll"]) for part in parts}
        out["dose"] = {
            part: scores.density_of_states({name: given[name][part] for name in usual}, usual) for part in parts
        }
    return out


def batched(nll: Arrays, rng: np.random.Generator) -> ByName:
    """`typicality@M` of disjoint batches of M images, by part, where a part has two of them.

    One order serves all parts of one size, so that aligned sets stay aligned.
    """
    if not _spread(nll.get("nonmember", ())):
        return {}
    key, out = rng.random(max(map(len, nll.values()))), {}
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

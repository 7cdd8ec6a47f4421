"""From a run's arrays to the rows of the table. A metric never sees a model."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from gm.metrics import likelihood, memorisation, outliers
from gm.metrics.frechet import frechet
from gm.metrics.kernel import kid
from gm.metrics.prdc import prdc

Row = dict[str, str | float | int]
Arrays = Mapping[str, ndarray]


class Run(NamedTuple):
    """What a run left, as dictionaries of arrays; one that an external contestant lacks is empty.

    Attributes:
        data: the dataset's arrays, `x_<split>`, `x_outlier_<set>`, `levels`, `aligned` (none where it is absent).
        ruler: the real splits' features, `<net>_<split>`, each `[N, d]`.
        samples: `x`, `[n, C, H, W]`.
        scores: `lower_<part>`, `upper_<part>`, `score_<name>_<part>`, `kinds`, ...
        features: the samples' features, `<net>`, each `[n, d]`.
        nets: which nets to report.
    """

    data: Arrays
    ruler: Arrays
    samples: Arrays
    scores: Arrays
    features: Arrays
    nets: list[str]


def evaluate(
    data: Arrays,
    ruler: Arrays,
    samples: Arrays,
    scores: Arrays,
    features: Arrays,
    *,
    metrics: list[str],
    nets: list[str],
    rng: np.random.Generator,
) -> list[Row]:
    """All rows of a run for the metric groups asked for: `metric`, `value`, `se`, `n` and `kind`.

    Each group draws from its own child of `rng`, so that asking for another group moves no number. The
    reference of every distance is the test split.

    Arguments:
        data, ruler, samples, scores, features, nets: see `Run`.
        metrics: groups, names in `METRICS`.
        rng: source of the bootstrap.

    Returns:
        Rows in the order of `METRICS`; a group whose input is empty gives none.

    Raises:
        ValueError: for an unknown group or net.
    """
    known = {name.removesuffix("_test") for name in ruler if name.endswith("_test")}
    for what, asked, legal in (("metric", metrics, METRICS), ("net", nets if features else [], known)):
        if unknown := sorted(set(asked) - set(legal)):
            raise ValueError(f"unknown {what} {unknown}; expected some of {sorted(legal)}")
    run = Run(data, ruler, samples, scores, features, nets)
    children = zip(METRICS.items(), rng.spawn(len(METRICS)), strict=True)
    return [row for (name, group), child in children if name in metrics for row in group(run, child)]


def baselines(data: Arrays) -> dict[str, dict[str, ndarray]]:
    """Trivial outlier scores of a dataset: score name -> part (`test`, `outlier_<set>`) -> `[N]`."""
    parts = [name.removeprefix("x_") for name in data if name == "x_test" or name.startswith("x_outlier_")]
    by_part = {part: outliers.pixel_scores(data[f"x_{part}"], data["x_train"]) for part in parts}
    return {name: {part: by_part[part][name] for part in parts} for name in by_part["test"]}


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
                _row(f"auroc/{suffix}", outliers.auroc(inlier, outlier, aligned=part in aligned), n),
                _row(f"aupr/{suffix}", outliers.aupr(inlier, outlier, weights=weights), n),
                _row(f"fpr95/{suffix}", outliers.fpr95(inlier, outlier, weights=weights), n),
            ]
    return rows


def _likelihood(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    if not run.scores:
        return
    dim = int(np.prod(run.data["x_test"].shape[1:]))
    found = likelihood.ends(run.scores)
    bits = {end: likelihood.bits_per_dim(value, dim) for end, value in found.items()}
    # The lower end of a density is the upper end of its code length.
    named = [(f"logp_{end}", value) for end, value in found.items()]
    named += [(f"bpd_{end}", bits[other]) for end, other in (("lower", "upper"), ("upper", "lower")) if other in bits]
    for name, end in named:
        yield _row(name, (end.value, end.se), end.n, end.kind)


def _frechet(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    for net, fake, real in _pairs(run):
        yield _row(f"FD_{net}@{len(fake)}", frechet(fake, real), len(fake))


def _kernel(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    for net, fake, real in _pairs(run):
        yield _row(f"KID_{net}@{len(fake)}", kid(fake, real), len(fake))


def _prdc(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    for net, fake, real in _pairs(run):
        for name, value in prdc(real, fake).items():
            yield _row(f"{name}_{net}@{len(fake)}", value, len(fake))


def _outliers(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    by_name: dict[str, dict[str, ndarray]] = {}
    parts = ["test", *(name.removeprefix("x_") for name in run.data if name.startswith("x_outlier_"))]
    for key, score in run.scores.items():
        for part in parts:
            if key.startswith("score_") and key.endswith(f"_{part}"):
                by_name.setdefault(key.removeprefix("score_").removesuffix(f"_{part}"), {})[part] = score
    if run.scores and str(run.scores["kinds"][0]) == "none":
        by_name.pop("nll", None)
    return outlier_rows(by_name, aligned=run.data.get("aligned", ()), rng=rng)


def _memorisation(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    if not run.samples:
        return
    train = run.data["x_train"]
    distance = memorisation.nearest(run.samples["x"], train)
    held_out = memorisation.nearest(run.data["x_test"], train)
    yield _row("nn_ratio", memorisation.nn_ratio(distance, held_out), len(distance))
    yield _row("copies", memorisation.copies(distance), len(distance))
    yield _row("copies/test", memorisation.copies(held_out), len(held_out))


def _pairs(run: Run) -> list[tuple[str, ndarray, ndarray]]:
    return [(net, run.features[net], run.ruler[f"{net}_test"]) for net in run.nets] if run.features else []


def _row(metric: str, value: tuple[float, float], n: int, kind: str = "estimate") -> Row:
    return {"metric": metric, "value": value[0], "se": value[1], "n": n, "kind": kind}


METRICS: dict[str, Callable[[Run, np.random.Generator], Iterable[Row]]] = {
    "likelihood": _likelihood,
    "frechet": _frechet,
    "kernel": _kernel,
    "prdc": _prdc,
    "outliers": _outliers,
    "memorisation": _memorisation,
}

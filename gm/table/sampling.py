"""Statistics of the sampling benchmark across runs: replicates pooled over seeds, shares, comparisons, scaling laws.

A run of one seed tunes one pilot and then holds several independent replicates of everything that it measures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import bdtrc, betaincinv, fdtri, stdtrit

from gm.table.interval import NORMAL
from gm.table.paired import LOSES, OPEN, WINS
from gm.table.summary import Row

POOLED = (
    "benchmark", "dataset", "member", "model", "quantity", "budget", "value", "low", "high", "over", "n", "kind",
    "n_ok", "n_planned",
)  # fmt: skip
SCALING = ("dataset", "model", "of", "exponent", "low", "high", "theory", "cells", "left_out")
ROUNDING = 1e-9
THEORY = {"dim": 0.5, "evaluations": -0.5}
LIMIT = 5.0
ALARM = 1e-3


class Mean(NamedTuple):
    """A mean over replicates: `half` is the half width of its 95 % interval, `over` what moved it, `n` replicates."""

    value: float
    half: float
    over: str
    n: int


def pool(values: Sequence[float], errors: Sequence[float], sizes: Sequence[int]) -> Mean:
    r"""Mean over the replicates of all seeds, with a 95 % interval that widens where seeds differ.

    $$ \bar v \pm t_{0.975,\nu}\, e, \qquad e^2 = \frac1{S^2} \sum_s e_s^2, \; \nu = \sum_s (n_s - 1)
       \quad \text{or} \quad e^2 = \frac{1}{S(S - 1)} \sum_s (v_s - \bar v)^2, \; \nu = S - 1 $$

    Replicates of one seed share its pilot. They are pooled, as if all were independent, where the F ratio of the seeds
    is below the median of its law for seeds that are alike; else the seeds are the sample, and the interval is
    Student's over them. A test at 5 % would seldom see three seeds differ, and cover less than it says.

    Reference: Fisher, Statistical methods for research workers, 1925 (the analysis of variance).

    Arguments:
        values: `[S]`, the mean of each seed's replicates.
        errors: `[S]`, its standard error between them.
        sizes: `[S]`, their number.

    Returns:
        The mean; `over` is `replicates` or `seeds`. An infinite value gives an infinite mean without an interval.

    Example:
        >>> pool([1.0, 1.5], [1.0, 1.0], [8, 8]).over, pool([1.0, 20.0], [1.0, 1.0], [8, 8]).over
        ('replicates', 'seeds')
    """
    values, S, n = np.asarray(values, np.float64), len(values), int(sum(sizes))
    mean = float(values.mean())
    if not math.isfinite(mean):
        return Mean(mean, 0.0, "replicates", n)
    within, freedom = float(np.square(errors).sum()) / S**2, n - S
    between = float(values.var(ddof=1)) / S if S > 1 else 0.0
    if S > 1 and between > within * float(fdtri(S - 1, freedom, 0.5)) and between > (ROUNDING * mean) ** 2:
        return Mean(mean, float(stdtrit(S - 1, 0.975)) * math.sqrt(between), "seeds", n)
    return Mean(mean, float(stdtrit(freedom, 0.975)) * math.sqrt(within), "replicates", n)


def pooled(runs: Sequence[np.ndarray]) -> Mean:
    """`pool` of the replicates themselves, one array `[n]` a seed."""
    finite = all(np.isfinite(run).all() for run in runs)
    errors = [float(run.std(ddof=1)) / math.sqrt(len(run)) if finite else 0.0 for run in runs]
    return pool([float(run.mean()) for run in runs], errors, [len(run) for run in runs])


def raw_error(se: float, n: int) -> float:
    """The standard error behind one that was widened so that plus or minus 1.96 of it is the t interval."""
    return se * NORMAL / float(stdtrit(n - 1, 0.975))


def linear(mean: Mean) -> Row:
    """The interval mean plus or minus its half width."""
    low, high = (mean.value - mean.half, mean.value + mean.half) if math.isfinite(mean.value) else (None, None)
    return {"value": mean.value, "low": low, "high": high, "over": mean.over, "n": mean.n, "kind": "estimate"}


def positive(mean: Mean, power: float = 1.0) -> Row:
    r"""A power of a positive mean, with its interval on the scale of logarithms (the delta method).

    $$ \bar v^p \exp\big(\pm |p|\, h / \bar v\big) $$

    With p = 1/2 and squared errors, the root mean square error; with p = -1, the reciprocal. Nominally 95 %; for normal
    errors the first covers about 93 %, and less where a few replicates carry most of the error.

    Example:
        >>> row = positive(Mean(4.0, 2.0, "replicates", 24), 0.5)
        >>> row["value"], round(row["low"], 3), round(row["high"], 3)
        (2.0, 1.558, 2.568)
    """
    if mean.value <= 0 or not math.isfinite(mean.value):
        return linear(mean) | {"low": None, "high": None, "value": 0.0 if mean.value <= 0 else mean.value**power}
    value, factor = mean.value**power, math.exp(min(abs(power) * mean.half / mean.value, 700.0))
    return linear(mean) | {"value": value, "low": value / factor, "high": value * factor}


def share(hits: int, n: int) -> Row:
    r"""A share k/n with the 95 % interval that inverts the binomial test; of independent trials, at least 95 %.

    Reference: Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial,
    1934.

    Example:
        >>> row = share(24, 24)
        >>> row["value"], round(row["low"], 4), row["high"]
        (1.0, 0.8575, 1.0)
    """
    low = float(betaincinv(hits, n - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return {"value": hits / n, "low": low, "high": high, "over": "replicates", "n": n, "kind": "count"}


def covered(lower: np.ndarray, upper: np.ndarray, log_z: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether the lower and the upper ends hold the truth, up to rounding."""
    slack = ROUNDING * max(1.0, abs(log_z))
    return lower <= log_z + slack, log_z - slack <= upper


def estimates(runs: Sequence[Mapping[str, np.ndarray]], centre: float, *, truth: bool = True) -> dict[str, Row]:
    """What the replicates of one sampler at one budget say of log Z, pooled over seeds.

    Arguments:
        runs: per seed `lower`, `upper`, `point`, `evals`, `alpha`, each `[groups]`, and `kinds` `[groups, 2]`.
        centre: log Z in nats, or where none is known any number to read the ends from.
        truth: whether `centre` is log Z.

    Returns:
        Rows by quantity: `width`, `evals`, `spread` (standard deviation between replicates of a seed, nats), `error`,
        `lower_error`, `upper_error` (of the point and the mean ends, signed); with a truth also `rmse`, `cover`, and,
        where ends are certified, `certified_lower`, `certified_upper`: shares that hold. A share's `level` is the one
        promised: 1 - alpha of a certified end, and of an interval `promised`.
    """
    kinds = [weakest_end(np.concatenate([run["kinds"][:, side] for run in runs])) for side in (0, 1)]
    found = {
        "width": linear(pooled([run["upper"] - run["lower"] for run in runs])) | {"kind": "/".join(kinds)},
        "evals": linear(pooled([run["evals"].astype(np.float64) for run in runs])) | {"kind": "count"},
        "spread": positive(pooled([_squares(run["point"]) for run in runs]), 0.5),
        "error": linear(pooled([run["point"] - centre for run in runs])),
        "lower_error": linear(pooled([run["lower"] - centre for run in runs])) | {"kind": kinds[0]},
        "upper_error": linear(pooled([run["upper"] - centre for run in runs])) | {"kind": kinds[1]},
    }
    if not truth:
        return found
    found["rmse"] = positive(pooled([np.square(run["point"] - centre) for run in runs]), 0.5)
    hold = [np.concatenate(ends) for ends in zip(*(covered(r["lower"], r["upper"], centre) for r in runs), strict=True)]
    level = float(np.concatenate([promised(run["kinds"], run["alpha"]) for run in runs]).mean())
    found["cover"] = share(int((hold[0] & hold[1]).sum()), len(hold[0])) | {"kind": "/".join(kinds), "level": level}
    for side, name in enumerate(("certified_lower", "certified_upper")):
        ours = np.concatenate([run["kinds"][:, side] for run in runs]) == "certified"
        if ours.any():
            level = 1 - float(np.concatenate([run["alpha"] for run in runs])[ours].mean())
            found[name] = share(int(hold[side][ours].sum()), int(ours.sum())) | {"kind": "certified", "level": level}
    return found


def promised(kinds: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The level of each interval `[groups]`: a certified end may fail with alpha, a heuristic one claims alpha / 2.

    Example:
        >>> kinds = np.array([("certified", "certified"), ("certified", "heuristic"), ("heuristic", "heuristic")])
        >>> promised(kinds, np.full(3, 0.05)).round(3).tolist()
        [0.9, 0.925, 0.95]
    """
    return 1 - alpha * ((kinds == "certified") + 0.5 * (kinds == "heuristic")).sum(1)


def _squares(x: np.ndarray) -> np.ndarray:
    """Squares whose mean is the unbiased variance."""
    return np.square(x - x.mean()) * (len(x) / (len(x) - 1))


def weakest_end(kinds: Iterable[str]) -> str:
    """The weakest kind among those of one end over replicates."""
    order = ("exact", "certified", "heuristic", "none")
    return max(map(str, kinds), key=order.index)


def against(row: Mapping, other: Mapping, *, logs: bool = False) -> tuple[float, float, float, str]:
    r"""How much lower a quantity is than a reference's, from two intervals; lower is better.

    $$ \Delta = b - a, \qquad \Big[\Delta - \sqrt{(b - l_b)^2 + (u_a - a)^2},\;
       \Delta + \sqrt{(u_b - b)^2 + (a - l_a)^2}\Big] $$

    on the scale of logarithms with `logs`. For independent samples; conservative where they move together.

    Reference: Zou and Donner, Construction of confidence limits about effect measures: a general approach, 2008.

    Returns:
        The difference, its 95 % interval, and the verdict.

    Example:
        >>> mine, theirs = {"value": 1.0, "low": 0.25, "high": 1.75}, {"value": 1.5, "low": 0.5, "high": 2.5}
        >>> against(mine, theirs)
        (0.5, -0.75, 1.75, 'not distinguishable')
    """
    scale = math.log if logs else float
    (a, a_low, a_high), (b, b_low, b_high) = ([scale(r[k]) for k in ("value", "low", "high")] for r in (row, other))
    low, high = b - a - math.hypot(b - b_low, a_high - a), b - a + math.hypot(b_high - b, a - a_low)
    return b - a, low, high, WINS if low > 0 else LOSES if high < 0 else OPEN


def ceiling(mode_weights: np.ndarray | None) -> float:
    """Above which error a cell is no longer in the regime of small variance: 1 nat, or what the least mode weighs."""
    least = 1.0 if mode_weights is None else float(mode_weights[mode_weights > 0].min())
    return min(1.0, -math.log1p(-least)) if least < 1 else 1.0


def scaling(cells: Iterable[Mapping], regressors: Sequence[str]) -> list[Row]:
    r"""Exponents of the error of log Z by least squares on logarithms, with an intercept for each level.

    $$ \log \mathrm{rmse} = c_{\rm level} + \sum_k a_k \log x_k $$

    For annealing without resampling and with perfect moves, the variance of a log weight goes as d / T in T steps, so
    the error as $(d / T)^{1/2}$: 1/2 in the dimension and -1/2 in the evaluations, where the error is small.

    Reference: Neal, Annealed importance sampling, 2001.

    Arguments:
        cells: per cell `level`, `rmse` (a row), `ceiling`, and each regressor. A cell whose interval reaches the
            ceiling, or whose error is 0, is left out and counted; that a cell is left out by its own error biases
            exponents towards 0.
        regressors: names, such as `dim` and `evaluations`.

    Returns:
        Per regressor `of`, `exponent`, `low`, `high` (Student's 95 %), `theory`, `cells`, `left_out`; no exponent
        where fewer than two degrees of freedom are left, or the cells do not tell the regressors apart.
    """
    cells = list(cells)
    kept = [c for c in cells if c["rmse"]["high"] is not None and ROUNDING < c["rmse"]["high"] < c["ceiling"]]
    levels = sorted({str(c["level"]) for c in kept})
    out = [
        {"of": k, "theory": THEORY.get(k), "cells": len(kept), "left_out": len(cells) - len(kept)} for k in regressors
    ]
    freedom = len(kept) - len(levels) - len(regressors)
    if freedom < 2:
        return out
    y = np.log([c["rmse"]["value"] for c in kept])
    x = np.array([[math.log(c[k]) for k in regressors] + [str(c["level"]) == v for v in levels] for c in kept], float)
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return out
    beta, *_ = np.linalg.lstsq(x, y, rcond=None)
    variance = float(np.square(y - x @ beta).sum()) / freedom
    errors = float(stdtrit(freedom, 0.975)) * np.sqrt(variance * np.linalg.inv(x.T @ x).diagonal())
    for row, b, e in zip(out, beta, errors, strict=False):
        row |= {"exponent": float(b), "low": float(b - e), "high": float(b + e)}
    return out


def within_null(row: Mapping, law: tuple[float, float, float], sets: int) -> bool:
    """Whether a mean over `n` replicates of exact draws is where the law of `sets` sets has it, by `LIMIT` errors.

    Example:
        >>> within_null({"value": 1.2, "n": 24}, (1.0, 0.3, 1.6), 200)
        True
    """
    return abs(row["value"] - law[0]) <= LIMIT * law[1] * math.sqrt(1 / row["n"] + 1 / sets)


def fails_too_often(hits: int, n: int, alpha: float, tests: int) -> bool:
    """Whether more of `n` ends fail than a failure probability allows: binomial tail below `ALARM / tests`.

    Example:
        >>> fails_too_often(95, 100, 0.05, 1), fails_too_often(80, 100, 0.05, 1)
        (False, True)
    """
    return n > hits and float(bdtrc(n - hits - 1, n, alpha)) < ALARM / tests

"""Paired differences: two contestants on the same test items, and what may be said of them.

A difference is always an *advantage*: positive when the model is better than the reference. It is an interval
from `lower` to `upper`, because likelihoods are intervals; where both are points, its ends coincide.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gm.table.interval import across
from gm.table.summary import Row, weakest

PAIRED = (
    "benchmark", "dataset", "quantity", "model", "reference", "seed", "lower", "lower_se", "upper",
    "upper_se", "low", "high", "kind_lower", "kind_upper", "n", "n_ok", "n_planned", "verdict",
)  # fmt: skip
WINS, LOSES, OPEN, NOTHING = "wins", "loses", "not distinguishable", "no result"


def interval(ends: Mapping[str, tuple[float, float, int, str]]) -> Row:
    """An advantage from the ends that exist; the others are infinite, of kind `none`.

    Arguments:
        ends: `lower` and `upper`, each `(value, standard error, n, kind)`.

    Example:
        >>> row = interval({"lower": (1.0, 0.5, 250, "certified")})
        >>> row["lower"], row["upper"], row["kind_upper"], row["n"]
        (1.0, inf, 'none', 250)
    """
    row: Row = {"n": max((end[2] for end in ends.values()), default=0)}
    for side, sign in (("lower", -1), ("upper", 1)):
        value, error, _, kind = ends.get(side, (sign * math.inf, 0.0, 0, "none"))
        row |= {side: value, f"{side}_se": error if math.isfinite(value) else 0.0, f"kind_{side}": kind}
    return row


def point(value: float, error: float, n: int) -> Row:
    """An advantage whose two ends coincide."""
    end = (value, error, n, "estimate")
    return interval({"lower": end, "upper": end})


def likelihood(model: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], part: str = "test") -> Row:
    r"""The advantage in log-likelihood per image, paired by image, with no favourable end picked.

    $$ \underline\Delta = \frac1N \sum_i \underline{\log p}_A(y_i) - \overline{\log p}_B(y_i), \qquad
       \overline\Delta = \frac1N \sum_i \overline{\log p}_A(y_i) - \underline{\log p}_B(y_i) $$

    The error of each is that of the mean over images and, in quadrature, of both models' shared constants. A
    certified end whose slack belongs to a sum over independent rows gives up `slack / N`.

    Arguments:
        model: arrays of one run: `lower_<part>`, `upper_<part>` `[N]` in nats, `kinds` `[2]`, `shared_se`, `slack`.
        reference: the same of the run to compare with.
        part: which rows.

    An end from two certified ones fails with at most the sum of their probabilities.

    Returns:
        As `interval`, in nats per image.

    Raises:
        ValueError: if the two do not score the same number of images.
    """
    shared = math.hypot(*(float(side.get("shared_se", 0.0)) for side in (model, reference)))
    ends = {}
    for side, (ours, theirs), sign in (("lower", (0, 1), -1), ("upper", (1, 0), 1)):
        names = ("lower", "upper")
        first, second = model[f"{names[ours]}_{part}"], reference[f"{names[theirs]}_{part}"]
        if len(first) != len(second):
            raise ValueError(f"found {len(first)} and {len(second)} scores of '{part}'; expected the same images")
        kinds = str(model["kinds"][ours]), str(reference["kinds"][theirs])
        if "none" not in kinds:
            slack = sum(
                float(arrays.get("slack", 0.0))
                for arrays, kind in zip((model, reference), kinds, strict=True)
                if kind == "certified"
            )
            error = float(np.std(first - second, ddof=1)) / math.sqrt(len(first))
            value = float(np.mean(first - second)) + sign * slack / len(first)
            ends[side] = (value, math.hypot(error, shared), len(first), weakest(kinds))
    return interval(ends)


def fold(rows: Iterable[Row], planned: int) -> list[Row]:
    """The rows of the seeds, each with a 95 % interval over items, and a last one over seeds with the verdict.

    `wins` when the 95 % interval of the lower end lies above 0, `loses` when that of the upper end lies below:
    the end against the claim decides, never the middle. `lower_se` and `upper_se` are standard errors, over seeds
    and the shared items in quadrature; `low` and `high` lie further out than 1.96 of them, by Student's t.

    Arguments:
        rows: one row per seed, all of one quantity, model and reference; at least one.
        planned: how many seeds were planned.

    Returns:
        Rows with columns `PAIRED`, the last with `seed = "all"`.

    Example:
        >>> seeds = [{"seed": s, **point(1.0 + s, 0.1, 250)} for s in (0, 1, 2)]
        >>> final = fold(seeds, 3)[-1]
        >>> final["lower"], round(final["low"], 2), final["verdict"]
        (2.0, -0.49, 'not distinguishable')
    """
    rows = list(rows)
    kinds = {end: weakest(str(row[end]) for row in rows) for end in ("kind_lower", "kind_upper")}
    final = rows[0] | kinds | _ends(rows) | {"seed": "all", "n_ok": len(rows), "n_planned": planned}
    final["verdict"] = WINS if final["low"] > 0 else LOSES if final["high"] < 0 else OPEN
    return [row | _ends([row]) | {"n_ok": 1, "n_planned": 1, "verdict": ""} for row in rows] + [final]


def nothing(key: Row, planned: int) -> Row:
    """The row of a comparison that no seed could make."""
    empty = dict.fromkeys(PAIRED[6:12]) | dict.fromkeys(("kind_lower", "kind_upper"), "none")
    return key | empty | {"seed": "all", "n": 0, "n_ok": 0, "n_planned": planned, "verdict": NOTHING}


def _ends(rows: list[Row]) -> Row:
    lowers, uppers = ([(row[side], row[f"{side}_se"]) for row in rows] for side in ("lower", "upper"))
    lower, below = across(*zip(*lowers, strict=True))
    upper, above = across(*zip(*uppers, strict=True))
    errors = {"lower_se": _error(*zip(*lowers, strict=True)), "upper_se": _error(*zip(*uppers, strict=True))}
    return {"lower": lower, "upper": upper, "low": lower - below, "high": upper + above} | errors


def _error(values: Sequence[float], errors: Sequence[float]) -> float:
    """Standard error of a mean over seeds that share their items; 0 where the mean is infinite, as its half width."""
    if not all(map(math.isfinite, values)):
        return 0.0
    spread = float(np.std(values, ddof=1)) if min(values) < max(values) else 0.0
    return math.hypot(spread / math.sqrt(len(values)), float(np.mean(errors)))


def lower_is_better(rows: Iterable[Row], key: Row, planned: int) -> list[Row]:
    """By how much a metric of which less is better is lower for a model than for its reference, paired by seed.

    The two rows' standard errors are added in quadrature, which is conservative: both distances are to the same test
    split, whose share in their errors would largely cancel in the difference.

    Arguments:
        rows: rows of the table.
        key: `benchmark`, `dataset`, `quantity` (the metric), `model`, `reference`.
        planned: how many seeds were planned.

    Returns:
        As `fold`.
    """
    found: dict[tuple, Row] = {}
    for row in rows:
        if (row["dataset"], row["metric"], row["status"]) == (key["dataset"], key["quantity"], "ok"):
            found[row["model"], row["seed"]] = row
    pairs = []
    for (name, seed), row in found.items():
        other = found.get((key["reference"], seed))
        if name == key["model"] and other is not None:
            error = math.hypot(*(float(side["se"] or 0) for side in (row, other)))
            pairs.append(key | {"seed": seed} | point(float(other["value"]) - float(row["value"]), error, row["n"]))
    return fold(pairs, planned) if pairs else [nothing(key, planned)]

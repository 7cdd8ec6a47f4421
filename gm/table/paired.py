"""Paired differences: two contestants on the same test items, and what may be said of them.

A difference is always an *advantage*: positive when the model is better than the reference. It is an interval
from `lower` to `upper`, because likelihoods are intervals; where both are points, its ends coincide.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from gm.table.interval import LEVEL, across, p_value, standard_error
from gm.table.summary import Row, weakest

PAIRED = (
    "benchmark", "dataset", "quantity", "model", "reference", "seed", "lower", "lower_se", "upper",
    "upper_se", "low", "high", "kind_lower", "kind_upper", "n", "n_ok", "n_planned", "p", "p_holm", "verdict",
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

    `wins` when the lower end is above 0 with a two-sided `p` of at most 5 %, `loses` when the upper end is below: the
    end against the claim decides, never the middle. It is the verdict of a comparison that stands alone; `adjust` gives
    that of one among many. `lower_se` and `upper_se` are standard errors, over seeds and the shared items in
    quadrature; `low` and `high` lie further out than 1.96 of them, by Student's t (`gm.table.interval.across`).

    Arguments:
        rows: one row per seed, all of one quantity, model and reference; at least one.
        planned: how many seeds were planned.

    Returns:
        Rows with columns `PAIRED`, the last with `seed = "all"`.

    Example:
        >>> seeds = [{"seed": s, **point(1.0 + s, 0.1, 250)} for s in (0, 1, 2)]
        >>> final = fold(seeds, 3)[-1]
        >>> final["lower"], round(final["low"], 2), final["verdict"]
        (2.0, -0.46, 'not distinguishable')
    """
    rows = list(rows)
    kinds = {end: weakest(str(row[end]) for row in rows) for end in ("kind_lower", "kind_upper")}
    final = rows[0] | kinds | _ends(rows) | {"seed": "all", "n_ok": len(rows), "n_planned": planned}
    side = _side(final)
    p = p_value([row[side] for row in rows], [row[f"{side}_se"] for row in rows]) if side else 1.0
    final |= {"p": p, "p_holm": p, "verdict": _verdict(final, p)}
    blank = {"n_ok": 1, "n_planned": 1, "p": None, "p_holm": None, "verdict": ""}
    return [row | _ends([row]) | blank for row in rows] + [final]


def adjust(rows: Iterable[Row]) -> list[Row]:
    """The same rows, with `p_holm` and the verdict of each comparison as one of its family.

    A family is what a reader looks through at once: all comparisons of one quantity on one dataset, whoever is
    compared. In a family where no model differs from its reference, the chance that any verdict is not
    `not distinguishable` is at most 5 %; the intervals stay those of single comparisons.

    Arguments:
        rows: rows of `fold` and `nothing`, of all comparisons of all families.

    Returns:
        As many, in the same order.

    Example:
        >>> key = {"dataset": "d", "quantity": "x"}
        >>> rows = [fold([key | {"seed": 0} | point(value, 1.0, 9)], 1)[-1] for value in (2.1, 9.0)]
        >>> [(round(row["p_holm"], 3), row["verdict"]) for row in adjust(rows + rows[:1])]
        [(0.071, 'not distinguishable'), (0.0, 'wins'), (0.071, 'not distinguishable')]
    """
    rows = list(rows)
    families: dict[tuple, list[int]] = {}
    for index, row in enumerate(rows):
        if row["p"] is not None:
            families.setdefault((row["dataset"], row["quantity"]), []).append(index)
    for family in families.values():
        for index, p in zip(family, holm([rows[index]["p"] for index in family]), strict=True):
            rows[index] = rows[index] | {"p_holm": p, "verdict": _verdict(rows[index], p)}
    return rows


def holm(p: Sequence[float]) -> list[float]:
    r"""P-values adjusted for their number: at most 5 % of families hold a false rejection, whatever their dependence.

    $$ \tilde p_{(k)} = \max_{j \le k} \min\big(1, (m - j + 1)\, p_{(j)}\big) $$

    Reference: Holm, A simple sequentially rejective multiple test procedure, 1979.

    Arguments:
        p: `[m]`, p-values of a family.

    Returns:
        `[m]`, to be compared with the level that the family is to have.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1)
    return out.tolist()


def _side(row: Row) -> str:
    """The end that a verdict on a row rests on; none where the ends have different signs."""
    return "lower" if row["lower"] > 0 else "upper" if row["upper"] < 0 else ""


def _verdict(row: Row, p: float) -> str:
    return {"lower": WINS, "upper": LOSES}.get(_side(row), OPEN) if p <= 1 - LEVEL else OPEN


def nothing(key: Row, planned: int) -> Row:
    """The row of a comparison that no seed could make."""
    empty = dict.fromkeys(PAIRED[6:12]) | dict.fromkeys(("kind_lower", "kind_upper"), "none")
    return (
        key
        | empty
        | {"seed": "all", "n": 0, "n_ok": 0, "n_planned": planned, "verdict": NOTHING}
        | dict.fromkeys(("p", "p_holm"))
    )


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
    return math.hypot(standard_error(values), float(np.mean(errors)))


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

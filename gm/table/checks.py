"""What the controls say of the ruler, and the paired rows in plain sentences."""

import math
from collections.abc import Iterable, Mapping

from gm.table.paired import LOSES, NOTHING, OPEN, WINS
from gm.table.summary import Row

CHECKS = ("dataset", "level", "subject", "text")
FRESH, COPY = "resample", "memoriser"
DISTANCES = ("FD_", "KID_")

Summary = Mapping[tuple[str, str, str], Row]


def closest(summary: Summary, dataset: str, models: Iterable[str], metric: str) -> str | None:
    """The model whose mean over seeds is lowest, the two controls that are real images left out."""
    means = {
        model: summary[dataset, model, metric]["mean"]
        for model in models
        if model not in (FRESH, COPY) and (dataset, model, metric) in summary
    }
    return min(means, key=means.get) if means else None


def controls(dataset: str, models: Mapping[str, Mapping], summary: Summary, floor: Iterable[Row]) -> list[Row]:
    """Are the controls where they must be? If not, the ruler is bent, and no other row can be trusted.

    Arguments:
        dataset: which one.
        models: planned models in display order, each with its `family`.
        summary: rows of the summary by `(dataset, model, metric)`.
        floor: the rows over seeds (`seed = "all"`) of the best model against `resample` on each distance.

    Returns:
        Rows with `CHECKS`; `level` is `ok`, `note` or `alarm`.
    """
    out: list[tuple[str, str, str]] = []
    for model, about in models.items():
        run = summary.get((dataset, model, "run"))
        if about["family"] == "control" and run and run["n_ok"] < run["n_planned"]:
            lost = run["n_planned"] - run["n_ok"]
            out.append(("alarm", model, f"{lost} of {run['n_planned']} runs of this control failed"))
    out += _floor(floor, models)
    if COPY in models:
        out += _copies(dataset, models, summary)
    return [{"dataset": dataset, "level": level, "subject": who, "text": text} for level, who, text in out]


def _floor(floor: Iterable[Row], models: Mapping[str, Mapping]) -> Iterable[tuple[str, str, str]]:
    floor = list(floor)
    if FRESH in models and not floor:
        yield "alarm", FRESH, "no distance could be compared with fresh real images, so fidelity has no floor"
    for row in floor:
        metric, model = row["quantity"], row["model"]
        span = f"difference {row['lower']:.3g}, 95 % interval [{row['low']:.3g}, {row['high']:.3g}]"
        if row["verdict"] == WINS:
            text = f"{model} scores better than fresh real images on {metric} ({span}): the ruler is bent"
            yield "alarm", FRESH, text
        else:
            relation = "worse than" if row["verdict"] == LOSES else "not distinguishable from"
            yield (
                "ok",
                FRESH,
                f"on {metric} the best model, {model}, is {relation} fresh real images ({span})",
            )


def _copies(dataset: str, models: Mapping, summary: Summary) -> Iterable[tuple[str, str, str]]:
    def ends(model: str, metric: str) -> tuple[float, float, float] | None:
        row = summary.get((dataset, model, metric))
        if row is None:
            return None
        half = 1.96 * (row["se_items"] or 0.0)
        return row["mean"] - half, row["mean"], row["mean"] + half

    ratio, copies = ends(COPY, "nn_ratio"), ends(COPY, "copies")
    fresh_ratio, fresh_copies = ends(FRESH, "nn_ratio"), ends(FRESH, "copies")
    near = bool(ratio and fresh_ratio and ratio[2] < fresh_ratio[0])
    many = bool(copies and fresh_copies and copies[0] > fresh_copies[2])
    told = (("nn_ratio", ratio, fresh_ratio), ("copies", copies, fresh_copies))
    against = "{} {:.3g} against {:.3g} for fresh images"
    shown = ", ".join(against.format(name, own[1], new[1]) for name, own, new in told if own and new)
    if near or many:
        yield "ok", COPY, f"the replay of training images is caught: {shown}"
    else:
        yield "alarm", COPY, f"the replay of training images is not caught ({shown or 'no row to tell'})"
    if fresh_ratio:
        close = [
            model
            for model in models
            if model not in (FRESH, COPY) and (own := ends(model, "nn_ratio")) and own[2] < fresh_ratio[0]
        ]
        if close:
            text = "samples lie nearer to training images than fresh images do; look at the sample grid"
            yield "note", ", ".join(close), text


def sentence(row: Row) -> str:
    """A row over seeds in words: the verdict, the end that decided it, and on how much it rests.

    Example:
        >>> row = {"model": "a", "reference": "b", "quantity": "logp", "verdict": "wins", "lower": 2.0, "upper": 3.0,
        ...        "low": 1.5, "high": 3.5, "kind_lower": "exact", "kind_upper": "heuristic", "n": 250, "n_ok": 3,
        ...        "n_planned": 3}
        >>> sentence(row)
        'a wins against b: least advantage +2.00 nats per image, above +1.50 at 95 % (exact end; 250 items, 3/3 seeds)'
    """
    unit = " nats per image" if row["quantity"] == "logp" else f" {row['quantity'].split('/')[0].upper()}"
    against = f"{row['model']} {{}} {row['reference']}"
    rests = f"{row['n']} items, {row['n_ok']}/{row['n_planned']} seeds"
    if row["verdict"] == NOTHING:
        return f"{against.format('cannot be compared with')}: {row['n_ok']}/{row['n_planned']} seeds"
    if row["verdict"] == WINS:
        claim = f"least advantage {row['lower']:+.2f}{unit}, above {row['low']:+.2f} at 95 %"
        return f"{against.format('wins against')}: {claim} ({row['kind_lower']} end; {rests})"
    if row["verdict"] == LOSES:
        claim = f"greatest advantage {row['upper']:+.2f}{unit}, below {row['high']:+.2f} at 95 %"
        return f"{against.format('loses against')}: {claim} ({row['kind_upper']} end; {rests})"
    span = f"{signed(row['low'])} to {signed(row['high'])}{unit}"
    kinds = f"{row['kind_lower']} lower, {row['kind_upper']} upper end".replace("none upper", "no upper")
    return f"{against.format('is ' + OPEN + ' from')}: 95 % interval {span} ({kinds}; {rests})"


def signed(value: float) -> str:
    """A number with its sign; an end that does not exist is said to be unbounded.

    Example:
        >>> signed(1.234), signed(math.inf)
        ('+1.23', 'unbounded')
    """
    return f"{value:+.2f}" if math.isfinite(value) else "unbounded"

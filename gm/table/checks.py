"""What the controls say of the ruler, and the paired rows in plain sentences."""

import math
from collections.abc import Iterable, Mapping

from gm.table.interval import LEVEL, NORMAL, p_of
from gm.table.paired import LOSES, NOTHING, OPEN, WINS, holm
from gm.table.summary import Row

CHECKS = ("dataset", "level", "subject", "text")
FRESH, COPY = "resample", "memoriser"
# By measure of memorisation, whether copies raise it or lower it.
MEMORISATION = {"nn_ratio": -1, "copies": 1, "duplicates": 1, "dcr_share": 1, "c_t": -1, "authenticity": -1}
KNOWN = {"dcr_share": (0.5, 0.5, 0.5)}  # what fresh images have, without an error

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

    Fresh real images must not be told from others by any membership attack (Holm over attacks), nor lie nearer to
    training images than to held-out ones; every measure of memorisation must tell their replay from them.

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
    if FRESH in models:
        out += _half(dataset, summary)
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
        span += f", p = {row['p_holm']:.2g}"
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
        half = NORMAL * (row["se_items"] or 0.0)
        return row["mean"] - half, row["mean"], row["mean"] + half

    told = [(metric, sign, own, new) for metric, sign in MEMORISATION.items()
            if (own := ends(COPY, metric)) and (new := KNOWN.get(metric) or ends(FRESH, metric))]  # fmt: skip
    if not told and any(metric.startswith(tuple(MEMORISATION)) for _, _, metric in summary):
        yield "alarm", COPY, "the replay of training images is not caught (no row to tell)"
    for metric, sign, own, new in told:
        caught = own[2] < new[0] if sign < 0 else own[0] > new[2]
        shown = f"{metric} {own[1]:.3g} against {new[1]:.3g} for fresh images"
        yield (
            "ok" if caught else "alarm",
            COPY,
            f"the replay of training images is {'caught' if caught else 'not caught'} by {shown}",
        )
    if fresh := ends(FRESH, "nn_ratio"):
        close = [
            model
            for model in models
            if model not in (FRESH, COPY) and (own := ends(model, "nn_ratio")) and own[2] < fresh[0]
        ]
        if close:
            text = "samples lie nearer to training images than fresh images do; look at the sample grid"
            yield "note", ", ".join(close), text


def _half(dataset: str, summary: Summary) -> Iterable[tuple[str, str, str]]:
    """What is one half for images that have nothing to do with the training images: is it, for the fresh ones?"""
    attacks = [metric for where, model, metric in summary if (where, model) == (dataset, FRESH)]
    attacks = [metric for metric in attacks if metric.startswith("mia_auc/")]
    for family in (attacks, ["dcr_share"]):
        rows = {metric: row for metric in family if (row := summary.get((dataset, FRESH, metric))) is not None}
        rows = {metric: row for metric, row in rows.items() if row["half_total"]}
        raw = [p_of(row["mean"] - 0.5, row["se"] or 0.0, row["n_ok"], row["se_items"]) for row in rows.values()]
        for (metric, row), p in zip(rows.items(), holm(raw), strict=True):
            found = f"{metric} of fresh real images is {row['mean']:.3f} ± {row['half_total']:.3f}"
            among = f", p = {p:.2g}" + (f" among {len(rows)} (Holm)" if len(rows) > 1 else "")
            if p < 1 - LEVEL:
                yield "alarm", FRESH, f"{found}, which is not 0.5{among}: the ruler is bent"
            else:
                yield "ok", FRESH, f"{found}, not distinguishable from 0.5{among}"


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

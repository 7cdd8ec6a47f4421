"""Pooled numbers of the sampling benchmark in the shape that a figure or a table of the page reads them."""

from collections.abc import Iterable, Mapping

import numpy as np

from gm.table import sampling
from gm.table.paired import PAIRED
from gm.table.summary import Row, number

EXACT = "exact"
DRAWS = ("b2_mean", "b2_worst", "ess", "ess_per_gradient", "mode_tv", "mmd", "sliced_w2")
RECIPROCAL = ("ess", "ess_per_gradient")
COMPARED = ("b2_mean", "mode_tv", "mmd", "sliced_w2")

Place = tuple[str, str, str]
Pools = Mapping[Place, Mapping[str, Row]]


def exact_of(models: Mapping[str, Mapping], pools: Pools, dataset: str, member: str) -> str | None:
    """The exact sampler of a target: the planned control that has that word in its name."""
    found = (name for name, about in models.items() if about["family"] == "control" and EXACT in name)
    return next((name for name in found if (dataset, member, name) in pools), None)


def draws(table: Iterable[Mapping]) -> dict[Place, dict[str, Row]]:
    """Errors of draws and counted evaluations by `(dataset, member, model)`, pooled over the seeds that ran.

    A reciprocal (an effective size) is pooled as what it is the reciprocal of, an error.
    """
    found: dict[Place, dict[str, list[tuple[float, float, int]]]] = {}
    for row in table:
        name, _, member = str(row["metric"]).partition("/")
        if name == "evals":
            stage, _, rest = member.partition("/")
            name, member = f"evals/{stage}", rest.partition("/")[2]
            if stage == "score":
                continue
        elif name not in DRAWS:
            continue
        value, n = number(row.get("value")), int(float(row["n"] or 0))
        if row["status"] == "ok" and value is not None:
            error = sampling.raw_error(number(row["se"]) or 0.0, n) if n > 1 else 0.0
            if name in RECIPROCAL:
                value, error = 1 / value, error / value**2
            place = (str(row["dataset"]), member, str(row["model"]))
            found.setdefault(place, {}).setdefault(name, []).append((value, error, n))
    return {place: {name: _pool(name, rows) for name, rows in names.items()} for place, names in found.items()}


def _pool(name: str, rows: list[tuple[float, float, int]]) -> Row:
    values, errors, sizes = zip(*rows, strict=True)
    if name.startswith("evals/"):
        mean = sampling.Mean(float(np.mean(values)), 0.0, "seeds", len(values))
        return sampling.linear(mean) | {"low": None, "high": None, "kind": "count", "n_ok": len(values)}
    power = -1.0 if name in RECIPROCAL else 1.0
    return sampling.positive(sampling.pool(values, errors, sizes), power) | {"n_ok": len(values)}


def comparisons(pools: Pools, models: Mapping, budget: int, benchmark: str, planned: Mapping) -> list[Row]:
    """Every sampler against the exact control, as if the two were independent; log ratios of errors.

    Samplers of one seed share random streams, and an exact control by annealing shares pilot and forward runs with its
    twin: where two move together, the interval of their ratio is wider than it need be.
    """
    out = []
    for (dataset, member, model), rows in pools.items():
        exact = exact_of(models, pools, dataset, member)
        reference = pools.get((dataset, member, exact), {}) if model != exact else {}
        for quantity in (f"rmse/{budget}", *COMPARED):
            ours, theirs = rows.get(quantity), reference.get(quantity)
            if ours and theirs and all(row["low"] is not None and row["value"] > 0 for row in (ours, theirs)):
                value, low, high, verdict = sampling.against(ours, theirs, logs=True)
                name = f"log {quantity}/{member}" if member else f"log {quantity}"
                row = dict.fromkeys(PAIRED) | {"benchmark": benchmark, "dataset": dataset, "quantity": name}
                row |= {"model": model, "reference": exact, "seed": "all", "lower": value, "upper": value}
                row |= {"low": low, "high": high, "kind_lower": "estimate", "kind_upper": "estimate", "n": ours["n"]}
                row |= {"n_ok": ours["n_ok"], "n_planned": planned[dataset, model], "verdict": verdict}
                out.append(row)
    return out


def flat(pools: Pools, benchmark: str, planned: Mapping[tuple[str, str], int]) -> list[Row]:
    """All pooled numbers as rows with `POOLED`."""
    out = []
    for (dataset, member, model), rows in pools.items():
        for key, row in rows.items():
            name, _, budget = key.partition("/")
            if name == "evals" and not budget.isdigit():
                name, budget = key, ""
            place = {"benchmark": benchmark, "dataset": dataset, "member": member, "model": model}
            out.append(place | {"quantity": name, "budget": budget, "n_planned": planned[dataset, model]} | row)
    return out


def totals(pools: Pools, budget: int, model: str, names: Iterable[str]) -> dict[str, Row]:
    """Shares of one sampler added up over targets and members, at one budget, and the mean `level` they promise.

    Trials are counted as if independent, though replicates of one seed share a pilot, and targets random streams.
    """
    out = {}
    for name in names:
        rows = [
            found[f"{name}/{budget}"]
            for (_, _, m), found in pools.items()
            if m == model and f"{name}/{budget}" in found
        ]
        if rows:
            n = sum(row["n"] for row in rows)
            level = sum(row["level"] * row["n"] for row in rows) / n
            out[name] = sampling.share(sum(round(row["value"] * row["n"]) for row in rows), n) | {"level": level}
    return out


def spread_of(pools: Pools, model: str, key: str) -> Row | None:
    """The median of a quantity over targets and members, its quartiles, and all its values."""
    values = [rows[key]["value"] for (_, _, m), rows in pools.items() if m == model and key in rows]
    if not values:
        return None
    low, middle, high = (float(v) for v in np.quantile(values, (0.25, 0.5, 0.75), method="inverted_cdf"))
    ends = {"low": low, "high": high} if np.isfinite(high) else {"low": None, "high": None}
    return {"value": middle, "all": values, "n": len(values)} | ends


def scaled(pools: Pools, dataset: str, family: Mapping, model: str, budgets: Iterable[int], tops: Mapping) -> list[Row]:
    """Exponents of a sampler's error over a family that varies the dimension; none where it does not."""
    vary = family["vary"]
    if "dim" not in vary:
        return []
    cells = []
    for member in family["members"]:
        given = dict(part.split("=", 1) for part in member.split(","))
        for budget in budgets:
            rows = pools.get((dataset, member, model), {})
            if f"rmse/{budget}" in rows and rows[f"evals/{budget}"]["value"] > 0:
                level = ",".join(value for name, value in given.items() if name != "dim")
                cell = {"level": level, "dim": float(given["dim"]), "evaluations": rows[f"evals/{budget}"]["value"]}
                cells.append(cell | {"rmse": rows[f"rmse/{budget}"], "ceiling": tops[member]})
    key = {"dataset": dataset, "model": model}
    return [key | row for row in sampling.scaling(cells, ("dim", "evaluations"))] if cells else []


def sampled_checks(
    pools: Pools, models: Mapping[str, Mapping], laws: Mapping, budgets: Iterable[int], runs: Mapping
) -> list[tuple[str, str, str, str]]:
    """Do the controls stand where theory puts them, and do certified ends hold? `(dataset, level, subject, text)`.

    Arguments:
        pools: all pooled numbers.
        models: by name, with `family`.
        laws: by `(dataset, member)` per distance mean, standard deviation and 95 % quantile over sets of exact draws,
            and under `sets` their number.
        budgets: all of them; each has draws of its own.
        runs: by `(dataset, model)` seeds that ran and seeds planned.
    """
    out = []
    for (dataset, model), (n_ok, planned) in runs.items():
        if models[model]["family"] == "control" and n_ok < planned:
            out.append((dataset, "alarm", model, f"{planned - n_ok} of {planned} runs of this control failed"))
    passed: dict[tuple[str, str], int] = {}
    for (dataset, member), law in laws.items():
        exact = exact_of(models, pools, dataset, member)
        if exact is None:
            out.append(
                (dataset, "note", EXACT, f"no exact sampler {member}: nothing says whether the ruler is straight")
            )
        for name, row in pools.get((dataset, member, exact), {}).items():
            if name in ("mmd", "sliced_w2"):
                if sampling.within_null(row, law[name], law["sets"]):
                    passed[dataset, exact] = passed.get((dataset, exact), 0) + 1
                    continue
                text = (
                    f"{name} {row['value']:.3g} {member} is not that of exact draws, 1 ± {law[name][1]:.2g} a replicate"
                )
                out.append((dataset, "alarm", exact, f"{text}: the ruler, or the exact sampler, is bent"))
    text = "distances of exact draws are where theory has them"
    out += [(dataset, "ok", exact, f"{n} {text}") for (dataset, exact), n in passed.items()]
    for model in models:
        both = [totals(pools, budget, model, ("certified_lower", "certified_upper")) for budget in budgets]
        for name in ("certified_lower", "certified_upper"):
            rows = [found[name] for found in both if name in found]
            n, hits = sum(row["n"] for row in rows), sum(round(row["value"] * row["n"]) for row in rows)
            if n:
                alpha = 1 - sum(row["level"] * row["n"] for row in rows) / n
                end = name.partition("_")[2]
                text = f"{n - hits} of {n} certified {end} ends fail; at most {alpha:.2g} of them may"
                bad = sampling.fails_too_often(hits, n, alpha, 2 * len(models))
                out.append(("all", "alarm" if bad else "ok", model, text))
    return out

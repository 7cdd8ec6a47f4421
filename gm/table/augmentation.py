"""Augmentation curves: accuracy against the number of real examples, and what synthetic ones add to it."""

from collections.abc import Iterable, Mapping

from gm.table import paired
from gm.table.interval import across
from gm.table.summary import Row

CURVE = ("dataset", "model", "classifier", "source", "ratio", "examples", "value", "low", "high", "n", "n_ok")


def curves(table: Iterable[Row], examples: Mapping[str, int], measure: str = "accuracy") -> list[Row]:
    """One point per dataset, model, classifier and regime, with a 95 % interval over seeds and shared test images.

    Arguments:
        table: rows of the table, metrics `<measure>/<classifier>/<regime>`.
        examples: dataset -> number of real examples that its classifiers were trained on; others are left out.
        measure: `accuracy` or `macro_f1`.

    Returns:
        Rows with columns `CURVE`, by dataset in the order of `examples` (a figure's x axis), then as they came.
        `source` is `real` (ratio 0), `tstr` (synthetic alone, as many as real ones), `synthetic`, `classical` or
        `fresh`; `ratio` is how many of that source there are per real example. Points of `real`, `classical` and
        `fresh` are the same for every model, as far as the same seeds ran.

    Example:
        >>> cell = {"dataset": "d", "model": "m", "metric": "accuracy/svm/synthetic=5", "n": 99, "status": "ok"}
        >>> rows = [cell | {"seed": seed, "value": 0.8, "se": 0.01} for seed in range(3)]
        >>> [(row["source"], row["ratio"], row["examples"], row["value"]) for row in curves(rows, {"d": 100})]
        [('synthetic', 5, 100, 0.8)]
    """
    groups: dict[tuple, list[Row]] = {}
    for row in table:
        name, _, rest = str(row["metric"]).partition("/")
        if name == measure and row["dataset"] in examples and row["status"] == "ok":
            groups.setdefault((row["dataset"], row["model"], *rest.split("/")), []).append(row)
    place = list(examples).index
    out = []
    for (dataset, model, classifier, regime), rows in sorted(groups.items(), key=lambda item: place(item[0][0])):
        mean, half = across([float(row["value"]) for row in rows], [float(row["se"] or 0) for row in rows])
        source, _, ratio = regime.partition("=")
        point = {"source": "real" if source == "trtr" else source, "ratio": int(ratio or source != "trtr")}
        point |= {"dataset": dataset, "model": model, "classifier": classifier, "examples": examples[dataset]}
        out.append(
            point | {"value": mean, "low": mean - half, "high": mean + half, "n": rows[0]["n"], "n_ok": len(rows)}
        )
    return out


def gains(table: Iterable[Row], planned: Mapping[tuple[str, str], int]) -> list[Row]:
    """What samples add, as paired rows: by seed, and within a seed by test image.

    The references are the real examples alone, as many shifted copies, and as many fresh real examples; for `tstr`,
    the real examples in place of the synthetic ones. A family of `gm.table.paired.adjust` is one classifier in one
    regime.

    Arguments:
        table: rows of the table, metrics `gain/<classifier>/<regime>/<against>`.
        planned: how many seeds were planned per `(dataset, model)`.

    Returns:
        Rows as `gm.table.paired.fold`; `quantity` is `accuracy/<classifier>/<regime>`, `reference` the other regime.

    Example:
        >>> cell = {"benchmark": "b", "dataset": "d", "model": "m", "metric": "gain/svm/tstr/trtr", "status": "ok"}
        >>> rows = [cell | {"seed": seed, "value": -0.2, "se": 0.01, "n": 99} for seed in range(3)]
        >>> gains(rows, {("d", "m"): 3})[-1]["verdict"]
        'loses'
    """
    groups: dict[tuple, list[Row]] = {}
    for row in table:
        name, *rest = str(row["metric"]).split("/")
        if name == "gain" and row["status"] == "ok":
            classifier, regime, against = rest
            key = {name: row[name] for name in ("benchmark", "dataset")}
            key |= {"quantity": f"accuracy/{classifier}/{regime}", "model": row["model"], "reference": against}
            seed = {"seed": row["seed"]} | paired.point(float(row["value"]), float(row["se"] or 0), int(row["n"]))
            groups.setdefault(tuple(key.values()), []).append(key | seed)
    return [
        final
        for (_, dataset, _, model, _), rows in groups.items()
        for final in paired.fold(rows, planned.get((dataset, model), len(rows)))
    ]

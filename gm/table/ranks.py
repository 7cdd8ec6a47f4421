"""Ranks of models with simultaneous intervals: what the differences between pairs of models say, and no more."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from gm.table.interval import LEVEL, p_value
from gm.table.paired import holm
from gm.table.summary import Row

RANKS = ("benchmark", "dataset", "quantity", "model", "rank", "low", "high", "of", "n_ok")


def intervals(values: Mapping[str, Sequence[float]], errors: Mapping[str, float]) -> dict[str, tuple[int, int, int]]:
    r"""Rank of each model (1 has the highest mean), with intervals that hold together at 95 %.

    Every pair of models is compared over the seeds that they share (`gm.table.interval.p_value`), the errors over test
    items in quadrature, and the p-values of all pairs are adjusted by Holm. With $W_i$ the models that are
    significantly worse than i, and $B_i$ those that are significantly better,

    $$ 1 + |B_i| \le \mathrm{rank}_i \le M - |W_i| . $$

    Where no verdict is wrong, no interval is, whatever the order of the models between which nothing was decided; so
    all M intervals hold at once with 95 %. Models of equal means share all the ranks between them. The unit is the seed
    on one dataset; a critical-difference diagram, whose unit is the dataset, tells nothing from two or three of them.

    Reference: Al Mohamad, Goeman, van Zwet, Simultaneous confidence intervals for ranks with application to ranking
    institutions, 2022 (with Tukey's pairwise test, which takes all variances to be equal, in place of Holm's).

    Arguments:
        values: model -> `[S]`, one number per seed, all models in the same order of seeds; higher is better.
        errors: model -> its standard error over test items, 0 where there is none.

    Returns:
        Model -> `(rank, low, high)`; equal means share the best of their ranks.

    Raises:
        ValueError: if models have different numbers of seeds.

    Example:
        >>> few = {"a": [9.0, 9.1, 8.9], "b": [2.0, 2.2, 2.1], "c": [2.1, 2.0, 1.9]}
        >>> intervals(few, {"a": 0.0, "b": 0.0, "c": 0.0})
        {'a': (1, 1, 1), 'b': (2, 2, 3), 'c': (3, 2, 3)}
    """
    if len({len(found) for found in values.values()}) > 1:
        sizes = {model: len(found) for model, found in values.items()}
        raise ValueError(f"found numbers of seeds {sizes}; expected the same seeds of every model")
    pairs = list(itertools.combinations(values, 2))
    levels = []
    for first, second in pairs:
        difference = np.subtract(values[first], values[second])
        levels.append(p_value(difference, [math.hypot(errors[first], errors[second])]))
    means = {model: float(np.mean(found)) for model, found in values.items()}
    low, high = dict.fromkeys(values, 1), dict.fromkeys(values, len(values))
    for pair, level in zip(pairs, holm(levels), strict=True):
        if level <= 1 - LEVEL:
            worse, better = sorted(pair, key=means.get)
            low[worse] += 1
            high[better] -= 1
    return {
        model: (1 + sum(other > means[model] for other in means.values()), low[model], high[model]) for model in low
    }


def rows(table: Sequence[Row], key: Row, models: Sequence[str], *, lower_is_better: bool) -> list[Row]:
    """Ranks of models on one metric of a dataset, over the seeds that all of them share.

    A model that lacks the metric is not ranked; one whose values are infinite is not either.

    Arguments:
        table: rows of the table.
        key: `benchmark`, `dataset`, `quantity` (the metric).
        models: whom to rank, in the order of the rows that are returned.
        lower_is_better: whether rank 1 has the lowest mean.

    Returns:
        Rows with columns `RANKS`; `of` is the number of models that were ranked, `n_ok` that of shared seeds. None
        where fewer than two models have a seed in common.
    """
    found: dict[str, dict[object, tuple[float, float]]] = {}
    for row in table:
        asked = (row["dataset"], row["metric"], row["status"]) == (key["dataset"], key["quantity"], "ok")
        if asked and row["model"] in models and math.isfinite(float(row["value"])):
            found.setdefault(str(row["model"]), {})[row["seed"]] = float(row["value"]), float(row["se"] or 0)
    present = [model for model in models if model in found]
    seeds = [seed for seed in found[present[0]] if all(seed in found[model] for model in present)] if present else []
    if len(present) < 2 or not seeds:
        return []
    sign = -1 if lower_is_better else 1
    values = {model: [sign * found[model][seed][0] for seed in seeds] for model in present}
    errors = {model: sum(found[model][seed][1] for seed in seeds) / len(seeds) for model in present}
    return [
        key | {"model": model, "rank": rank, "low": low, "high": high, "of": len(present), "n_ok": len(seeds)}
        for model, (rank, low, high) in intervals(values, errors).items()
    ]

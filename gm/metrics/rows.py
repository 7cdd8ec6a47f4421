"""From a run's arrays to the rows of the table. A metric never sees a model."""

from collections.abc import Callable, Iterable

import numpy as np

from gm.metrics.groups import fidelity, likelihood, memorisation, outliers, privacy, utility
from gm.metrics.run import Row, Run

METRICS: dict[str, Callable[[Run, np.random.Generator], Iterable[Row]]] = {
    "likelihood": likelihood.rows,
    "frechet": fidelity.frechet_rows,
    "kernel": fidelity.kernel_rows,
    "prdc": fidelity.prdc_rows,
    "outliers": outliers.rows,
    "memorisation": memorisation.rows,
    "privacy": privacy.rows,
    "utility": utility.rows,
}


def evaluate(run: Run, *, metrics: list[str], rng: np.random.Generator) -> list[Row]:
    """All rows of a run for the metric groups asked for: `metric`, `value`, `se`, `n` and `kind`.

    Each group draws from its own child of `rng`, so that asking for another group moves no number. The
    reference of every distance is the test split.

    Arguments:
        run: the arrays; `items` is filled with what the groups leave for the figures.
        metrics: groups, names in `METRICS`.
        rng: source of bootstraps and subsets.

    Returns:
        Rows in the order of `METRICS`; a group whose input is empty gives none.

    Raises:
        ValueError: for an unknown group or net.
    """
    known = {name.removesuffix("_test") for name in run.ruler if name.endswith("_test")}
    for what, asked, legal in (("metric", metrics, METRICS), ("net", run.nets if run.features else [], known)):
        if unknown := sorted(set(asked) - set(legal)):
            raise ValueError(f"unknown {what} {unknown}; expected some of {sorted(legal)}")
    children = zip(METRICS.items(), rng.spawn(len(METRICS)), strict=True)
    return [row for (name, group), child in children if name in metrics for row in group(run, child)]

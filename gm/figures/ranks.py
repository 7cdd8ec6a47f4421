"""Ranks of the models with their intervals."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gm.figures.marks import dot
from gm.figures.style import canvas, colour, rows


def ranks(metrics: Sequence[Mapping]) -> Figure:
    """One panel per metric, one row per model: the ranks that the data allow.

    Arguments:
        metrics: per metric `name`, `n` (models ranked), `seeds`, and `models`: `name`, `family`, `rank`, `low` and
            `high`, 1 the best, or None in their place for a model that has no rank.

    Returns:
        The figure.
    """
    columns = min(4, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    names = [(model["name"], model["family"]) for model in metrics[0]["models"]]
    figure = canvas(10.5, lines * (0.95 + 0.22 * len(names)))
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(metrics) :]:
        axes.set_visible(False)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        rows(axes, [name for name, _ in names], [family for _, family in names])
        for y, model in enumerate(metric["models"]):
            if model["rank"] is None:
                continue
            ends = [model["low"], model["high"]]
            axes.plot(ends, [y, y], color=colour(model["family"]), lw=4, alpha=0.4, solid_capstyle="butt")
            dot(axes, model["rank"], y, model["name"], model["family"])
        axes.set_xlim(0.5, metric["n"] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set_title(metric["name"], fontsize=9)
        axes.set_xlabel(f"rank of {metric['n']}, {metric['seeds']} seeds (1 is best)", fontsize=8)
    return figure

"""Distances between samples and real images, and what they cost."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gm.figures.marks import FRESH, controls, dot, names, whiskers
from gm.figures.style import canvas, logarithmic, rows


def fidelity(
    models: Sequence[Mapping], panels: Sequence[str], *, columns: int = 3, better: str = "further left is better"
) -> Figure:
    """One panel per metric and feature net, one row per model.

    Arguments:
        models: per model `name`, `family` and `rows`: rows of the summary by metric.
        panels: metrics in the order of panels.
        columns: panels in a line.
        better: the label of every abscissa.

    Returns:
        The figure.
    """
    columns = min(columns, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = canvas(10.5, lines * (1.0 + 0.27 * len(models)) + 0.5)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, metric in zip(grid.flat, panels, strict=False):
        rows(axes, [model["name"] for model in models], [model["family"] for model in models])
        positive = True
        for y, model in enumerate(models):
            row = model["rows"].get(metric)
            if row is None:
                axes.text(0.02, y, "no value", transform=axes.get_yaxis_transform(), va="center", fontsize=7)
                continue
            positive &= row["mean"] > 0
            whiskers(axes, row, y, model["family"])
            dot(axes, row["mean"], y, model["name"], model["family"])
            if model["name"] == FRESH:
                axes.axvline(row["mean"], color="#444444", lw=0.9, ls=(0, (4, 2)))
        if metric.startswith("FD_") and positive:
            logarithmic(axes.xaxis)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_title(metric)
        axes.set_xlabel(better)
    figure.legend(handles=controls(), loc="outside lower center", ncols=2)
    return figure


def cost(models: Sequence[Mapping], panels: Sequence[tuple[str, str]]) -> Figure:
    """Quality against counted evaluations.

    Arguments:
        models: per model `name`, `family`, `evals` (mean total per run) and `rows`: rows of the summary by metric.
        panels: pairs of a metric and its label.

    Returns:
        The figure.
    """
    figure = canvas(10.5, 4.2)
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (metric, label) in zip(grid.flat, panels, strict=True):
        shown = [model for model in models if metric in model["rows"]]
        shown = [model for model in shown if math.isfinite(model["rows"][metric]["mean"])]
        for model in shown:
            row, x = model["rows"][metric], max(model["evals"], 1.0)
            whiskers(axes, row, x, model["family"], upright=True)
            dot(axes, x, row["mean"], model["name"], model["family"])
        axes.set_xscale("log")
        left, right = axes.get_xlim()
        axes.set_xlim(left / 2, right * (right / left) ** 0.3)
        if metric.startswith("FD_") and all(model["rows"][metric]["mean"] > 0 for model in shown):
            logarithmic(axes.yaxis)
        axes.set_xlabel("counted evaluations of one run, training and scoring (1 = none counted)")
        axes.set_ylabel(label)
        names(axes, [(max(m["evals"], 1.0), m["rows"][metric]["mean"], m) for m in shown])
    return figure

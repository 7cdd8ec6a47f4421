"""Distances between samples and real images, and what they cost."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gm.figures.style import canvas, colour, logarithmic, rows

FRESH, COPY = "resample", "memoriser"


def _dot(axes, x: float, y: float, name: str, family: str) -> None:
    marker = {FRESH: "D", COPY: "X"}.get(name, "o")
    axes.plot(x, y, marker=marker, ms=6.5, ls="", color=colour(family), mec="white", mew=0.6)


def _intervals(axes, row: Mapping, at: float, family: str, *, upright: bool = False) -> None:
    """The interval over seeds, and behind it, pale, the one that covers the test items too."""
    ends = [(row["mean"] - row["half_total"], row["mean"] + row["half_total"])] if row["half_total"] else []
    ends += [(row["low"], row["high"])] if row["low"] is not None else []
    for (low, high), (alpha, width) in zip(ends, [(0.35, 1.2), (1.0, 2.0)][-len(ends) :], strict=True):
        place = ([at, at], [low, high]) if upright else ([low, high], [at, at])
        axes.plot(*place, color=colour(family), lw=width, alpha=alpha, solid_capstyle="butt")


def fidelity(models: Sequence[Mapping], panels: Sequence[str]) -> Figure:
    """One panel per distance and feature net, one row per model.

    Arguments:
        models: per model `name`, `family` and `rows`: rows of the summary by metric.
        panels: metrics in the order of panels.

    Returns:
        The figure.
    """
    columns = min(3, len(panels))
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
            _intervals(axes, row, y, model["family"])
            _dot(axes, row["mean"], y, model["name"], model["family"])
            if model["name"] == FRESH:
                axes.axvline(row["mean"], color="#444444", lw=0.9, ls=(0, (4, 2)))
        if metric.startswith("FD_") and positive:
            logarithmic(axes.xaxis)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_title(metric)
        axes.set_xlabel("further left is better")
    legend = [
        Line2D([], [], marker="D", ls="", color=colour("control"), label=f"{FRESH}: fresh real images, the floor"),
        Line2D([], [], marker="X", ls="", color=colour("control"), label=f"{COPY}: replays training images"),
        Line2D([], [], color="#444444", lw=2.0, label="95 % over seeds (over images where no seed moves it)"),
        Line2D([], [], color="#444444", lw=1.2, alpha=0.35, label="and over images too"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=4)
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
            _intervals(axes, row, x, model["family"], upright=True)
            _dot(axes, x, row["mean"], model["name"], model["family"])
        axes.set_xscale("log")
        left, right = axes.get_xlim()
        axes.set_xlim(left / 2, right * (right / left) ** 0.3)
        if metric.startswith("FD_") and all(model["rows"][metric]["mean"] > 0 for model in shown):
            logarithmic(axes.yaxis)
        axes.set_xlabel("counted evaluations of one run, training and scoring (1 = none counted)")
        axes.set_ylabel(label)
        _names(axes, [(max(m["evals"], 1.0), m["rows"][metric]["mean"], m) for m in shown])
    return figure


def _label(model: Mapping) -> str:
    return f"{model['name']} (mass)" if model.get("measure") == "mass" else model["name"]


def _names(axes, points: Sequence[tuple[float, float, Mapping]]) -> None:
    """Write names beside points, from the top down, none on top of another."""
    placed: list[tuple[float, float]] = []
    to_page = axes.transData + axes.transAxes.inverted()
    spots = [(*to_page.transform((x, y)), x, y, model) for x, y, model in points]
    for left, top, x, y, model in sorted(spots, key=lambda spot: -spot[1]):
        height = top
        for other, taken in placed:
            if abs(left - other) < 0.25 and taken - height < 0.042:
                height = taken - 0.042
        placed.append((left, height))
        axes.annotate(
            _label(model), (x, y), (left + 0.02, height), textcoords="axes fraction", fontsize=8, va="center",
            color=colour(model["family"]),
        )  # fmt: skip

"""Frechet distance against the number of images, down to none of its bias."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from gm.figures.marks import FRESH, dot, whiskers
from gm.figures.style import canvas, colour


def extrapolation(nets: Sequence[Mapping]) -> Figure:
    """One panel per feature net: the distance at several n, and its extrapolation to 1/n = 0.

    Arguments:
        nets: per net `name` and `models`: `name`, `family`, `curves` (per seed `[K, 2]`, 1/n and distance) and
            `limit` (row of the summary at 1/n = 0, or None).

    Returns:
        The figure.
    """
    columns = min(3, len(nets))
    lines = math.ceil(len(nets) / columns)
    figure = canvas(10.5, 3.4 * lines + 0.4)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(nets) :]:
        axes.set_visible(False)
    for axes, net in zip(grid.flat, nets, strict=False):
        ends: list[tuple[float, float, Mapping]] = []
        places = sorted({x for model in net["models"] for curve in model["curves"] for x in curve[:, 0]})
        step = 0.035 * places[-1]  # extrapolated values stand beside each other, so that they can be told apart
        for i, model in enumerate(net["models"]):
            tint, floor = colour(model["family"]), model["name"] == FRESH
            tint = "black" if floor else tint
            for curve in model["curves"]:
                style = {"ls": (0, (4, 2)) if floor else "-", "lw": 1.4 if floor else 0.9, "alpha": 0.75}
                axes.plot(curve[:, 0], curve[:, 1], color=tint, marker=".", ms=4, **style)
            if model["curves"]:
                last = [max(curve, key=lambda point: point[0]) for curve in model["curves"]]
                ends.append((last[0][0], sorted(point[1] for point in last)[len(last) // 2], model))
            if model["limit"] is not None:
                whiskers(axes, model["limit"], -i * step, model["family"], upright=True)
                dot(axes, -i * step, model["limit"]["mean"], model["name"], model["family"])
        axes.axvline(0, color="#999999", lw=0.8)
        axes.set_xlim(-(len(net["models"]) + 0.5) * step, places[-1] * 1.5)
        axes.set_xticks([0.0, *_apart(places)])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{1 / x:.0f}" if x > 0 else "∞"))
        axes.set_title(f"FD_{net['name']}")
        axes.set_xlabel("n images on either side (scale: 1/n)")
        _ends(axes, ends)
    grid[0, 0].set_ylabel("Frechet distance (further down is better)")
    legend = [
        Line2D([], [], color="black", ls=(0, (4, 2)), label=f"{FRESH}: real against real, the floor"),
        Line2D([], [], color="#444444", marker=".", lw=0.9, label="one seed at several n"),
        Line2D([], [], color="#444444", marker="o", lw=2, label="extrapolated, 95 % over seeds (pale: and images)"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3)
    return figure


def _apart(places: Sequence[float]) -> list[float]:
    """From the right, the places that leave room for their labels."""
    kept = [places[-1]]
    for place in reversed(places):
        if min(kept[-1] - place, place) > 0.22 * places[-1]:
            kept.append(place)
    return kept


def _ends(axes, ends: Sequence[tuple[float, float, Mapping]]) -> None:
    """Names at the right ends of the curves, pushed apart."""
    low, high = axes.get_ylim()
    below = high + 1.0
    for x, y, model in sorted(ends, key=lambda end: -end[1]):
        below = min(y, below - 0.058 * (high - low))
        axes.annotate(
            model["name"], (x, y), (x * 1.04, below), fontsize=7, va="center",
            color="black" if model["name"] == FRESH else colour(model["family"]),
        )  # fmt: skip

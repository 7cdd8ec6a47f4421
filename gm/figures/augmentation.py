"""How many real images a synthetic one is worth: accuracy of classifiers on real test images."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from gm.figures.style import canvas, colour

SOURCES = {
    "trtr": {"color": "black", "ls": (0, (1, 1.2)), "marker": ""},
    "classical": {"color": "black", "ls": (0, (5, 2)), "marker": "s"},
    "fresh": {"color": "black", "ls": "-", "marker": "D"},
}
MARKERS = "o^vPX<>ph"


def augmentation(panels: Sequence[Mapping], test: int) -> Figure:
    """A panel per classifier and, where data sets of several sizes are compared, ratio.

    Arguments:
        panels: `classifier`, `ratio` (synthetic to real images; None where it is the abscissa), `several` (whether the
            abscissa is a number of real images) and `lines`: `label`, `family` (or `trtr`, `classical`, `fresh`) and
            `points`: pairs of the abscissa and a row of the summary.
        test: number of real test images.

    Returns:
        The figure.
    """
    classifiers = list(dict.fromkeys(panel["classifier"] for panel in panels))
    columns = len(classifiers) if not panels[0]["several"] else max(
        sum(panel["classifier"] == name for panel in panels) for name in classifiers
    )  # fmt: skip
    columns = min(columns, 4)
    lines = math.ceil(len(panels) / columns)
    figure = canvas(max(6.5, min(10.5, 4.4 * columns)), 3.1 * lines + 0.8)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    labels = list(dict.fromkeys((line["label"], line["family"]) for panel in panels for line in panel["lines"]))
    models = [key for key in labels if key[1] not in SOURCES]
    looks = {key: SOURCES.get(key[1], {"color": colour(key[1]), "ls": "-"}) for key in labels}
    looks |= {key: looks[key] | {"marker": MARKERS[i % len(MARKERS)]} for i, key in enumerate(models)}
    for axes, panel in zip(grid.flat, panels, strict=False):
        places = sorted({x for line in panel["lines"] for x, _ in line["points"]})
        # Lines stand beside each other, so that their intervals can be told apart.
        for i, key in enumerate(labels):
            found = [line["points"] for line in panel["lines"] if (line["label"], line["family"]) == key]
            for points in found:
                x = [place * 1.035 ** (i - len(labels) / 2) for place, _ in points]
                axes.plot(x, [row["mean"] for _, row in points], ms=4.5, lw=1.2, **looks[key])
                for at, (_, row) in zip(x, points, strict=True):
                    if row["low"] is not None:
                        axes.plot([at, at], [row["low"], row["high"]], color=looks[key]["color"], lw=1.1, alpha=0.7)
        axes.set_xscale("log")
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        ratio = "" if panel["ratio"] is None else f", {panel['ratio']:g} added per real image"
        axes.set_title(panel["classifier"] + ratio, fontsize=9)
        axes.set_xlabel("real training images" if panel["several"] else "images added per real training image")
    low, high = grid[0, 0].get_ylim()
    grid[0, 0].set_ylim(max(low, 0.0), min(high, 1.01))
    for axes in grid[:, 0]:
        axes.set_ylabel(f"accuracy on {test} real test images")
    legend = [Line2D([], [], label=key[0], ms=4.5, lw=1.2, **looks[key]) for key in labels]
    legend.append(Line2D([], [], color="#444444", marker="|", ms=10, ls="", label="95 % over seeds"))
    figure.legend(handles=legend, loc="outside lower center", ncols=5)
    return figure

"""Who finds the outliers: curves and a table of areas."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from gm.figures.style import canvas, colour

DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def roc(sets: Sequence[Mapping], grid: np.ndarray) -> Figure:
    """One panel per outlier set.

    Arguments:
        sets: per set `name`, `n`, and `curves`: a list of `label`, `family` (`trivial` for a baseline), `found` `[101]`
            and `auroc`.
        grid: shares of false alarms, `[101]`.

    Returns:
        The figure.
    """
    columns = min(3, len(sets))
    lines = math.ceil(len(sets) / columns)
    figure = canvas(10.5, 3.5 * lines)
    axes_grid = figure.subplots(lines, columns, squeeze=False)
    for axes in axes_grid.flat[len(sets) :]:
        axes.set_visible(False)
    for axes, part in zip(axes_grid.flat, sets, strict=False):
        axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
        used: dict[str, int] = {}
        for curve in part["curves"]:
            style = (0, (2, 2)) if curve["family"] == "trivial" else DASHES[used.get(curve["family"], 0) % 4]
            used[curve["family"]] = used.get(curve["family"], 0) + 1
            tint = "black" if curve["family"] == "trivial" else colour(curve["family"])
            label = f"{curve['auroc']:.2f}  {curve['label']}"
            axes.plot(grid, curve["found"], color=tint, ls=style, lw=1.5, label=label)
        axes.set_title(f"{part['name']}  (n = {part['n']})")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set_xlabel("share of test images flagged")
        axes.set_ylabel("share of outliers found")
        axes.legend(loc="lower right", fontsize=7, title="AUROC", title_fontsize=7, alignment="left")
    return figure


def auroc(labels: Sequence[tuple[str, str]], sets: Sequence[str], values: np.ndarray, halves: np.ndarray) -> Figure:
    """Scores by outlier sets.

    Arguments:
        labels: per row its label and family (`trivial` for a baseline).
        sets: names of the columns.
        values: mean AUROC `[rows, columns]`, NaN where there is none.
        halves: 95 % half widths of the same shape, NaN where there is none.

    Returns:
        The figure.
    """
    import seaborn

    figure = canvas(2.6 + 1.15 * len(sets), 1.2 + 0.3 * len(labels))
    axes = figure.subplots()

    def cell(value: float, half: float) -> str:
        return "" if math.isnan(value) else f"{value:.2f}" + ("" if math.isnan(half) else f" ±{half:.2f}")

    text = [[cell(*pair) for pair in zip(*line, strict=True)] for line in zip(values, halves, strict=True)]
    seaborn.heatmap(
        values, mask=np.isnan(values), vmin=0, vmax=1, cmap="PuOr", annot=np.array(text), fmt="", linewidths=1, ax=axes,
        annot_kws={"fontsize": 8}, cbar_kws={"label": "AUROC (0.5 = chance)", "shrink": 0.6},
    )  # fmt: skip
    axes.set_xticks(np.arange(len(sets)) + 0.5, sets, rotation=0 if len(sets) < 8 else 30)
    axes.set_yticks(np.arange(len(labels)) + 0.5, [label for label, _ in labels], rotation=0)
    axes.xaxis.tick_top()
    for tick, (_, family) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_color("black" if family == "trivial" else colour(family))
    first = next((i for i, (_, family) in enumerate(labels) if family == "trivial"), None)
    if first:
        axes.axhline(first, color="black", lw=1.5)
    return figure

"""Who finds the outliers, and at what price in false alarms."""

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

"""Who finds the outliers, and at what price in false alarms."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from gm.figures.style import canvas, colour, palette

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


def ecdf(models: Sequence[Mapping], shares: np.ndarray) -> Figure:
    """One panel per model: the distribution of its score over the test images and over each outlier set.

    Arguments:
        models: per model `name`, `family`, and by name of a set (`test` first) `sets`, the quantiles of the score at
            `shares`, `[Q]`, in bits per dimension, and `n`, the number of images of a seed.
        shares: `[Q]`, increasing from 0 to 1.

    Returns:
        The figure. What lies farther than three spans of the test images on either side of them is off its panel.
    """
    columns = min(3, len(models))
    lines = math.ceil(len(models) / columns)
    figure = canvas(10.5, 2.7 * lines + 0.6)
    axes_grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in axes_grid.flat[len(models) :]:
        axes.set_visible(False)
    tints = palette([name for name in models[0]["sets"] if name != "test"])
    handles = {}
    for axes, part in zip(axes_grid.flat, models, strict=False):
        for name, found in part["sets"].items():
            look = {"color": "black", "lw": 2.0} if name == "test" else tints[name]
            handles[name] = axes.plot(found, shares, drawstyle="steps-post", **look)[0]
        low, high = window(part["sets"])
        axes.set(xlim=(low, high), ylim=(-0.02, 1.02))
        axes.set_title(part["name"], color=colour(part["family"]))
        axes.set_xlabel("-log p, bits per dimension")
    for axes in axes_grid[:, 0]:
        axes.set_ylabel("share of images below")
    labels = [f"{name} (n = {models[0]['n'][name]})" for name in handles]
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=min(5, len(labels)))
    return figure


def window(sets: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Ends of a panel: all scores, but no more than three times the span of the test images on either side of them.

    Example:
        >>> window({"test": np.array([0.0, 0.5, 1.0]), "far": np.array([9.0, 9.5, 99.0])})
        (-0.05, 4.0)
    """
    test = sets["test"]
    span = float(test[-1] - test[0])
    low = max(min(float(found[0]) for found in sets.values()), float(test[0]) - 3 * span)
    high = min(max(float(found[-1]) for found in sets.values()), float(test[-1]) + 3 * span)
    return low - 0.05 * span, high

"""Matrices in colour, each number written into its cell: areas, classes, and agreement of ranks."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gm.figures.style import canvas, colour, write

WIDEST, CELL, LINE = 11.5, 0.43, 0.27


def _cells(axes, values: np.ndarray, text: Sequence[Sequence[str]], cmap: str, low: float, high: float) -> None:
    """Cells in colour with their text in black or white, whichever reads better; grey where there is no number."""
    tints = colormaps[cmap](Normalize(low, high)(values))
    tints[~np.isfinite(values)] = (0.93, 0.93, 0.93, 1.0)
    down, across = (np.arange(size + 1) - 0.5 for size in values.shape)
    axes.pcolormesh(across, down, tints, edgecolor="white", lw=1)
    dark = tints[..., :3] @ (0.299, 0.587, 0.114) < 0.5
    for i, j in np.ndindex(values.shape):
        write(axes, j, i, text[i][j], fontsize=6, color="white" if dark[i, j] else "black", linespacing=0.95)
    axes.set(xlim=(-0.5, values.shape[1] - 0.5), ylim=(len(values) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=7.5)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)


def _reach(labels: Iterable[str]) -> float:
    """About how wide the longest label is, in inches."""
    return 0.075 * max(map(len, labels))


def _number(value: float, half: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2f}" if math.isnan(half) else f"{value:.2f}\n±{half:.2f}"


def panels(matrices: Sequence[Mapping], label: str, *, cmap: str = "PuOr", middle: bool = True) -> Figure:
    """One small matrix per score or net, rows by columns, each cell a mean and its 95 % half width.

    Arguments:
        matrices: per panel `name`, `rows` (label and family; `trivial` for a baseline), `columns`, `values` and
            `halves` `[rows, columns]`, NaN where there is none.
        label: what the numbers are.
        cmap: colours from 0 to 1.
        middle: whether 0.5 is the middle of the colours, else they run from the least to the most.

    Returns:
        The figure.
    """
    label_width = _reach(row for panel in matrices for row, _ in panel["rows"])
    width = 0.2 + max(CELL * len(matrices[0]["columns"]), 1.2 * _reach(panel["name"] for panel in matrices))
    across = max(1, min(4, len(matrices), int((WIDEST - label_width) // width)))
    lines = [matrices[i : i + across] for i in range(0, len(matrices), across)]
    narrow = max(len(name) for name in matrices[0]["columns"]) > 5
    head = 0.45 + (0.65 * _reach(matrices[0]["columns"]) if narrow else 0.2)
    heights = [head + LINE * max(len(panel["rows"]) for panel in line) for line in lines]
    alike = all(panel["rows"] == line[0]["rows"] for line in lines for panel in line)
    figure = canvas(width * across + label_width * (1 if alike else across), sum(heights) + 0.25)
    grid = figure.subplots(len(lines), across, squeeze=False, gridspec_kw={"height_ratios": heights})
    finite = np.concatenate([panel["values"][np.isfinite(panel["values"])] for panel in matrices])
    low, high = (0.0, 1.0) if middle else (float(finite.min()), float(finite.max()))
    for axes, panel in zip(grid.flat, [panel for line in lines for panel in line], strict=False):
        text = [
            [_number(*pair) for pair in zip(*line, strict=True)]
            for line in zip(panel["values"], panel["halves"], strict=True)
        ]
        _cells(axes, panel["values"], text, cmap, low, high)
        # Panels of one line are equally high, whatever their number of rows.
        axes.set_ylim(max(len(p["rows"]) for line in lines if panel in line for p in line) - 0.5, -0.5)
        axes.set_xticks(range(len(panel["columns"])), panel["columns"], rotation=40 if narrow else 0,
                        ha="left" if narrow else "center", rotation_mode="anchor")  # fmt: skip
        labels = panel["rows"] if not alike or any(panel is line[0] for line in lines) else []
        axes.set_yticks(range(len(labels)), [row for row, _ in labels])
        for tick, (_, family) in zip(axes.get_yticklabels(), labels, strict=True):
            tick.set_color("black" if family == "trivial" else colour(family))
        axes.set_title(panel["name"], fontsize=9)
    for axes in grid.flat[len(matrices) :]:
        axes.set_visible(False)
    figure.supxlabel(label, fontsize=8)
    return figure


def agreement(metrics: Sequence[str], tau: np.ndarray, p: np.ndarray, n: np.ndarray, critical: float) -> Figure:
    """Kendall's τ of the models' ranks between metrics; in brackets what is not told from no agreement at 5 %.

    Arguments:
        metrics: names, in the order of rows and columns.
        tau: `[k, k]`, NaN where there is none.
        p: its p-values `[k, k]`.
        n: models behind each `[k, k]`.
        critical: the smallest |τ| that differs from 0 at 5 %, for the largest n.

    Returns:
        The figure.
    """
    short = [metric.partition("@")[0] for metric in metrics]
    side = 0.42 * len(metrics)
    figure = canvas(side + 1.7 * _reach(short) + 0.3, side + 0.8 * _reach(short) + 0.5)
    axes = figure.subplots()
    told = np.where(p < 0.05, "{:.2f}", "({:.2f})")
    text = [[("" if math.isnan(value) else mark.format(value)) for value, mark in zip(*line, strict=True)]
            for line in zip(tau, told, strict=True)]  # fmt: skip
    _cells(axes, tau, text, "PuOr", -1.0, 1.0)
    axes.set_xticks(range(len(metrics)), short, rotation=50, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(metrics)), short)
    count = f"{n.max()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    least = f"|τ| < {critical:.2f} is not told from 0" if math.isfinite(critical) else "too few to tell any τ from 0"
    figure.supxlabel(f"Kendall's τ of model ranks, n = {count} models;\nat {n.max()}, {least} (5 %)", fontsize=8)
    return figure

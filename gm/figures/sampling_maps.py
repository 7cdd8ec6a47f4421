"""Maps: samplers by targets, and samplers over the members of a family."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from gm.figures.style import canvas, colour, write


def text_of(value: float) -> str:
    """A number in few characters."""
    if not math.isfinite(value):
        return "inf"
    if value and abs(value) < 0.01:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"


def _norm(values: np.ndarray, top: float | None = None) -> LogNorm:
    shown = values[np.isfinite(values) & (values > 0)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.1, 1.0)
    high = max(min(high, top) if top else high, low * 1.01)
    # an error of rounding alone would take all colours for itself
    low = max(low, 1e-6 * high)
    return LogNorm(low, high, clip=True)


def _paint(axes, values: np.ndarray, norm: LogNorm, cmap: str, texts: Mapping, size: float) -> AxesImage:
    """Cells in colour with their numbers; grey where there is none, with the reason."""
    shown = np.ma.masked_invalid(np.clip(values, norm.vmin, norm.vmax))
    image = axes.imshow(shown, norm=norm, cmap=cmap, aspect="auto")
    axes.set_facecolor("#e9e9e9")
    for (i, j), value in np.ndenumerate(values):
        text = texts.get((i, j), "" if math.isnan(value) else text_of(value))
        light = math.isnan(value) or np.dot(image.to_rgba(shown)[i, j, :3], (0.299, 0.587, 0.114)) > 0.5
        write(axes, j, i, text, fontsize=size, color="black" if light else "white")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return image


def matrix(
    models: Sequence[Mapping], targets: Sequence[str], values: np.ndarray, texts: Mapping, *, label: str, better: str
) -> Figure:
    """Samplers by targets, one number a cell on a logarithmic scale.

    Arguments:
        models: per sampler `name` and `family`.
        targets: names of the columns.
        values: `[samplers, targets]`, NaN where there is none.
        texts: by `(row, column)` what to print instead of the number.
        label: of the colours.
        better: `low` or `high`, which end is drawn dark.

    Returns:
        The figure.
    """
    figure = canvas(2.6 + 0.72 * len(targets), 1.9 + 0.29 * len(models))
    axes = figure.subplots()
    norm = _norm(values, 10.0 if better == "low" else None)
    cmap = "viridis" if better == "low" else "viridis_r"
    image = _paint(axes, values, norm, cmap, texts, 7.0)
    axes.set_xticks(range(len(targets)), targets, rotation=35, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(models)), [model["name"] for model in models])
    for tick, model in zip(axes.get_yticklabels(), models, strict=True):
        tick.set_color(colour(model["family"]))
    axes.set_xticks(np.arange(len(targets) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(models) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(image, ax=axes, label=label, shrink=0.8, pad=0.01)
    return figure


def difficulty(panels: Sequence[Mapping], first: tuple[str, Sequence], second: tuple[str, Sequence]) -> Figure:
    """A family of targets: per sampler the error of log Z over two parameters.

    Arguments:
        panels: per sampler `name`, `family`, `values` `[first, second]` in nats, NaN where there is none, `texts`.
        first: name and values of the parameter of the rows.
        second: name and values (or labels) of that of the columns.

    Returns:
        The figure.
    """
    columns = min(5, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = canvas(1.2 + 2.3 * columns, 0.9 + lines * (0.55 + 0.3 * len(first[1])))
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    norm = _norm(np.concatenate([panel["values"].ravel() for panel in panels]), 10.0)
    image = None
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for place, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
        image = _paint(axes, panel["values"], norm, "viridis", panel["texts"], 7.0)
        axes.set_title(panel["name"], color=colour(panel["family"]))
        axes.set_xticks(range(len(second[1])), [_label(value) for value in second[1]])
        axes.set_yticks(range(len(first[1])), [_label(value) for value in first[1]])
        if place + columns >= len(panels):
            axes.set_xlabel(second[0])
            axes.tick_params(labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel(first[0])
    figure.colorbar(image, ax=grid, label="RMSE of log Z (nats)", shrink=0.8, pad=0.01)
    return figure


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)

"""Numbers of samplers as dots with their intervals: draws, honesty, cost."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from gm.figures.style import canvas, colour, logarithmic, rows


def dots(models: Sequence[Mapping], panels: Sequence[Mapping], *, legend: Sequence[Line2D] = ()) -> Figure:
    """Panels side by side, one line per sampler.

    Arguments:
        models: per sampler `name`, `family` and `rows` by key: `value`, `low`, `high` (None without an interval), and
            if there are any `all`, values drawn faintly, and `level`, a value drawn dashed in this line alone.
        panels: per panel `title`, `label`, `keys`: pairs of a key and a marker; if wanted `band` (low, high), `lines`
            (values drawn dashed), `log`, and `limits`.
        legend: handles.

    Returns:
        The figure.
    """
    figure = canvas(2.4 + 2.35 * len(panels), 1.5 + 0.28 * len(models))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=True):
        rows(axes, [model["name"] for model in models], [model["family"] for model in models])
        if "band" in panel:
            axes.axvspan(*panel["band"], color="#000000", alpha=0.09, lw=0)
        for line in panel.get("lines", ()):
            axes.axvline(line, color="#444444", lw=0.9, ls=(0, (4, 2)))
        found = [(y, model, *pair) for y, model in enumerate(models) for pair in panel["keys"]]
        found = [(y, model, model["rows"].get(key), marker) for y, model, key, marker in found]
        shown = [(y, model, row, marker) for y, model, row, marker in found if row is not None]
        log = panel.get("log", False) and all(row["value"] > 0 for _, _, row, _ in shown) and bool(shown)
        for y, model, row, marker in shown:
            _dot(axes, y, row, colour(model["family"]), marker, len(panel["keys"]), log)
        for y, model in enumerate(models):
            if all(model["rows"].get(key) is None for key, _ in panel["keys"]):
                axes.text(0.03, y, "–", transform=axes.get_yaxis_transform(), va="center", color="#888888")
        if log:
            values = [row["value"] for _, _, row, _ in shown] + [
                value for _, _, row, _ in shown for value in row.get("all", ())
            ]
            marks = [
                value for value in [*values, *panel.get("lines", ()), *panel.get("band", ())] if 0 < value < math.inf
            ]
            logarithmic(axes.xaxis)
            low, high = axes.get_xlim()
            low, high = max(low, min(marks) / 4), min(high, max(marks) * 4)  # an interval may be wider than the axis
            axes.set_xlim(low, high)
            if high > 30 * low:
                axes.xaxis.set_major_locator(LogLocator(numticks=6))
            elif high < 3 * low:
                axes.set_xscale("linear")
                axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(axis="x", labelsize=7.5)
        elif shown and all(math.isfinite(row["value"]) for _, _, row, _ in shown) and "limits" not in panel:
            top = 2 * max([row["value"] for _, _, row, _ in shown] + list(panel.get("lines", ())))
            right = min(axes.get_xlim()[1], top)
            axes.set_xlim(-0.04 * right, right)
        if "limits" in panel:
            axes.set_xlim(*panel["limits"])
        axes.set_title(panel["title"])
        axes.set_xlabel(panel["label"], fontsize=7.5)
    if legend:
        figure.legend(handles=list(legend), loc="outside lower center", ncols=len(legend))
    return figure


def _dot(axes, y: float, row: Mapping, tint: str, marker: str, together: int, log: bool) -> None:
    at = y + {"<": -0.16, ">": 0.16}.get(marker, 0.0) * (together > 1)
    faint = [value for value in row.get("all", ()) if math.isfinite(value) and (value > 0 or not log)]
    axes.plot(faint, [at] * len(faint), ls="", marker="|", ms=6, color=tint, alpha=0.35)
    if "level" in row:
        axes.plot([row["level"]] * 2, [y - 0.42, y + 0.42], color="#444444", lw=0.9, ls=(0, (3, 1.5)))
    if not math.isfinite(row["value"]):
        axes.text(0.97, at, "unbounded", transform=axes.get_yaxis_transform(), va="center", ha="right", fontsize=7)
        return
    if row["low"] is not None and (row["low"] > 0 or not log):
        axes.plot([row["low"], row["high"]], [at, at], color=tint, lw=1.6, solid_capstyle="butt")
    face = "white" if marker == "s" else tint
    axes.plot(row["value"], at, ls="", marker=marker, ms=5.5, mfc=face, mec=tint if marker == "s" else "white", mew=0.9)

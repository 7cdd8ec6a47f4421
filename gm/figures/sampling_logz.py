"""Errors of log Z: every sampler beside the truth, and what more evaluations buy."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gm.figures.style import SOLID, canvas, colour, logarithmic, rows

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">")
LEAST = 1e-9


def markers(models: Sequence[Mapping]) -> dict[str, str]:
    """A marker for each sampler, different within a family, whose colour they share."""
    seen: dict[str, int] = {}
    found = {}
    for model in models:
        place = seen.get(model["family"], 0)
        found[model["name"]], seen[model["family"]] = MARKERS[place % len(MARKERS)], place + 1
    return found


def logz(models: Sequence[Mapping], *, truth: bool, budget: int) -> Figure:
    """One target: errors of log Z at the largest budget, and error against counted evaluations.

    Arguments:
        models: per sampler `name`, `family`, `points` (errors of all replicates, nats), rows `error`, `lower_error` and
            `upper_error`, absent (None) of a sampler without an estimate, and `curve`: pairs of counted evaluations and
            a row of the error, by budget.
        truth: whether log Z is known; else errors are from the median sampler, and curves are spreads.
        budget: the largest.

    Returns:
        The figure.
    """
    figure = canvas(12.0, 1.6 + 0.3 * max(len(models), 9))
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
    marks = markers(models)
    _errors(left, models, marks, truth, budget)
    _curves(right, models, marks, truth)
    legend = [
        Line2D([], [], marker="o", ls="", color="#444444", label="mean of replicates, 95 % line"),
        Line2D([], [], marker="o", ls="", ms=3, alpha=0.4, color="#444444", label="one replicate"),
        Line2D([], [], color="#444444", lw=6, alpha=0.25, label="mean published interval"),
        Line2D([], [], marker=">", ls="", color="#444444", label="exact or certified end"),
        Line2D([], [], marker=">", ls="", mfc="white", mec="#444444", label="heuristic end"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=5)
    return figure


def _span(model: Mapping) -> float:
    ends = [model[name]["value"] for name in ("error", "lower_error", "upper_error")]
    return max((abs(end) for end in [*ends, *model["points"]] if math.isfinite(end)), default=0.0)


def _errors(axes, models: Sequence[Mapping], marks: Mapping, truth: bool, budget: int) -> None:
    spans = sorted(_span(model) for model in models if model["error"])
    middle = spans[len(spans) // 2] if spans else 1.0
    edge = 1.1 * max((span for span in spans if span <= 5 * middle), default=1.0) or 1.0
    axes.axvline(0, color="#444444", lw=1)
    for y, model in enumerate(models):
        row, tint = model["error"], colour(model["family"])
        if row is None:
            axes.text(0.02, y, model["gone"], transform=axes.get_yaxis_transform(), va="center", fontsize=7)
            continue
        mean = row["value"] if abs(row["value"]) > LEAST else 0.0
        text = f"{mean:+.3g} [{row['low']:+.3g}, {row['high']:+.3g}]"
        axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7)
        low, high = model["lower_error"], model["upper_error"]
        ends = [min(max(end["value"], -edge), edge) for end in (low, high)]
        axes.plot(ends, [y, y], color=tint, lw=7, alpha=0.22, solid_capstyle="butt")
        for end, at, marker in zip((low, high), ends, "<>", strict=True):
            if abs(end["value"]) > edge:
                axes.annotate("", (at * 1.09, y), (at * 0.97, y), arrowprops={"arrowstyle": "->", "color": tint})
            else:
                face = tint if end["kind"] in SOLID else "white"
                axes.plot(at, y, marker=marker, ms=6, mfc=face, mec=tint, mew=1.2, ls="")
        inside = [point for point in model["points"] if abs(point) <= edge]
        if inside:
            lift = np.linspace(-0.28, 0.28, len(inside)) if len(inside) > 1 else [0.0]
            axes.plot(inside, y + np.array(lift), ls="", marker="o", ms=2.6, color=tint, alpha=0.4, mec="none")
        if abs(row["value"]) <= edge:
            line = [max(row["low"], -edge), min(row["high"], edge)]
            axes.plot(line, [y, y], color=tint, lw=1.8, solid_capstyle="butt")
            axes.plot(row["value"], y, ls="", marker=marks[model["name"]], ms=6.5, color=tint, mec="white", mew=0.7)
    axes.set_xlim(-1.12 * edge, 1.12 * edge)
    rows(axes, [model["name"] for model in models], [model["family"] for model in models])
    axes.set_title(f"log Z at {budget:,} evaluations")
    what = "estimate minus log Z" if truth else "estimate minus the median sampler's: log Z is not known"
    n = max((len(model["points"]) for model in models), default=0)
    axes.set_xlabel(
        f"{what} (nats), n = {n} replicates\n(arrows leave the axis; at the right the mean and its 95 % interval)"
    )


def _curves(axes, models: Sequence[Mapping], marks: Mapping, truth: bool) -> None:
    anchors, seen = [], []
    for model in models:
        points = [(x, row) for x, row in model["curve"] if x > 0 and LEAST < row["value"] < math.inf]
        if not points:
            continue
        x, values = [at for at, _ in points], [row["value"] for _, row in points]
        bars = [[row["value"] - row["low"] for _, row in points], [row["high"] - row["value"] for _, row in points]]
        dashes = (0, (4, 2)) if model["family"] == "control" else "-"
        style = {"marker": marks[model["name"]], "ms": 5.5, "lw": 1.1, "elinewidth": 0.9, "mec": "white", "mew": 0.6}
        axes.errorbar(x, values, yerr=bars, color=colour(model["family"]), ls=dashes, alpha=0.9, **style)
        anchors.append((x[0], values[0]))
        seen += values
    if anchors:
        axes.set(xscale="log", yscale="log")
        logarithmic(axes.xaxis)
        x0, y0 = sorted(anchors, key=lambda anchor: anchor[1])[len(anchors) // 2]
        ends = np.array(axes.get_xlim())
        bottom, top = axes.get_ylim()
        bottom, top = max(bottom, min(seen) / 4), min(top, 4 * max(seen))  # an interval may be wider than the axis
        axes.plot(ends, y0 * (ends / x0) ** -0.5, color="#999999", lw=0.9, ls=(0, (1, 2)), zorder=0)
        axes.set(xlim=ends, ylim=(bottom, top))
        axes.annotate(
            "slope −1/2", (ends[1], y0 * (ends[1] / x0) ** -0.5), (-4, 3), textcoords="offset points", ha="right",
            fontsize=7, color="#777777", annotation_clip=True,
        )  # fmt: skip
    else:
        axes.text(0.5, 0.5, "no sampler has an estimate", transform=axes.transAxes, ha="center", fontsize=8)
    axes.set_title("error against evaluations" if truth else "spread against evaluations: bias is not seen")
    axes.set_xlabel("counted evaluations per replicate, without the pilot\n(markers as at the left)")
    axes.set_ylabel("root mean square error of log Z (nats)" if truth else "standard deviation of replicates (nats)")

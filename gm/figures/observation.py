"""Whether likelihood finds another data set depends on how a model observes pixels."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gm.figures.marks import label_of
from gm.figures.style import SOLID, canvas, colour


def observation(panels: Sequence[Mapping]) -> Figure:
    """A panel per data set and outlier set: area under the ROC curve of -log p against bits per dimension.

    Arguments:
        panels: `dataset`, `set` and `models`: `name`, `family`, `measure`, and rows of the summary `bpd_lower`,
            `bpd_upper` and `auroc`.

    Returns:
        The figure.
    """
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = canvas(max(6.5, 5.4 * columns), 4.6 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        places = [(_place(model), model) for model in panel["models"]]
        finite = [end for _, model in places for end in _finite(model)]
        reach = max(max(finite) - min(finite), 0.1)
        axes.axhline(0.5, color="#444444", lw=0.9, ls=(0, (4, 2)))
        for x, model in places:
            y, tint, low = model["auroc"], colour(model["family"]), model["bpd_lower"]["mean"]
            upper = model["bpd_upper"]["mean"]
            if not math.isfinite(low) or not math.isfinite(upper):
                arrow = {"arrowstyle": "->", "color": tint, "alpha": 0.5}
                to = x - 0.07 * reach if not math.isfinite(low) else x + 0.07 * reach
                axes.annotate("", (to, y["mean"]), (x, y["mean"]), arrowprops=arrow)
            elif low < upper:
                axes.plot([low, upper], [y["mean"]] * 2, color=tint, lw=6, alpha=0.28, solid_capstyle="butt")
            if y["half_total"] is not None:
                ends = [y["mean"] - y["half_total"], y["mean"] + y["half_total"]]
                axes.plot([x, x], ends, color=tint, lw=1.3)
            end = model["bpd_upper"] if math.isfinite(upper) else model["bpd_lower"]
            face = tint if end["kind"] in SOLID else "white"
            marker = "s" if model["measure"] == "mass" else "o"
            axes.plot(x, y["mean"], marker=marker, ms=6.5, mfc=face, mec=tint, mew=1.4, ls="")
        axes.set_xlim(min(finite) - 0.12 * reach, max(finite) + 0.5 * reach)
        axes.set_ylim(-0.04, 1.04)
        first = panel["models"][0]
        tested, both = int(float(first["bpd_lower"]["n"])), int(float(first["auroc"]["n"]))
        axes.set_title(f"{panel['dataset']} against {panel['set']}  (n = {tested} + {both - tested})")
        axes.set_xlabel("bits per dimension of test images (further left is better)")
        _spread(axes, [(x, model["auroc"]["mean"], model) for x, model in places])
    grid[0, 0].set_ylabel("AUROC of -log p (0.5 = chance)")
    legend = [
        Line2D([], [], marker="o", ls="", color="#444444", label="density of y = x + u"),
        Line2D([], [], marker="s", ls="", color="#444444", label="mass of x"),
        Line2D([], [], marker="o", ls="", mfc="white", mec="#444444", label="heuristic end"),
        Line2D([], [], color="#444444", lw=6, alpha=0.28, label="least to most bits (arrow: no end)"),
        Line2D([], [], color="#444444", lw=1.3, label="95 % over seeds and images"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3)
    return figure


def _finite(model: Mapping) -> list[float]:
    return [value for end in ("bpd_lower", "bpd_upper") if math.isfinite(value := model[end]["mean"])]


def _place(model: Mapping) -> float:
    """The most bits that it may need; where there is no such end, the least."""
    return max(_finite(model))


def _spread(axes, points: Sequence[tuple[float, float, Mapping]]) -> None:
    """Names in a column at the right of the panel, in the order of the points, each tied to its own."""
    ordered = sorted(points, key=lambda point: -point[1])
    step = min(0.055, 1.0 / len(ordered))
    wanted, heights = math.inf, []
    for _, y, _ in ordered:
        wanted = min(y, wanted - step)
        heights.append(wanted)
    lift = max(0.0, -min(heights))  # the lowest name must not fall out of the panel
    last = math.inf
    for (x, y, model), height in zip(ordered, heights, strict=True):
        last = min(height + lift, last - step) if math.isfinite(last) else min(height + lift, 1.0)
        axes.annotate(
            label_of(model), (x, y), xytext=(0.74, (last + 0.04) / 1.08), textcoords="axes fraction", fontsize=7.5,
            va="center", color=colour(model["family"]),
            arrowprops={"arrowstyle": "-", "color": colour(model["family"]), "lw": 0.5, "alpha": 0.5, "shrinkB": 4},
        )  # fmt: skip

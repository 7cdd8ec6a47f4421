"""What samples and scores give away of the training images, and what that costs."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gm.figures.marks import COPY, FRESH, controls, dot, names, whiskers
from gm.figures.style import canvas, colour, rows

ATTACKS = "osD^vPXh*<>"
CONTROLS = {FRESH: {"color": "black", "ls": (0, (4, 2)), "lw": 1.7}, COPY: {"color": "#8a5a00", "ls": "-", "lw": 1.7}}


def membership(attacks: Sequence[Mapping], grid: np.ndarray) -> Figure:
    """Operating characteristics of membership attacks on two logarithmic axes, a panel each.

    Arguments:
        attacks: per attack `name`, `members`, `nonmembers` (numbers of images), `band` `[2, k]` (95 % of attacks that
            know nothing) and `models`: `name`, `family` and `found` `[k]`.
        grid: shares of non-members flagged, `[k]`.

    Returns:
        The figure.
    """
    columns = min(4, len(attacks))
    lines = math.ceil(len(attacks) / columns)
    figure = canvas(min(10.5, 3.5 * columns), (2.9 if columns > 2 else 3.4) * lines + 0.5)
    axes_grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in axes_grid.flat[len(attacks) :]:
        axes.set_visible(False)
    least, families = grid[0], {}
    for axes, attack in zip(axes_grid.flat, attacks, strict=False):
        axes.fill_between(grid, *np.maximum(attack["band"], least / 10), color="#e8e8e8", lw=0)
        axes.plot(grid, grid, color="#999999", lw=0.8)
        for model in sorted(attack["models"], key=lambda model: model["name"] in CONTROLS):
            look = CONTROLS.get(model["name"], {"color": colour(model["family"]), "lw": 1.1, "alpha": 0.8})
            axes.plot(grid, np.maximum(model["found"], least / 10), drawstyle="steps-post", **look)
            if model["name"] not in CONTROLS:
                families[model["family"]] = Line2D([], [], color=look["color"], lw=1.1, label=model["family"])
        axes.set(xscale="log", yscale="log", xlim=(least, 1.0), ylim=(least, 1.15))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.tick_params(labelsize=7.5)
        axes.set_title(f"{attack['name']}\n(n = {attack['members']} + {attack['nonmembers']})", fontsize=9)
    for axes in axes_grid[:, 0]:
        axes.set_ylabel("members found")
    for j in range(columns):
        last = [line[j] for line in axes_grid if line[j].get_visible()][-1]
        last.set_xlabel("non-members flagged")
        last.tick_params(labelbottom=True)
    legend = [Line2D([], [], label=f"{name}: {text}", **CONTROLS[name]) for name, text in (
        (FRESH, "saw no member"), (COPY, "replays training images"))]  # fmt: skip
    legend += [*families.values(), Line2D([], [], color="#e8e8e8", lw=7, label="95 % of guesses")]
    figure.legend(handles=legend, loc="outside lower center", ncols=4)
    return figure


def leakage(models: Sequence[Mapping], attacks: Sequence[str], panels: Sequence[tuple[str, str, float]]) -> Figure:
    """One line of panels, one row per model, one mark per attack.

    Arguments:
        models: per model `name`, `family`, `rows` (of the summary by metric, `<panel>/<attack>`), and `accounted`, the
            row of the epsilon that its fit accounted for, or None.
        attacks: names, at most eleven.
        panels: the metric's first part, the label, and the value of a guess.

    Returns:
        The figure.
    """
    figure = canvas(10.5, 1.2 + (0.16 + 0.075 * len(attacks)) * len(models))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    steps = np.linspace(-0.33, 0.33, len(attacks)) if len(attacks) > 1 else np.zeros(1)
    for axes, (metric, label, guess) in zip(grid.flat, panels, strict=True):
        rows(axes, [model["name"] for model in models], [model["family"] for model in models])
        axes.axvline(guess, color="#444444", lw=0.9)
        for y, model in enumerate(models):
            axes.axhspan(y - 0.45, y + 0.45, color="#f5f5f5", lw=0)
            for attack, step, marker in zip(attacks, steps, ATTACKS, strict=False):
                row = model["rows"].get(f"{metric}/{attack}")
                if row is not None:
                    whiskers(axes, row, y + step, model["family"])
                    tint = colour(model["family"])
                    axes.plot(row["mean"], y + step, marker=marker, ms=4.5, ls="", color=tint, mec="white", mew=0.4)
            if metric == "mia_eps" and model["accounted"] is not None:
                x = model["accounted"]["mean"]
                axes.plot([x, x], [y - 0.42, y + 0.42], color=colour(model["family"]), lw=2.4)
                axes.text(x, y - 0.42, f" ε = {x:.3g}", fontsize=7, va="top", color=colour(model["family"]))
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, -0.03), high * 1.12 if metric == "mia_eps" else min(high, 1.03))
        axes.set_xlabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    look = {"ls": "", "color": "#444444", "ms": 5}
    legend = [Line2D([], [], marker=mark, label=attack, **look) for attack, mark in zip(attacks, ATTACKS, strict=False)]
    legend += [Line2D([], [], color="#444444", lw=0.9, label="a guess"), *controls()[2:]]
    if any(model["accounted"] is not None for model in models):
        legend.append(Line2D([], [], color="#444444", marker="|", ms=10, mew=2.4, ls="", label="ε accounted for"))
    figure.legend(handles=legend, loc="outside lower center", ncols=5)
    return figure


def plane(models: Sequence[Mapping], risk: tuple[str, str, float], panels: Sequence[tuple[str, str]]) -> Figure:
    """Usefulness against what one attack, named beforehand, finds out.

    Arguments:
        models: per model `name`, `family` and `rows`: rows of the summary by metric.
        risk: metric of the abscissa, its label, and the value of a guess.
        panels: metric and label of each ordinate.

    Returns:
        The figure.
    """
    figure = canvas(5.3 * max(len(panels), 1), 4.4)
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (metric, label) in zip(grid.flat, panels, strict=True):
        shown = [model for model in models if metric in model["rows"] and risk[0] in model["rows"]]
        axes.axvline(risk[2], color="#444444", lw=0.9)
        for model in shown:
            x, y = (model["rows"][name] for name in (risk[0], metric))
            whiskers(axes, x, y["mean"], model["family"])
            whiskers(axes, y, x["mean"], model["family"], upright=True)
            dot(axes, x["mean"], y["mean"], model["name"], model["family"])
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        left, right = max(left, 0.0), min(right, 1.0)
        axes.set_xlim(left, right + 0.3 * (right - left))
        if metric.startswith("accuracy/"):
            axes.set_ylim(max(low, 0.0), min(high, 1.0))
        axes.set_xlabel(risk[1])
        axes.set_ylabel(label)
        plain = [{"name": model["name"], "family": model["family"]} for model in shown]
        names(axes, [(m["rows"][risk[0]]["mean"], m["rows"][metric]["mean"], p)
                     for m, p in zip(shown, plain, strict=True)], lift=0.03)  # fmt: skip
    figure.legend(handles=[*controls(), Line2D([], [], color="#444444", lw=0.9, label="a guess")],
                  loc="outside lower center", ncols=3)  # fmt: skip
    return figure


def distances(panels: Sequence[Mapping], grid: np.ndarray) -> Figure:
    """Distribution functions of the distance to the nearest training image, a panel per family.

    Arguments:
        panels: per family `name`, `held_out` `[k]` (real test images) and `models`: `name`, `family`, `share` `[k]`.
        grid: distances in levels, `[k]`.

    Returns:
        The figure.
    """
    columns = min(4, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = canvas(min(10.5, 3.6 * columns), 3.2 * lines)
    axes_grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in axes_grid.flat[len(panels) :]:
        axes.set_visible(False)
    dashes = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (7, 1, 1, 1, 1, 1)))
    for axes, panel in zip(axes_grid.flat, panels, strict=False):
        axes.fill_between(
            grid, panel["held_out"], facecolor="#e8e8e8", edgecolor="#777777", lw=0.8, label="real test images"
        )
        axes.plot(grid, panel["held_out"], color="#777777", lw=0.8)
        for i, model in enumerate(panel["models"]):
            look = CONTROLS.get(model["name"])
            look = look or {"color": colour(model["family"]), "ls": dashes[i % len(dashes)], "lw": 1.4}
            axes.plot(grid, model["share"], drawstyle="steps-post", label=model["name"], **look)
        axes.set(xlim=(0 - 0.015 * grid[-1], grid[-1]), ylim=(0, 1.02))
        axes.set_title(panel["name"])
        axes.set_xlabel("distance (levels)")
        axes.legend(loc="upper left" if len(panel["models"]) < 5 else "lower right", fontsize=6.5, frameon=True,
                    framealpha=0.85, edgecolor="none")  # fmt: skip
    axes_grid[0, 0].set_ylabel("share of images at most that far\nfrom a training image")
    return figure

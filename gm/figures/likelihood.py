"""Likelihoods as intervals, and the ladder of tilted densities."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gm.figures.style import SOLID, canvas, colour, rows

LIFT = 0.15  # of the upper end's marker over the line, of the lower end's under it: of a narrow interval both are seen


def _ends(axes, y: float, low: Mapping, high: Mapping, tint: str, edge: float) -> None:
    """A bar from the lower to the upper end, whiskers over seeds, markers that show each end's kind."""
    left, right = low["mean"], high["mean"]
    lift = 0 if low["kind"] == high["kind"] == "exact" else LIFT
    shown = right if math.isfinite(right) else edge
    axes.plot([left, shown], [y, y], color=tint, lw=6, alpha=0.28, solid_capstyle="butt")
    for row, marker, at in ((low, "<", y + lift), (high, ">", y - lift)):
        if not math.isfinite(row["mean"]):
            axes.annotate("", (edge, y), (left, y), arrowprops={"arrowstyle": "->", "color": tint})
            continue
        if row["over"] == "seeds":
            axes.plot([row["low"], row["high"]], [y, y], color=tint, lw=1.3)
        exact = row["kind"] == "exact"
        face = tint if row["kind"] in SOLID else "white"
        axes.plot(row["mean"], at, marker="o" if exact else marker, ms=6, mfc=face, mec=tint, mew=1.5)


def likelihood(models: Sequence[Mapping], dim: int) -> Figure:
    """Log-likelihood of the test images: one interval per model.

    Arguments:
        models: per model `name`, `family`, `measure` (density or mass), and rows of the summary `lower` and `upper`, in
            nats per image; densities are drawn first.
        dim: number of pixels, for bits per dimension.

    Returns:
        The figure.
    """
    models = sorted(models, key=lambda model: model["measure"])
    figure = canvas(8.2, 1.3 + 0.36 * len(models))
    axes = figure.subplots()
    finite = [row["mean"] for model in models for row in (model["lower"], model["upper"])]
    finite = [value for value in finite if math.isfinite(value)]
    margin = 0.06 * (max(finite) - min(finite) or 1.0)
    edge = max(finite) + 2 * margin
    for y, model in enumerate(models):
        low, high = model["lower"], model["upper"]
        _ends(axes, y, low, high, colour(model["family"]), edge)
        high_text = f"{high['mean']:.1f}" if math.isfinite(high["mean"]) else "unbounded"
        text = f"{low['mean']:.1f}" if low["kind"] == "exact" else f"{low['mean']:.1f} to {high_text}"
        text = f"{text}   {low['n_ok']}/{low['n_planned']}"
        axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_xlim(min(finite) - margin, edge + margin / 2)
    names = [f"{m['name']} (mass)" if m["measure"] == "mass" else m["name"] for m in models]
    rows(axes, names, [model["family"] for model in models])
    masses = sum(model["measure"] == "mass" for model in models)
    if 0 < masses < len(models):
        axes.axhline(len(models) - masses - 0.5, color="#444444", lw=0.8, ls=(0, (1, 2)))
    n = max(int(float(model["lower"]["n"])) for model in models)
    label = f"log p(y) in nats per image, mean of n = {n} test images (further right is better)"
    errors = sorted(model["lower"]["se_items"] for model in models if model["lower"]["se_items"])
    if errors:
        common = 1.96 * errors[len(errors) // 2]
        label += f"\nnot drawn: about ±{common:.1f} from the choice of images, most of it common to all (see the pairs)"
    axes.set_xlabel(label)
    scale = dim * math.log(2)
    second = axes.secondary_xaxis("top", functions=(lambda x: -x / scale, lambda x: -x * scale))
    second.set_xlabel("bits per dimension")
    legend = [
        Line2D([], [], marker="o", ls="", color="#444444", label="exact"),
        Line2D([], [], marker=">", ls="", color="#444444", label="certified end"),
        Line2D([], [], marker=">", ls="", mfc="white", mec="#444444", label="heuristic end"),
        Line2D([], [], color="#444444", lw=1.3, label="95 % over seeds"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=4)
    return figure


def ladder(base: str, steps: Sequence[Mapping]) -> Figure:
    """How many nats each rung gains over the base, and over the rung below.

    Arguments:
        base: name of the reference density.
        steps: per rung `name`, `family`, `gain` (paired row against the base) and `step` (against the rung below).

    Returns:
        The figure.
    """
    figure = canvas(8.2, 1.5 + 0.55 * len(steps))
    axes = figure.subplots()
    axes.axvline(0, color="#444444", lw=1)
    for y, rung in enumerate(steps):
        gain, tint = rung["gain"], colour(rung["family"])
        ends = [gain["lower"], gain["upper"]]
        if not all(math.isfinite(end) for end in ends):
            continue
        axes.plot(ends, [y, y], color=tint, lw=8, alpha=0.28, solid_capstyle="butt")
        axes.plot([gain["low"], gain["high"]], [y, y], color=tint, lw=1.3)
        for end, side, marker, at in ((ends[0], "lower", "<", y + LIFT), (ends[1], "upper", ">", y - LIFT)):
            face = tint if gain[f"kind_{side}"] in SOLID else "white"
            axes.plot(end, at, marker=marker, ms=6, mfc=face, mec=tint, mew=1.5)
        step = rung["step"]
        kind = {"wins": gain["kind_lower"], "loses": gain["kind_upper"]}.get(gain["verdict"])
        text = gain["verdict"] + (f" by a {kind} end" if kind else "")
        if step is not None:
            text += f"\nover {step['reference']}: {step['low']:+.1f} to {step['high']:+.1f}"
        axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    rows(axes, [rung["name"] for rung in steps], [rung["family"] for rung in steps])
    seeds = ", ".join(f"{rung['gain']['n_ok']}/{rung['gain']['n_planned']}" for rung in steps)
    axes.set_xlabel(
        f"gain over {base} in nats per test image, paired (n = {steps[0]['gain']['n']}; seeds {seeds}); "
        "line: 95 % interval"
    )
    return figure

"""Marks that several figures share: dots, whiskers, and names beside points."""

from collections.abc import Mapping, Sequence

from matplotlib.lines import Line2D

from gm.figures.style import colour

FRESH, COPY = "resample", "memoriser"


def dot(axes, x: float, y: float, name: str, family: str) -> None:
    """A mean; a diamond for fresh real images, a cross for the replay of training images."""
    marker = {FRESH: "D", COPY: "X"}.get(name, "o")
    axes.plot(x, y, marker=marker, ms=6.5, ls="", color=colour(family), mec="white", mew=0.6)


def whiskers(axes, row: Mapping, at: float, family: str, *, upright: bool = False) -> None:
    """The interval over seeds, and behind it, pale, the one over seeds and test items.

    With few seeds the latter may be the shorter: the items' error, which it shares, is known better than the seeds'.
    """
    ends = [(row["low_total"], row["high_total"])] if row["half_total"] else []
    ends += [(row["low"], row["high"])] if row["low"] is not None else []
    for (low, high), (alpha, width) in zip(reversed(ends), [(1.0, 2.0), (0.35, 1.2)], strict=False):
        place = ([at, at], [low, high]) if upright else ([low, high], [at, at])
        axes.plot(*place, color=colour(family), lw=width, alpha=alpha, solid_capstyle="butt")


def controls() -> list[Line2D]:
    """What the marks of `dot` and `whiskers` mean, for a legend."""
    return [
        Line2D([], [], marker="D", ls="", color=colour("control"), label=f"{FRESH}: fresh real images"),
        Line2D([], [], marker="X", ls="", color=colour("control"), label=f"{COPY}: replays training images"),
        Line2D([], [], color="#444444", lw=2.0, label="95 % over seeds (over images where no seed moves it)"),
        Line2D([], [], color="#444444", lw=1.2, alpha=0.35, label="over seeds and images (may be the shorter)"),
    ]


def label_of(model: Mapping) -> str:
    """Its name, and whether its likelihood is a mass."""
    return f"{model['name']} (mass)" if model.get("measure") == "mass" else model["name"]


def names(axes, points: Sequence[tuple[float, float, Mapping]], *, lift: float = 0.0) -> None:
    """Write names beside points, from the top down, none on top of another, lifted off what lies at their height."""
    placed: list[tuple[float, float]] = []
    to_page = axes.transData + axes.transAxes.inverted()
    spots = [(*to_page.transform((x, y)), x, y, model) for x, y, model in points]
    for left, top, x, y, model in sorted(spots, key=lambda spot: -spot[1]):
        height = top + lift
        for other, taken in placed:
            if abs(left - other) < 0.25 and taken - height < 0.042:
                height = taken - 0.042
        placed.append((left, height))
        axes.annotate(
            label_of(model), (x, y), (left + 0.02, height), textcoords="axes fraction", fontsize=8, va="center",
            color=colour(model["family"]),
        )  # fmt: skip

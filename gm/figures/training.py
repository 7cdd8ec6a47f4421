"""What a fit recorded, step by step."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gm.figures.style import canvas, colour

COLUMNS = 6


def training(models: Sequence[Mapping]) -> Figure:
    """One line of panels per model, one panel per named term (the first six), one curve per seed.

    Arguments:
        models: per model `name`, `family` and `terms`: by term a list of `(steps, values)`, one per seed.

    Returns:
        The figure.
    """
    columns = min(COLUMNS, max(len(model["terms"]) for model in models))
    figure = canvas(10.5, 1.35 * len(models) + 0.3)
    grid = figure.subplots(len(models), columns, squeeze=False)
    for line, model in zip(grid, models, strict=True):
        terms = list(model["terms"].items())[:COLUMNS]
        for axes, (term, curves) in zip(line, terms, strict=False):
            for steps, values in curves:
                axes.plot(steps, values, color=colour(model["family"]), lw=1, alpha=0.75)
            axes.set_title(term, fontsize=8)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(labelsize=7)
        line[0].set_ylabel(model["name"], fontsize=8, color=colour(model["family"]), fontweight="bold")
        for axes in line[len(terms) :]:
            axes.set_visible(False)
    figure.supxlabel("step of the fit", fontsize=8)
    return figure

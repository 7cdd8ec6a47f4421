"""Which cells of the grid ran."""

from collections.abc import Mapping, Sequence

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gm.figures.style import STATUS, canvas, colour, write

MEANING = {
    "ok": "all seeds ran",
    "part": "some seeds failed",
    "failed": "no seed ran",
    "skipped": "not planned (the reason is in the table)",
    "missing": "no record",
}


def coverage(models: Sequence[tuple[str, str]], datasets: Sequence[str], cells: Mapping) -> Figure:
    """Models by datasets, each cell with how many seeds ran.

    Arguments:
        models: names and families in display order.
        datasets: names.
        cells: by `(model, dataset)` a pair of state (a key of `MEANING`) and text.

    Returns:
        The figure.
    """
    figure = canvas(2.6 + min(1.7 * len(datasets), max(14.0, 0.8 * len(datasets))), 1.3 + 0.3 * len(models))
    axes = figure.subplots()
    states = [[cells.get((model, dataset), ("skipped", ""))[0] for dataset in datasets] for model, _ in models]
    axes.imshow([[to_rgb(STATUS[state]) for state in line] for line in states], aspect="auto")
    for i, (model, _) in enumerate(models):
        for j, dataset in enumerate(datasets):
            text = cells.get((model, dataset), ("skipped", ""))[1]
            write(axes, j, i, text, fontsize=8)
    axes.set_xticks(range(len(datasets)), datasets, fontsize=None if len(datasets) < 9 else 8)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(models)), [name for name, _ in models])
    for tick, (_, family) in zip(axes.get_yticklabels(), models, strict=True):
        tick.set_color(colour(family))
    axes.grid(visible=False)
    axes.set_xticks([j - 0.5 for j in range(1, len(datasets))], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, len(models))], minor=True)
    axes.grid(which="minor", color="white", lw=2)
    axes.tick_params(which="both", length=0)
    present = {state for line in states for state in line}
    handles = [Patch(color=STATUS[state], label=text) for state, text in MEANING.items() if state in present]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure

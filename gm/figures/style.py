"""How every figure looks, and how it becomes bytes."""

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from io import BytesIO

import matplotlib
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

# Okabe and Ito, Color Universal Design, 2008: told apart by every common kind of colour vision.
FAMILY = {"control": "#6b6b6b", "kl": "#0072B2", "maxent": "#D55E00", "vae": "#009E73"}
FAMILY |= {"annealed": "#0072B2", "tempered": "#D55E00", "chains": "#009E73", "importance": "#E69F00"}
OTHER = "#CC79A7"
LINES = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
STATUS = {"ok": "#bfe3d0", "part": "#fbe3a6", "failed": "#f2b8a6", "skipped": "#eeeeee", "missing": "#d9c2e0"}
SOLID = ("exact", "certified", "estimate", "count")
FORMATS = ("svg", "pdf", "png")
DPI = 130


@contextmanager
def theme() -> Iterator[None]:
    """Settings of all figures; within them the same drawing gives the same bytes."""
    settings = seaborn.axes_style("whitegrid") | {
        "svg.hashsalt": "gm",
        "svg.fonttype": "path",
        "pdf.compression": 9,
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.edgecolor": "#999999",
        "grid.color": "#e6e6e6",
        "legend.frameon": False,
        "legend.fontsize": 8,
        "figure.dpi": DPI,  # the layout is found at the resolution of the picture, where text has its width
        "savefig.dpi": DPI,
    }
    with matplotlib.rc_context(settings):
        yield


def colour(family: str) -> str:
    """A family's colour; an unknown family has one too."""
    return FAMILY.get(family, OTHER)


def palette(names: Sequence[str]) -> dict[str, dict]:
    """Colour and dashes of lines that belong to no family, by name: as many as there are names.

    Example:
        >>> palette(["a", "b"])["b"]["color"]
        '#56B4E9'
    """
    dashes = ("-", (0, (5, 1.5)), (0, (1, 1)))
    return {
        name: {"color": LINES[index % len(LINES)], "ls": dashes[index // len(LINES) % 3], "lw": 1.4}
        for index, name in enumerate(names)
    }


def canvas(width: float, height: float) -> Figure:
    """An empty figure in inches, outside any global state."""
    return Figure(figsize=(width, height), layout="constrained")


def rows(axes, labels: list[str], present: list[str]) -> None:
    """One row per model from the top down, each label in the colour of its family."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    for label, family in zip(axes.get_yticklabels(), present, strict=False):
        label.set_color(colour(family))


def logarithmic(axis) -> None:
    """A logarithmic axis with few, plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def save(figure: Figure, title: str, origin: str) -> dict[str, bytes]:
    """The figure as SVG, PDF and PNG, with its origin inside and no date.

    Arguments:
        figure: drawn within `theme`.
        title: what it shows.
        origin: hash of the table and commit of the code.

    Returns:
        Bytes by format.
    """
    # The layout is found once: a figure that still has an engine is drawn twice for every format.
    if figure.axes and (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
    metadata: Mapping[str, dict] = {
        "svg": {"Title": title, "Description": origin, "Date": None},
        "pdf": {"Title": title, "Subject": origin, "CreationDate": None},
        "png": {"Title": title, "Description": origin},
    }
    out = {}
    for kind in FORMATS:
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata[kind])
        out[kind] = buffer.getvalue()
    return out


def save_all(figures: Mapping[str, Figure], titles: Mapping[str, str], origin: str, *, cores: int) -> Iterator[dict]:
    """What `save` gives for each of some figures, in their order; a forked process a core draws them."""
    if cores == 1 or len(figures) < 2:
        yield from (save(figure, titles[name], origin) for name, figure in figures.items())
        return
    fork = multiprocessing.get_context("fork")  # which hands the figures over as they are: to pickle one takes as long
    with ProcessPoolExecutor(cores, fork, _hold, (figures, titles, origin)) as pool:
        yield from pool.map(_save, figures)


_HELD: dict[str, tuple] = {}  # in a drawing process alone


def _hold(*given: object) -> None:
    _HELD["figures"] = given


def _save(name: str) -> dict[str, bytes]:
    figures, titles, origin = _HELD["figures"]
    return save(figures[name], titles[name], origin)

"""How every figure looks, and how it becomes bytes."""

import gc
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from io import BytesIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox
from PIL.PngImagePlugin import PngInfo
from pypdfium2 import PdfDocument

from gm.figures.recorder import recorded

# Okabe and Ito, Color Universal Design, 2008: told apart by every common kind of colour vision.
FAMILY = {"control": "#6b6b6b", "kl": "#0072B2", "maxent": "#D55E00", "vae": "#009E73"}
FAMILY |= {"annealed": "#0072B2", "tempered": "#D55E00", "chains": "#009E73", "importance": "#E69F00"}
OTHER = "#CC79A7"
LINES = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7")
STATUS = {"ok": "#bfe3d0", "part": "#fbe3a6", "failed": "#f2b8a6", "skipped": "#eeeeee", "missing": "#d9c2e0"}
SOLID = ("exact", "certified", "estimate", "count")
INK = "0.15"
DPI = 130

Name = tuple[str, str]  # of a dataset, empty for the whole benchmark, and of a figure
Drawing = Callable[[], Figure]


@contextmanager
def theme() -> Iterator[None]:
    """Settings of all figures; within them the same drawing gives the same bytes."""
    settings = {
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.bottom": False,
        "ytick.left": False,
        "lines.solid_capstyle": "round",
        "patch.edgecolor": "white",
        "patch.force_edgecolor": True,
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
        "figure.dpi": DPI,
        "text.hinting": "none",  # the layout is found with the widths that text has in the PDF
        "savefig.dpi": DPI,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever a user's own matplotlibrc says
        matplotlib.rcParams.update(settings)
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
    """One row per model from the top down, each label in the colour of its family, where a panel shows labels."""
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    if not axes.yaxis.get_tick_params()["labelleft"]:
        return  # ticks that nobody sees would take as long as others
    axes.set_yticks(range(len(labels)), labels)
    for label, family in zip(axes.get_yticklabels(), present, strict=False):
        label.set_color(colour(family))


def write(axes, x: float, y: float, text: str, **how: object) -> None:
    """Text in the middle of a cell, which the layout need not measure."""
    axes.text(x, y, text, ha="center", va="center", **how).set_in_layout(False)


def logarithmic(axis) -> None:
    """A logarithmic axis with few, plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def save(figure: Figure, title: str, origin: str) -> dict[str, bytes]:
    """The figure as SVG, PDF and PNG, with its origin inside and no date; the PNG is a picture of the PDF.

    Arguments:
        figure: drawn within `theme`.
        title: what it shows.
        origin: hash of the table and commit of the code.

    Returns:
        Bytes by format.
    """
    # The layout is found once: a figure that still has an engine is drawn twice for every format.
    if figure.axes and (engine := figure.get_layout_engine()) is not None:
        for axes in figure.axes:
            pin(axes)
        engine.execute(figure)
        figure.set_layout_engine(None)
        for axes in figure.axes:
            _settle(axes)
    figure = recorded(figure, DPI)
    svg, pdf, png = BytesIO(), BytesIO(), BytesIO()
    figure.savefig(svg, format="svg", metadata={"Title": title, "Description": origin, "Date": None})
    figure.savefig(pdf, format="pdf", metadata={"Title": title, "Subject": origin, "CreationDate": None})
    about = PngInfo()
    about.add_text("Title", title)
    about.add_text("Description", origin)
    with PdfDocument(pdf.getvalue()) as document:
        document[0].render(scale=DPI / 72).to_pil().save(png, "png", pnginfo=about, compress_level=1)
    return {"svg": svg.getvalue(), "pdf": pdf.getvalue(), "png": png.getvalue()}


def pin(axes: Axes) -> None:
    """Keep the layout from measuring all tick labels again for what cannot move: empty labels, and most titles."""
    for axis in (axes.xaxis, axes.yaxis):
        if not axis.label.get_text():
            axis.set_label_coords(0, 0)
    axes.spines[:].set_in_layout(False)  # as large as the axes: ticks have no marks
    axes.yaxis.get_majorticklabels()  # which the text of an offset follows from
    pushed = axes.xaxis.get_tick_params().get("labeltop") or axes.yaxis.get_major_formatter().get_offset()
    axes._autotitlepos = bool(pushed)  # should matplotlib rename it, this is merely of no use


def _settle(axes: Axes) -> None:
    """Leave axes, title and labels where the layout has put them: each drawing would look for their places again.

    The layout's last digits are not the same each time, and clip paths are named by all of them.
    """
    axes.set_position(Bbox(axes.get_position(original=True).get_points().round(9)))
    axes._autotitlepos = False
    for axis in (axes.xaxis, axes.yaxis):
        place = axis.label.get_transform().transform(axis.label.get_position())
        axis.set_label_coords(*axes.transAxes.inverted().transform(place))


def save_all(
    drawings: Mapping[Name, Drawing], titles: Mapping[Name, str], origin: str, *, cores: int
) -> Iterator[dict[str, bytes]]:
    """What `save` gives for each of some drawings, in their order; a forked process a core makes them."""
    if cores == 1 or len(drawings) < 2:
        yield from (save(draw(), titles[name], origin) for name, draw in drawings.items())
        return
    fork = multiprocessing.get_context("fork")  # which hands over what is to be drawn as it is
    with ProcessPoolExecutor(cores, fork, _hold, (drawings, titles, origin)) as pool:
        yield from pool.map(_save, drawings)


_HELD: dict[str, tuple] = {}  # in a drawing process alone


def _hold(*given: object) -> None:
    _HELD["drawings"] = given
    gc.disable()  # figures are full of cycles: looking for them took a fifth of the time, and this process ends soon


def _save(name: Name) -> dict[str, bytes]:
    drawings, titles, origin = _HELD["drawings"]
    return save(drawings[name](), titles[name], origin)

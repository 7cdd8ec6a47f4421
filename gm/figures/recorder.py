"""One walk through a figure for all its formats: finding what to draw takes longer than writing it."""

from collections.abc import Callable

from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.figure import Figure

POINTS = 72  # to an inch, the unit of every vector format


class Recorder(RendererBase):
    """A renderer that remembers what it is asked to draw, in points, upwards.

    Arguments:
        width: in inches.
        height: in inches.
        dpi: of images that have to be resampled.
    """

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__()
        self.size = width * POINTS, height * POINTS
        self.magnification = dpi / POINTS
        self.calls: list[tuple[str, tuple, dict]] = []

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.size

    def get_image_magnification(self) -> float:
        return self.magnification

    def option_scale_image(self) -> bool:
        return True

    def flipy(self) -> bool:
        return False

    def _remember(name: str) -> Callable[..., None]:
        def call(self, *given: object, **named: object) -> None:
            if given and isinstance(given[0], GraphicsContextBase):  # which artists change between two calls
                kept = GraphicsContextBase()
                kept.copy_properties(given[0])
                given = kept, *given[1:]
            self.calls.append((name, given, named))

        return call

    open_group, close_group = _remember("open_group"), _remember("close_group")
    draw_path, draw_markers = _remember("draw_path"), _remember("draw_markers")
    draw_path_collection, draw_quad_mesh = _remember("draw_path_collection"), _remember("draw_quad_mesh")
    draw_image, draw_text = _remember("draw_image"), _remember("draw_text")


class Recording(Artist):
    """Draws again what a `Recorder` of some height remembers."""

    def __init__(self, calls: list[tuple[str, tuple, dict]], height: float) -> None:
        super().__init__()
        self.calls, self.height = calls, height

    def draw(self, renderer: RendererBase) -> None:
        """Draw all of it on the renderer of a format."""
        for name, given, named in self.calls:
            if given and isinstance(given[0], GraphicsContextBase):
                context = renderer.new_gc()
                context.copy_properties(given[0])
                given = context, *given[1:]
            if name == "draw_text" and renderer.flipy():
                context, x, y, *rest = given
                given = context, x, self.height - y, *rest
            getattr(renderer, name)(*given, **named)


def recorded(figure: Figure, dpi: float) -> Figure:
    """A figure that looks like another one, whose layout is found, and costs less to draw.

    Arguments:
        figure: the other one; it is drawn once, here.
        dpi: of images that have to be resampled.
    """
    recorder = Recorder(*figure.get_size_inches(), dpi)
    figure.dpi = POINTS
    figure.draw(recorder)
    sheet = Figure(figsize=figure.get_size_inches())
    sheet.patch.set_visible(False)  # the other one's is in the recording
    sheet.add_artist(Recording(recorder.calls[1:-1], recorder.size[1]))  # the group of all is the sheet's own
    return sheet

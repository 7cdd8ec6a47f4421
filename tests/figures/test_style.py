"""A figure is laid out and walked through once: nothing may lie elsewhere than matplotlib alone would put it."""

import re
from io import BytesIO

import numpy as np
import pytest

from gm.figures import style
from gm.figures.recorder import recorded


def drawn(*, top: bool = False, scale: float = 1.0, labels: bool = True):
    """Two panels with every kind of mark that figures have."""
    figure = style.canvas(6.0, 3.0)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1, 2], np.array([1.0, 3.0, 2.0]) * scale, marker="o", label="a curve")
    left.fill_between([0, 1, 2], 0, np.array([1.0, 2.0, 1.0]) * scale, color="#cccccc", hatch="//")
    left.text(1.0, scale, "two\nlines", rotation=30)
    left.legend()
    right.imshow(np.linspace(0, 1, 48).reshape(4, 4, 3), interpolation="nearest")
    right.pcolormesh(np.arange(3), np.arange(3), np.arange(4).reshape(2, 2), edgecolor="white")
    right.scatter([0, 1, 2], [0, 1, 2], s=[10, 20, 30], c=["r", "g", "b"])
    for axes in (left, right):
        axes.set_title("a title", loc="left")
        if top:
            axes.xaxis.tick_top()
        if labels:
            axes.set_xlabel("abscissa")
            axes.set_ylabel("ordinate")
    return figure


def laid_out():
    figure = drawn()
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine(None)
    return figure


def texts(axes) -> list:
    """What a layout moves out of the way of tick labels."""
    return [axes._left_title, *(axis.label for axis in (axes.xaxis, axes.yaxis) if axis.label.get_text())]


def written(figure, kind: str) -> bytes:
    out = BytesIO()
    figure.savefig(out, format=kind, metadata={"Date": None} if kind == "svg" else {"CreationDate": None})
    return out.getvalue()


def test_a_recording_has_the_bytes_of_the_figure():
    with style.theme():
        figures = laid_out(), laid_out()
        assert written(figures[0], "pdf") == written(recorded(figures[1], style.DPI), "pdf")


def test_formats_of_a_recording_agree_with_the_figure():
    """matplotlib measures an SVG's text at a hundred points, a PDF's at its size: hundredths of a point."""
    with style.theme():
        figures = laid_out(), laid_out()
        plain, made = written(figures[0], "svg"), written(recorded(figures[1], style.DPI), "svg")
    number = re.compile(rb"-?\d+\.\d+")
    assert number.sub(b"", plain) == number.sub(b"", made)
    ours, theirs = (np.array([float(found) for found in number.findall(text)]) for text in (made, plain))
    assert len(ours) > 500
    assert np.abs(ours - theirs).max() < 0.05  # points


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("top", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e7])  # the latter writes 1e7 above the axis, where the title would be
def test_the_layout_is_that_of_matplotlib(top, scale, labels):
    with style.theme():
        pinned, plain = (drawn(top=top, scale=scale, labels=labels) for _ in range(2))
        for axes in pinned.axes:
            style.pin(axes)
        for figure in (pinned, plain):
            figure.get_layout_engine().execute(figure)
            figure.draw_without_rendering()
        for ours, theirs in zip(pinned.axes, plain.axes, strict=True):
            assert ours.get_position().bounds == pytest.approx(theirs.get_position().bounds, abs=1e-9)
            for mine, other in zip(texts(ours), texts(theirs), strict=True):
                assert mine.get_window_extent().bounds == pytest.approx(other.get_window_extent().bounds, abs=1e-6)


def test_a_title_is_above_the_text_of_an_offset():
    with style.theme():
        figure = drawn(scale=1e7)
        style.pin(figure.axes[0])
        figure.draw_without_rendering()
        axes = figure.axes[0]
        assert axes.yaxis.get_offset_text().get_text() == "1e7"
        assert texts(axes)[0].get_window_extent().y0 >= axes.yaxis.get_offset_text().get_window_extent().y1 - 1e-6

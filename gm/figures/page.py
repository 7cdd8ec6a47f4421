"""The page that stands alone: every picture and every style inside one file."""

import base64
import math
from collections.abc import Mapping

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

Row = Mapping[str, object]


def shown(value: object) -> str:
    """A number for reading, with no more digits than the eye can use; an infinite end as a word.

    Example:
        >>> shown(-123.456), shown(0.4), shown(0.001234), shown(12345678), shown(None), shown(math.inf)
        ('-123.5', '0.400', '0.0012', '12,345,678', '', 'unbounded')
    """
    if value is None or value == "":
        return ""
    value = float(value)
    size = abs(value)
    if not math.isfinite(value):
        return "unbounded"
    if value == 0 or size >= 1000:
        return f"{value:,.0f}"
    if size >= 0.01:
        return f"{value:.{1 if size >= 100 else 2 if size >= 1 else 3}f}"
    return f"{value:.2g}"


def cell(row: Row | None, gone: str = "") -> Markup:
    """A mean with its 95 % interval, as a cell that sorts by the mean."""
    if row is None:
        return Markup('<td class="none" data-v="">{}</td>').format(gone)
    text = Markup("<b>{}</b>").format(shown(row["mean"]))
    if row["low"] is not None:
        about = " over images" if row["over"] == "items" else ""
        text += Markup(" <i>[{}, {}]{}</i>").format(shown(row["low"]), shown(row["high"]), about)
    return Markup('<td data-v="{}">{}</td>').format(row["mean"], text)


def area(value: float, half: float | None) -> Markup:
    """A share between 0 and 1 with its half width, as a cell that sorts by the share; empty where there is none.

    Example:
        >>> str(area(0.5, 0.1))
        '<td data-v="0.5">0.50 <i>±.10</i></td>'
    """
    value = float(value)
    if math.isnan(value):
        return Markup('<td class="none" data-v=""></td>')
    about = "" if half is None or math.isnan(half) else Markup(" <i>±{}</i>").format(f"{half:.2f}".removeprefix("0"))
    return Markup('<td data-v="{}">{}{}</td>').format(value, f"{value:.2f}", about)


def three(row: Row) -> Markup:
    """Bits per dimension with their 95 % interval, as a cell that sorts; empty where there is no such end."""
    if not math.isfinite(row["mean"]):
        return Markup('<td class="none" data-v="">no end</td>')
    text = Markup("<b>{}</b>").format(f"{row['mean']:.3f}")
    if row["half_total"]:
        text += Markup(" <i>±{}</i>").format(f"{row['half_total']:.3f}".removeprefix("0"))
    return Markup('<td data-v="{}">{}</td>').format(row["mean"], text)


def bits(low: float, high: float) -> str:
    """Bits per dimension from one end to the other, which need three decimals.

    Example:
        >>> bits(2.5, 2.5), bits(2.5, 2.6), bits(-math.inf, 2.6)
        ('2.500', '2.500 to 2.600', 'at most 2.600')
    """
    if not math.isfinite(high):
        return f"at least {low:.3f}" if math.isfinite(low) else ""
    if not math.isfinite(low):
        return f"at most {high:.3f}"
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def picture(content: bytes, kind: str) -> str:
    """Bytes of a picture as an address that needs no network."""
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def page(template: str, style: str, **content: object) -> str:
    """Fill the template of a report.

    Arguments:
        template: its text.
        style: the style sheet that all reports share.
        content: what it names.

    Returns:
        HTML.

    Raises:
        jinja2.UndefinedError: when the template names something that was not given.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"area": area, "bits": bits, "cell": cell, "shown": shown, "three": three}
    return environment.from_string(template).render(style=Markup(style), **content)

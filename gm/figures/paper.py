"""The paper: tables as LaTeX and as numbers, and one PDF of tables, figures and the words between.

The document is data, typeset by one fixed template (`paper.typ`): no name of a user's is ever read as markup.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gm.figures import style
from gm.figures.page import shown

# What LaTeX would read as something else.
TEX = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
TEX |= {sign: f"\\{sign}" for sign in "$&#_%"} | {"`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "--": "-{}-"}
TEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "\n": " "}
TEX |= {"±": r"$\pm$", "×": r"$\times$", "≈": r"$\approx$", "−": "$-$", "ε": r"$\varepsilon$", "²": "$^2$"}
SPECIAL = re.compile("|".join(map(re.escape, sorted(TEX, key=len, reverse=True))))
MINUS = re.compile(r"(?<![\w.])-(?=\d)")
STACKED, SMALL = 5, 8  # columns of a LaTeX table beyond which intervals stand below, and letters are smaller
LONG = 44  # signs of a text that is wrapped
# What is said of an interval that is not over what the others are over.
ITEMS, SEEDS = {"items": " i"}, {"seeds": " s"}


@dataclass(frozen=True)
class Cell:
    """What a table shows at one place, and the numbers behind it, by what follows the column's name."""

    text: str
    note: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    family: str = ""


@dataclass(frozen=True)
class Table:
    """A table: the name of its files, what it says, its columns and its rows."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Figure:
    """A figure: which, of which dataset (empty: of the whole benchmark), and its file below the root."""

    name: str
    dataset: str
    file: str


@dataclass(frozen=True)
class Section:
    """A heading with what follows it: texts, tables and figures."""

    title: str
    level: int
    parts: Sequence["str | Table | Figure"]


def plain(value: object, family: str = "") -> Cell:
    """A text, or a number shown as it is."""
    return Cell(str(value), "", {"": value}, family)


def number(value: float | None, form: str = "") -> Cell:
    """A number without an interval, in a format or with few digits; empty where there is none."""
    if value is None:
        return Cell("", "", {"": None})
    return Cell(format(value, form) if form and math.isfinite(value) else shown(value), "", {"": value})


def interval(row: Mapping | None, name: str = "mean", marks: Mapping[str, str] = ITEMS) -> Cell:
    """A number with its 95 % interval, from a row of the summary or a pooled one; empty where there is no row.

    Arguments:
        row: `name`, `low`, `high` and `over`.
        name: the key of the number.
        marks: what follows the interval, by what it is over.

    Example:
        >>> cell = interval({"mean": 0.5, "low": 0.4, "high": 0.6, "over": "items"})
        >>> cell.text, cell.note, cell.data
        ('0.500', '[0.400, 0.600] i', {'': 0.5, 'low': 0.4, 'high': 0.6, 'over': 'items'})
    """
    if not row:
        return number(None)
    if row["low"] is None or row["low"] == row["high"]:
        return number(row[name])
    ends = {key: row[key] for key in ("low", "high", "over")}
    note = f"[{shown(row['low'])}, {shown(row['high'])}]{marks.get(row['over'], '')}"
    return Cell(shown(row[name]), note, {"": row[name]} | ends)


def share(value: float, half: float) -> Cell:
    """A share between 0 and 1 with the half width of its interval; empty where there is none."""
    if math.isnan(value):
        return Cell("", "", {"": None})
    if math.isnan(half):
        return number(value, ".2f")
    return Cell(f"{value:.2f}", f"±{half:.2f}".replace("±0.", "±."), {"": value, "half": half})


def numbers(table: Table) -> tuple[list[str], list[dict[str, object]]]:
    """A table as columns and rows of plain numbers, each end of an interval in a column of its own."""
    ends = [list(dict.fromkeys(["", *(key for row in table.rows for key in row[i].data)]))
            for i in range(len(table.columns))]  # fmt: skip
    names = [[f"{column} {end}".strip() for end in found] for column, found in zip(table.columns, ends, strict=True)]
    rows = [
        {
            name: cell.data.get(end)
            for cell, keys, found in zip(row, names, ends, strict=True)
            for name, end in zip(keys, found, strict=True)
        }
        for row in table.rows
    ]
    return [name for keys in names for name in keys], rows


def escape(text: str) -> str:
    r"""Text as LaTeX that prints it.

    Example:
        >>> escape("a_b#c")
        'a\\_b\\#c'
    """
    found = SPECIAL.sub(lambda sign: TEX[sign[0]], text)
    return f"{{{found[0]}}}{found[1:]}" if found[:1] in ("[", "*") else found  # the \\ before a row would take them


def latex(table: Table, origin: str) -> str:
    """A table as LaTeX, with the rules of the package booktabs; `origin` says in a comment what it was made from."""
    count = len(table.columns)
    sides = ["r" if numeric(table, i) else r"p{0.4\linewidth}" if wrapped(table, i) else "l" for i in range(count)]
    stacked, sizes = count > STACKED, (r"\footnotesize", r"\scriptsize", r"\tiny")
    size, less = sizes[1:] if count > SMALL else sizes[:2]

    def line(cells: Iterable[str]) -> str:
        return " & ".join(cells) + r" \\"

    def one(cell: Cell) -> str:
        text, note = (escape(MINUS.sub("−", words)) for words in (cell.text, cell.note))
        if not note:
            return text
        note = f"{{{less} {note}}}"
        return rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{text} \\ {note}\end{{tabular}}" if stacked else f"{text} {note}"

    rows = [line(map(one, row)) for row in table.rows]
    head = [f"% {origin}", r"% \usepackage[T1]{fontenc} \usepackage{booktabs}", r"\begin{table}"]
    head += [rf"\caption{{{escape(table.caption)}}}", rf"\centering {size} \setlength{{\tabcolsep}}{{3pt}}"]
    head += [rf"\begin{{tabular}}{{{''.join(sides)}}}"]
    body = [r"\toprule", line(map(escape, table.columns)), r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([*head, *body, r"\end{tabular}", r"\end{table}", ""])


def numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers alone."""
    found = [row[column].data.get("") for row in table.rows]
    return all(value is None or isinstance(value, int | float) for value in found)


def wrapped(table: Table, column: int) -> bool:
    """Whether a column holds a text that wants several lines."""
    return any(len(row[column].text) > LONG for row in table.rows)


def document(title: str, sections: Iterable[Section], captions: Mapping[str, str]) -> str:
    """What the template typesets, as JSON; a figure that several datasets have is explained once."""
    seen: set[str] = set()
    found = []
    for section in sections:
        parts = [_part(part, captions, seen) for part in section.parts]
        found.append({"title": section.title, "level": section.level, "parts": parts})
    return json.dumps({"title": title, "sections": found})


def pdf(template: str, root: Path, content: str) -> bytes:
    """The paper. Equal content gives equal bytes: no date, and no font but those of typst itself.

    Arguments:
        template: the text of `paper.typ`.
        root: the folder below which the figures lie.
        content: of `document`.
    """
    import typst  # 80 MB, which only a paper needs

    given = {"content": content}
    return typst.compile(template.encode(), root=str(root), sys_inputs=given, ignore_system_fonts=True)


def _part(part: str | Table | Figure, captions: Mapping, seen: set[str]) -> dict:
    if isinstance(part, str):
        return {"kind": "text", "text": _set(part)}
    if isinstance(part, Figure):
        first, about = part.name not in seen, {"name": part.name, "dataset": part.dataset, "file": f"/{part.file}"}
        seen.add(part.name)
        return {"kind": "figure", "first": first, "caption": _set(captions[part.name])} | about
    sides = [numeric(part, i) for i in range(len(part.columns))]
    rows = [[_shown(cell) for cell in row] for row in part.rows]
    long = [wrapped(part, i) for i in range(len(part.columns))]
    about = {"kind": "table", "caption": _set(part.caption), "columns": list(part.columns)}
    return about | {"rows": rows, "numeric": sides, "long": long}


def _shown(cell: Cell) -> dict[str, str]:
    colour = style.colour(cell.family) if cell.family else ""
    return {"text": MINUS.sub("−", cell.text), "note": MINUS.sub("−", cell.note), "colour": colour}


def _set(text: str) -> str:
    """A sentence as it is typeset: no line ends between a number and its unit."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")

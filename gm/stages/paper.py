"""paper: the tables and figures of a report -> paper.pdf, and every table in it as LaTeX and CSV.

All numbers are read from the report's tables; nothing is computed here.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gm import io
from gm.figures import captions, paper
from gm.figures.paper import Cell, Section, Table, plain
from gm.stages import chapters as of_images
from gm.stages.job import Input, Outcome, Output
from gm.stages.results import Row, Tree, resource
from gm.stages.sampling import chapters as of_targets

NUMBERS = frozenset(
    ("mean", "value", "low", "high", "se", "se_items", "half_total", "low_total", "high_total", "lower", "lower_se",
     "upper", "upper_se", "p", "p_holm", "exponent", "theory")
)  # fmt: skip
COUNTS = frozenset(("n", "n_ok", "n_planned", "cells", "left_out"))


def run(record: Input, paper: Output, *, spec: dict) -> Outcome:
    """Make the paper of the report whose record lies in a folder; its tables come to lie beside it."""
    make(record.parent, paper)
    return Outcome()


def make(root: Path, out: Path) -> None:
    """Write the paper of a finished report, or of a redrawn archive, and `tables/` beside it."""
    record = io.read_json(root / "table.json")
    spec = record["spec"]
    tree = Tree(root, spec | {"models": {about["name"]: about for about in spec["models"]}})
    judged, words = (of_targets, captions.TARGETS) if spec.get("grid") == "targets" else (of_images, captions.CAPTIONS)
    rows = {path.stem: read(path) for path in root.glob("*.csv") if path.stem in judged.TABLES}
    digest = io.sha256(root / "table.csv")
    completed, *gone = failures(rows["status"])
    sections = [
        Section("What was run", 1, [*judged.method(tree), contestants(tree, judged.bounds(rows)), *judged.data(tree)]),
        Section("Checks", 1, [judged.CHECKED, *controls(rows["checks"])]),
        Section("Coverage", 1, [completed, *judged.figures(tree, "", "coverage"), *gone]),
        *judged.chapters(tree, rows),
        Section("Checks that passed", 1, passed(rows["checks"])),
        Section("Environment", 1, [environment(record, digest)]),
    ]
    title = f"{spec['benchmark']}: {judged.TITLE}"
    found = [part for section in sections for part in section.parts if isinstance(part, Table)]
    tables(found, out.parent / "tables", f"table.csv sha256 {digest}, commit {record['commit']}")
    made = paper.pdf(resource("paper.typ"), root.resolve(), paper.document(title, sections, words))
    io.save_with(lambda path: path.write_bytes(made), out)


def read(path: Path) -> list[Row]:
    """Rows of a table of the report, their numbers as numbers."""

    def value(name: str, text: str) -> object:
        if name in COUNTS:
            return int(float(text)) if text else None
        return (float(text) if text else None) if name in NUMBERS else text

    return [{name: value(name, text) for name, text in row.items()} for row in io.read_rows(path)]


def tables(found: Iterable[Table], folder: Path, origin: str) -> None:
    """Write every table as LaTeX and as CSV; those of an earlier paper that this one lacks go."""
    kept = set()
    for table in found:
        io.write_text(folder / f"{table.name}.tex", paper.latex(table, origin))
        io.write_rows(folder / f"{table.name}.csv", *paper.numbers(table))
        kept |= {f"{table.name}.tex", f"{table.name}.csv"}
    for path in folder.iterdir():
        if path.suffix in (".tex", ".csv") and path.name not in kept:
            path.unlink()


def contestants(tree: Tree, bounds: dict[str, str]) -> Table:
    """Every contestant: its class, its family, and what kinds its bounds are of."""
    rows = []
    for name, about in tree.spec["models"].items():
        specs = [tree.records[cell].get("model", {}).get("spec", {}) for cell in tree.cells if cell[1] == name]
        made = next((spec["class"] for spec in specs if "class" in spec), "made elsewhere")
        labels = "yes" if about["labels"] else ""
        texts = (made, about["family"], labels, about["measure"] if name in bounds else "", bounds.get(name, ""))
        rows.append([plain(name, about["family"]), *map(plain, texts)])
    caption = "Contestants: class, family, whether the fit reads class labels, what is bounded, and the kinds of the "
    caption += "lower and the upper end; where kinds differ between runs, the weakest."
    return Table("contestants", caption, ("contestant", "class", "family", "labels", "bounds of", "ends"), rows)


def controls(found: list[Row]) -> list[str | Table]:
    """What the controls say: every alarm and note, and how many checks passed."""
    if not found:
        return ["No control was planned: nothing was checked."]
    count = Counter(row["level"] for row in found)
    text = f"Alarms: {count['alarm'] or 'none'}. Notes: {count['note'] or 'none'}. Checks passed: {count['ok']}."
    rows = [row for level in ("alarm", "note") for row in found if row["level"] == level]
    return [text, *([_checks("checks", "Alarms and notes.", rows)] if rows else [])]


def passed(found: list[Row]) -> list[str | Table]:
    """The checks that passed."""
    rows = [row for row in found if row["level"] == "ok"]
    return [_checks("checks-passed", "Checks of the rulers that passed.", rows) if rows else "None."]


def _checks(name: str, caption: str, rows: list[Row]) -> Table:
    columns = ("level", "dataset", "subject", "text")
    return Table(name, caption, columns, [[plain(row[column]) for column in columns] for row in rows])


def failures(cells: list[Row]) -> list[str | Table]:
    """Cells without a result, and why; those that have all but the dataset in common stand in one row."""
    groups: dict[tuple, list[Row]] = {}
    for cell in cells:
        if cell["status"] != "ok":
            key = tuple(cell[name] for name in ("model", "seed", "stage", "status", "reason"))
            groups.setdefault(key, []).append(cell)
    if not groups:
        return ["Every planned run has a result, and no pair was skipped."]
    failed = sum(len(group) for key, group in groups.items() if key[3] != "skipped")
    skipped = sum(len(group) for key, group in groups.items() if key[3] == "skipped")
    rows = [
        [plain(key[0]), plain(", ".join(dict.fromkeys(cell["dataset"] for cell in group))), *map(plain, key[1:])]
        for key, group in sorted(groups.items(), key=lambda pair: pair[0][3] == "skipped")
    ]
    caption = "Cells without a result: failed runs, each a result of its contestant, and pairs that were skipped."
    columns = ("contestant", "dataset", "seed", "stage", "status", "reason")
    text = (
        f"{failed or 'No'} run{'' if failed == 1 else 's'} failed; {skipped} pairs of contestant and dataset skipped."
    )
    return [text, Table("failures", caption, columns, rows)]


def environment(record: Row, digest: str) -> Table:
    """With what the report was made."""
    facts = {"gm": record.get("gm", ""), "commit": record["commit"], "table.csv, sha256": digest}
    rows = [[plain(name), Cell(str(value), "", {"": value})] for name, value in (facts | record["versions"]).items()]
    return Table("environment", "Code, table and versions.", ("what", "which"), rows)

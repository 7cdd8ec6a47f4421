"""Published tables beside a run of one's own: which numbers agree within their errors, and what else differs."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from scipy.special import ndtr

from gm import archive, io
from gm.commands.records import code_changes, differences
from gm.table.interval import p_of, standard_error
from gm.table.summary import number

TABLES = ("table.csv", "checks.csv", "status.csv")
CODE = "code.json"
ERRORS = 4.0  # standard errors within which a number agrees that is not the same
ALIKE = 1e-6  # relative, for numbers without an error
LEAST = 2 * float(ndtr(-ERRORS))

Mean = tuple[float, float, int, float]


def check_runs(found: Mapping) -> None:
    """Refuse an archive of tables alone, by its manifest.

    Raises:
        gm.archive.Refused: it holds no runs.
    """
    if CODE in found["files"]:
        raise archive.Refused("this archive holds tables alone (gm archive --tables); expected one with its runs")


def code_of(root: Path) -> dict[str, dict[str, str]]:
    """Every function behind the tables in a folder, by module, with the digest that the records state."""
    if (root / CODE).is_file():
        return io.read_json(root / CODE)
    found: dict[str, dict[str, str]] = {}
    for path in [*sorted(root.glob("*/**/*.json")), root / "table.json"]:
        for module, parts in io.read_json(path).get("code", {}).get("parts", {}).items():
            found.setdefault(module, {}).update(parts)
    return found


def means(rows: Iterable[dict]) -> dict[tuple[str, str, str], Mean]:
    """By dataset, model and metric: the mean over seeds, its error over them, their number, its error over items."""
    groups: dict[tuple[str, str, str], list[dict]] = {}
    for row in rows:
        if row["status"] == "ok" and row["value"] != "":
            groups.setdefault((row["dataset"], row["model"], row["metric"]), []).append(row)
    found = {}
    for key, group in groups.items():
        values = [float(row["value"]) for row in group]
        finite = all(map(math.isfinite, values))
        mean = math.fsum(values) / len(values) if finite else values[0]
        items = sum(number(row["se"]) or 0.0 for row in group) / len(group)
        found[key] = mean, standard_error(values) if finite else 0.0, len(group), items
    return found


def agreement(ours: Mean, theirs: Mean) -> float:
    """P-value of two means being one, as if seeds and items were drawn anew; 1 for equal numbers, 0 without errors.

    Shared seeds and test items make it larger than it need be.

    Example:
        >>> agreement((1.0, 0.1, 3, 0.0), (1.0, 0.1, 3, 0.0)), agreement((1.0, 0.0, 3, 0.0), (1.1, 0.0, 3, 0.0))
        (1.0, 0.0)
        >>> round(agreement((1.0, 0.3, 3, 0.0), (2.0, 0.4, 3, 0.0)), 4)
        0.1161
    """
    (a, over, n, items), (b, other, m, more) = ours, theirs
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 1.0
    if abs(a - b) <= ALIKE * max(abs(a), abs(b)) and math.isfinite(a - b):
        return 1.0
    return p_of(a - b, math.hypot(over, other), n + m - 1, math.hypot(items, more))


def compare(old: Path, new: Path) -> tuple[bool, list[str]]:
    """Compare the tables in two folders.

    Returns:
        Whether all numbers agree, and what to say: each number that does not, then what else differs.
    """
    changed = [name for name in TABLES if not (new / name).is_file() or io.sha256(old / name) != io.sha256(new / name)]
    if not changed:
        return True, [f"{', '.join(TABLES)}: the same bytes"]
    sides = [means(io.read_rows(folder / "table.csv")) for folder in (old, new)]
    wrong, gone, moved, other = [], Counter(), 0, 0
    for key in sides[0] | sides[1]:
        a, b = (side.get(key) for side in sides)
        name = " ".join(key)
        if a is None or b is None:
            gone[f"{key[0]} {key[1]}", "this run" if a is None else "what was published"] += 1
        elif key[2] == "run" and a[2] != b[2]:
            wrong.append((0.0, f"{name}: {a[2]} -> {b[2]} seeds that ran"))
        elif (p := agreement(a, b)) < LEAST:
            error = math.hypot(a[1], b[1], a[3], b[3])
            far = f"{abs(a[0] - b[0]) / error:.3g} standard errors" if error else "no error stated"
            wrong.append((p, f"{name}: {a[0]:.6g} -> {b[0]:.6g} ({far})"))
        else:
            moved += a[0] != b[0]
            other += a[0] == b[0] and a != b
    lines = [line for _, line in sorted(wrong)]
    lines += [f"{place}: {count} numbers only in {side}" for (place, side), count in gone.items()]
    told = f"{len(sides[0] | sides[1])} numbers: {moved} moved within their errors, {other} have other errors, "
    told += f"{len(wrong) + gone.total()} do not agree"
    return not lines, [
        *(f"DOES NOT AGREE: {line}" for line in lines),
        f"not the same bytes: {', '.join(changed)}",
        told,
    ]


def why(old: Path, new: Path) -> list[str]:
    """What differs between two folders besides numbers: keys of the grid, code and libraries."""
    before, after = (io.read_json(folder / "table.json") for folder in (old, new))
    lines = [f"key {line}" for line in differences(before["spec"], after["spec"])]
    lines += [f"library {line}" for line in differences(before["versions"], after["versions"])]
    return lines + [f"code {line}" for line in code_changes(code_of(old), code_of(new))]

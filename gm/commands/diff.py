"""gm diff: which numbers and conclusions of two archives differ, and which code, key, library or file does."""

import argparse
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gm import archive, io
from gm.commands.published import check_runs
from gm.commands.records import code_changes, differences

KEY = ("dataset", "model", "metric")


def main(arguments: list[str]) -> int:
    """Print what differs, the farthest first; exit 1 if anything does."""
    parser = argparse.ArgumentParser("gm diff", description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--most", type=int, default=20, help="lines of each kind (default 20)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / side for side in ("old", "new")]
        try:
            found = [archive.read(path, to) for path, to in zip((options.old, options.new), folders, strict=True)]
            for manifest, path in zip(found, (options.old, options.new), strict=True):
                check_runs(manifest, path)
            with archive.untrusted():
                numbers = moved(*(io.read_rows(folder / "summary.csv") for folder in folders))
                told, causes = conclusions(*folders), why(*folders, *found)
        except (archive.Refused, OSError) as error:
            print(f"gm diff: {error}", file=sys.stderr)
            return 2
    _tell("numbers that moved, in standard errors of their difference", numbers, options.most)
    _tell("conclusions that differ", told, options.most)
    _tell("what else differs", causes, options.most)
    if not numbers + told + causes:
        print("no difference")
    return 1 if numbers + told + causes else 0


def _tell(what: str, lines: list[str], most: int) -> None:
    if lines:
        print(f"{what} ({len(lines)}):")
        print("\n".join(f"  {line}" for line in lines[:most]))
        if len(lines) > most:
            print(f"  ... and {len(lines) - most} more (--most)")


def moved(old: Iterable[dict], new: Iterable[dict]) -> list[str]:
    r"""Means over seeds that differ, with \(|a - b| / \sqrt{e_a^2 + e_b^2}\), the farthest first.

    The error of a mean is that over seeds and that over test items in quadrature. Both archives may share test items
    and seeds, in which case the true error of the difference is smaller.

    Example:
        >>> row = {"dataset": "d", "model": "m", "metric": "x", "mean": "1.0", "se": "0.3", "se_items": "0.4"}
        >>> moved([row], [row | {"mean": "2.0"}])
        ['d m x: 1 -> 2 (1.41)']
    """
    sides = [{tuple(row[key] for key in KEY): row for row in rows} for rows in (old, new)]
    found, alone = [], Counter()
    for place in sides[0] | sides[1]:
        a, b = (side.get(place) for side in sides)
        name = " ".join(place)
        if a is None or b is None:
            alone[f"{place[0]} {place[1]}: %s numbers only in the {'new' if a is None else 'old'} one"] += 1
        elif a["mean"] != b["mean"]:
            error = math.hypot(*(float(row[key] or 0) for row in (a, b) for key in ("se", "se_items")))
            first, second = (float(row["mean"] or "nan") for row in (a, b))
            distance = abs(first - second) / error if error else math.inf
            told = f"{distance:.3g}" if error else "no error stated"
            distance = math.inf if math.isnan(distance) else distance
            found.append((distance, f"{name}: {first:.6g} -> {second:.6g} ({told})"))
        elif changed := [f"{key} {a[key]} -> {b[key]}" for key in a if a[key] != b[key]]:
            found.append((0.0, f"{name}: the same, but {', '.join(changed)}"))
    return [line % count for line, count in alone.items()] + [
        line for _, line in sorted(found, key=lambda pair: -pair[0])
    ]


# What a table concludes, by the columns that name the row: verdicts, ranks, alarms, failures.
CONCLUSIONS = {
    "paired": (("dataset", "quantity", "model", "reference", "seed"), "verdict"),
    "ranks": (("dataset", "quantity", "model"), "rank"),
    "checks": (("dataset", "subject"), "level"),
    "status": (("dataset", "model", "seed"), "status"),
}


def conclusions(old: Path, new: Path) -> list[str]:
    """Rows of the other tables that conclude something else, each `table row: old -> new`."""
    lines = []
    for table, (names, column) in CONCLUSIONS.items():
        sides = [_concluded(folder / f"{table}.csv", names, column) for folder in (old, new)]
        for place in dict.fromkeys([*sides[0], *sides[1]]):
            before, after = (", ".join(sorted(side.get(place, ["no such row"]))) for side in sides)
            if before != after:
                lines.append(f"{table} {' '.join(filter(None, place))}: {before or 'none'} -> {after or 'none'}")
    return lines


def _concluded(path: Path, names: tuple[str, ...], column: str) -> dict[tuple[str, ...], list[str]]:
    found: dict[tuple[str, ...], list[str]] = {}
    for row in io.read_rows(path) if path.is_file() else []:
        if column in row:
            found.setdefault(tuple(row.get(name, "") for name in names), []).append(row[column])
    return found


def why(old: Path, new: Path, before: dict, after: dict) -> list[str]:
    """Libraries, keys, functions and files that differ, each once, with how many records or files it concerns.

    What a run took, its time and memory, is no difference.
    """
    lines = [f"library {line}" for line in differences(before["versions"], after["versions"])]
    about = [{key: found.get(key) for key in ("spec", "commit", "gm")} for found in (before, after)]
    lines += [f"key {line.removeprefix('spec.')}" for line in differences(*about) if not line.startswith("spec.models")]
    lines += [f"model {line}" for line in differences(*({m["name"]: m for m in found["spec"]["models"]}
                                                        for found in (before, after)))]  # fmt: skip
    counts: Counter[str] = Counter()
    for name in sorted(before["files"].keys() & after["files"].keys()):
        if name.endswith(".json") and not name.startswith("config/"):
            counts.update(_made(io.read_json(old / name), io.read_json(new / name)))
    files: Counter[str] = Counter()
    for name in before["files"].keys() | after["files"].keys():
        if before["files"].get(name) == after["files"].get(name) or name == "cost.csv":
            continue
        if name in before["files"] and name in after["files"]:
            files[f"bytes of {Path(name).name if name.count('/') > 1 else name}"] += not name.endswith(".json")
        else:
            files[f"only in the {'old' if name in before['files'] else 'new'} one: {Path(name).name}"] += 1
    lines += [f"{line} ({count} record{'s' * (count > 1)})" for line, count in counts.most_common()]
    return lines + [f"{line} ({count} file{'s' * (count > 1)})" for line, count in files.most_common() if count]


def _made(a: dict, b: dict) -> list[str]:
    """How two records say that a file was made otherwise."""
    stage = a.get("stage", "report")
    keys = ("status", "seed", "stage", "device", "inputs", "outputs", "evals", "facts", "versions", "commit")
    found = [f"key of {stage} {line}" for line in differences(a.get("spec", {}), b.get("spec", {}))]
    found += [f"code of {stage} {line}"
              for line in code_changes(*(record.get("code", {}).get("parts", {}) for record in (a, b)))]  # fmt: skip
    told = [key for key in keys if a.get(key) != b.get(key)]
    return found + ([f"records of {stage}: {', '.join(told)}"] if told else [])

"""A run that was made again beside the one in an archive: the same bytes, or numbers within their errors."""

import math
from pathlib import Path

import numpy as np

from gm import io
from gm.commands import published
from gm.commands.archive import thinned
from gm.commands.published import ALIKE, ERRORS, LEAST
from gm.commands.records import code_changes, differences
from gm.stages.results import RECORDS, Tree
from gm.table.interval import p_of, standard_error
from gm.table.summary import number


def agrees(folder: Path, cell: tuple, root: Path, spec: dict) -> bool:
    """Compare one run with the archive's, and print how far they agree."""
    place = "/".join(map(str, cell))
    pairs = [[io.read_json(path / place / f"{record}.json") for path in (folder, root)] for record in RECORDS]
    causes: dict[str, None] = {}
    for before, after in pairs:
        parts = before["code"]["parts"], after["code"]["parts"]
        causes |= dict.fromkeys(f"code of {before['stage']} changed: {line}" for line in code_changes(*parts))
        causes |= dict.fromkeys(differences(before["versions"], after["versions"]))
    other = bool(causes) or any(record.get("device", "cpu") != "cpu" for pair in pairs for record in pair)
    facts = ("status", "spec", "seed", "stage") + (() if other else ("inputs", "evals", "facts"))
    told = [
        f"{before['stage']} {line}"
        for before, after in pairs
        for line in differences(*({key: record.get(key) for key in facts} for record in (before, after)))
    ]
    made = [
        f"{before['stage']} {name}"
        for before, after in pairs
        for name in sorted(before["outputs"] | after["outputs"])
        if before["outputs"].get(name) != after["outputs"].get(name)
    ]
    thin = None if "sample samples" in made else _thin(root, cell, spec)
    if thin is not None and (folder / place / "samples.npz").read_bytes() != thin:
        told.append("samples are not the first ones of the run")
    if told:
        print(f"  {place}: DIFFERS: {told[0]}")
        return False
    if not made:
        print(f"  {place}: the same bytes")
        return True
    rows = [io.read_rows(path / place / "metrics.csv") for path in (folder, root)]
    seeds = [io.read_rows(folder / dataset / model / str(seed) / "metrics.csv")
             for dataset, model, seed in map(tuple, spec["planned"]) if (dataset, model) == cell[:2]]  # fmt: skip
    worst, where, n = compare(*rows)
    wide = [] if worst <= ERRORS else beyond(*rows, seeds)
    wide += shifted(*(io.read_arrays(path / place / "scores.npz") for path in (folder, root)))
    how = "agree" if worst <= ERRORS else "agree as two seeds do"
    if wide:
        how, where = "DO NOT AGREE", ", ".join(wide[:5])
    print(f"  {place}: {n} numbers {how}" + (f"; farthest: {where}, {worst:.2g} standard errors" if worst else ""))
    print("".join(f"    {line}\n" for line in causes), end="")
    if other:
        return not wide
    print(f"    DIFFERS: nothing else does, so these should have the same bytes: {', '.join(made)}")
    return False


def _thin(root: Path, cell: tuple, spec: dict) -> bytes | None:
    """What an archive would hold of the samples of a run made again."""
    seen = spec | {"planned": [list(cell)], "datasets": [cell[0]], "models": {m["name"]: m for m in spec["models"]}}
    return thinned(Tree(root, seen), cell, seen)


def shifted(old: dict, new: dict) -> list[str]:
    r"""Scores of images whose mean differs by more than `ERRORS` times \(\sqrt 2\) its error over images.

    Those of the same images, made again elsewhere, differ by far less.
    """
    found = sorted(old.keys() ^ new.keys())
    for name in sorted(old.keys() & new.keys()):
        a, b = old[name], new[name]
        if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
            found += [] if np.array_equal(a, b) else [name]
        elif a.shape != b.shape or (np.isfinite(a) != np.isfinite(b)).any():
            found.append(name)
        elif (some := np.isfinite(b)).sum() > 1:
            error = math.sqrt(2) * float(b[some].std(ddof=1)) / math.sqrt(some.sum())
            close = ALIKE * float(np.abs(b[some]).max())
            found += [name] if abs(float((a - b)[some].mean())) > ERRORS * error + close else []
    return found


def compare(old: list[dict], new: list[dict]) -> tuple[float, str, int]:
    r"""The largest difference in standard errors, where, and how many numbers were compared.

    The error of a difference is \(\sqrt 2\) times that of the new number: the old one is not trusted. A number without
    an error counts as one that has a relative error of `ALIKE`; a row that is not once on each side, or that claims
    another kind, n, status or error (by more than `published.ratio`), or is finite on one side only, counts as
    infinitely far.

    Example:
        >>> row = {"metric": "FD_pca@250", "value": "2.0", "se": "0.5", "n": "250", "kind": "estimate", "status": "ok"}
        >>> compare([row], [row | {"value": "2.5"}])
        (0.7071067811865475, 'FD_pca@250', 1)
        >>> compare([row], [row | {"kind": "exact"}])
        (inf, 'FD_pca@250', 1)
    """
    worst, where = 0.0, ""
    metrics = sorted({row["metric"] for row in old + new})
    for metric in metrics:
        if (distance := _distance(*([row for row in rows if row["metric"] == metric] for rows in (old, new)))) > worst:
            worst, where = distance, metric
    return worst, where, len(metrics)


def _distance(old: list[dict], new: list[dict]) -> float:
    """How far one number is from another, in standard errors of the new one."""
    if [published.claims(row) for row in old] != [published.claims(row) for row in new] or len(new) > 1:
        return math.inf
    if not published.alike(old, new):
        return math.inf
    a, b = (float(rows[0]["value"] or "nan") for rows in (old, new))
    if a == b or not math.isfinite(a):
        return 0.0
    return abs(a - b) / (math.sqrt(2) * published.error_of(new[0]) or ALIKE * max(abs(a), abs(b)))


def beyond(old: list[dict], new: list[dict], seeds: list[list[dict]]) -> list[str]:
    r"""Numbers of a run made again elsewhere that differ by more than two seeds do.

    A fit that rounds otherwise may end where another seed's would: to \(\sqrt 2\) times the error over items comes that
    over the archive's seeds, with Student's t of as many. What describes a fit or counts its work (`fit/`, `evals/`)
    and has no error says nothing here.
    """
    found = []
    for metric in sorted({row["metric"] for row in old + new}):
        sides = [[row for row in rows if row["metric"] == metric] for rows in (old, new)]
        distance = _distance(*sides)
        if distance <= ERRORS or (metric.startswith(("fit/", "evals/")) and not sides[-1][0]["se"]):
            continue
        values = [value for rows in seeds for row in rows if row["metric"] == metric
                  if (value := number(row["value"])) is not None and math.isfinite(value)]  # fmt: skip
        if math.isinf(distance) or len(values) < 2:
            found.append(metric)
            continue
        a, b = (float(rows[0]["value"]) for rows in sides)
        spread = math.sqrt(2 * len(values)) * standard_error(values)
        if p_of(a - b, spread, len(values), math.sqrt(2) * published.error_of(sides[1][0])) < LEAST:
            found.append(metric)
    return found

"""gm verify: is an archive whole, do its tables follow from its runs, and can its runs be had again?"""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from gm import archive, io, plan
from gm.commands import figures, published
from gm.commands.options import add_cores
from gm.commands.published import ALIKE, CODE, ERRORS
from gm.commands.records import code_changes
from gm.stages.results import RECORDS


def main(arguments: list[str]) -> int:
    """Say of every step whether it holds; exit 1 if one does not."""
    parser = argparse.ArgumentParser("gm verify", description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="a zip file that 'gm archive' wrote")
    parser.add_argument("--cells", type=int, default=2, help="how many runs to make again (default 2; 0 for none)")
    parser.add_argument("--minutes", type=float, default=2.0, help="none that took longer than so many (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of runs")
    parser.add_argument("--run", type=Path, help="the folder of a run of yours, to compare its tables with instead")
    add_cores(parser, "jobs at once")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "unpacked"
        try:
            found = archive.read(options.archive, folder)
            print(f"hashes: {len(found['files'])} files are what the manifest says")
            bare = CODE in found["files"]
            good = _recorded(folder) if bare else _remade(folder, found)
        except (archive.Refused, KeyError) as error:
            print(f"gm verify: {error}", file=sys.stderr)
            return 1
        if options.run:
            return 0 if _beside(folder, options.run) and good else 1
        if bare:
            print("runs: none in it; 'gm run' its grid and compare yours with --run results/<benchmark>")
            return 0 if good else 1
        cells = [_cell(folder, found, cell, root) for cell, root in _again(folder, found, Path(name), options)]
    return 0 if good and all(cells) else 1


def _remade(folder: Path, found: dict) -> bool:
    """Whether the tables follow from the runs."""
    figures.make(folder)
    wrong = figures.changed(folder, found)
    for path in wrong:
        print(f"DIFFERS: {path} does not follow from the runs in this archive, drawn with this code")
    print(f"tables and figures: {'remade, the same bytes' if not wrong else f'{len(wrong)} differ'}")
    return not any(path.endswith(".csv") for path in wrong)


def _recorded(folder: Path) -> bool:
    """Whether a table without its runs is the one that the record of its report names."""
    good = io.sha256(folder / "table.csv") == io.read_json(folder / "table.json")["outputs"]["table"]
    print("table.csv: the one that its record names" if good else "DIFFERS: table.csv is not the one its record names")
    return good


def _beside(folder: Path, root: Path) -> bool:
    """Compare the tables of a run with the archive's, and print each number that does not agree."""
    if missing := [name for name in ("table.csv", "table.json") if not (root / name).is_file()]:
        print(f"gm verify: {root} has no {missing[0]}; expected a finished run (gm run)", file=sys.stderr)
        return False
    good, lines = published.compare(folder, root)
    print("\n".join(lines))
    causes = published.why(folder, root)
    print(f"what else differs ({len(causes)}):" if causes else "grid, code and libraries: the same")
    print("".join(f"  {line}\n" for line in causes), end="")
    return good


def costs(folder: Path, planned: list) -> dict[tuple[str, str, int], float]:
    """Minutes that each run took, by its records; only runs that ended well."""
    found = {}
    for dataset, model, seed in planned:
        records = [
            path for name in RECORDS if (path := folder / dataset / model / str(seed) / f"{name}.json").is_file()
        ]
        read = [io.read_json(path) for path in records]
        if len(read) == len(RECORDS) and all(record["status"] == "ok" for record in read):
            found[dataset, model, seed] = sum(record["seconds"] for record in read) / 60
    return found


def choose(minutes: dict, most: float, count: int, seed: int) -> list[tuple[str, str, int]]:
    """Runs to make again: of one dataset and one seed, both and the runs chosen at random among the cheap ones.

    Example:
        >>> minutes = {("d", "vae", 0): 1.0, ("d", "ebm", 0): 9.0, ("d", "flow", 0): 1.5}
        >>> choose(minutes, 2.0, 5, seed=0)
        [('d', 'flow', 0), ('d', 'vae', 0)]
    """
    rng = random.Random(seed)
    cheap = sorted(cell for cell, cost in minutes.items() if cost <= most)
    if not cheap or count < 1:
        return []
    dataset, _, number = rng.choice(cheap)
    cheap = [cell for cell in cheap if (cell[0], cell[2]) == (dataset, number)]
    return sorted(rng.sample(cheap, min(count, len(cheap))))


def _again(folder: Path, found: dict, place: Path, options: argparse.Namespace) -> list[tuple[tuple, Path]]:
    """Make a few runs anew in a folder of their own; those that were made, with the folder's results."""
    chosen = choose(costs(folder, found["spec"]["planned"]), options.minutes, options.cells, options.seed)
    if not chosen:
        print("runs: none made again")
        return []
    names = ", ".join("/".join(map(str, cell)) for cell in chosen)
    print(f"runs: making again {names} ...", flush=True)
    grid = _grid(folder, found["benchmark"], chosen)
    command = [sys.executable, "-m", "gm", "run", str(grid), "--cores", str(options.cores)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=_environment())
    root = place / "results" / found["benchmark"]
    if done.returncode not in (0, 3) or not (root / "table.csv").is_file():
        print(done.stdout + done.stderr, file=sys.stderr)
        raise SystemExit(f"gm verify: the runs could not be made again (exit code {done.returncode})")
    return [(cell, root) for cell in chosen]


def _environment() -> dict[str, str]:
    """Child processes import this copy of the code, wherever they run."""
    paths = [str(plan.REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _grid(folder: Path, benchmark: str, chosen: list) -> Path:
    """The archive's grid cut down to a few runs, beside the configuration that it came with."""
    path = folder / "config" / f"{benchmark}.yaml"
    grid = json.loads((folder / "config/resolved.json").read_text(encoding="utf-8"))["grid"]
    models = list(dict.fromkeys(model for _, model, _ in chosen))
    grid |= {"datasets": [chosen[0][0]], "models": models, "seeds": [chosen[0][2]]}
    for key in ("compare", "ladder", "only"):
        grid.pop(key, None)
    io.write_text(path, yaml.safe_dump(grid, sort_keys=False))
    return path


def _cell(folder: Path, found: dict, cell: tuple, root: Path) -> bool:
    """Compare one run with the archive's, and print how far they agree."""
    place = "/".join(map(str, cell))
    old, new = folder / place, root / place
    name = f"  {place}:"
    if io.sha256(old / "metrics.csv") == io.sha256(new / "metrics.csv"):
        print(f"{name} the same bytes")
        return True
    worst, where, n = compare(io.read_rows(old / "metrics.csv"), io.read_rows(new / "metrics.csv"))
    good = worst <= ERRORS
    print(f"{name} {n} numbers {'agree' if good else 'DO NOT AGREE'}; farthest: {where}, {worst:.2g} standard errors")
    for record in RECORDS:
        before, after = (io.read_json(path / f"{record}.json") for path in (old, new))
        for line in code_changes(before["code"]["parts"], after["code"]["parts"]):
            print(f"    code of {before['stage']} changed: {line}")
        for library in sorted(set(before["versions"]) | set(after["versions"])):
            a, b = before["versions"].get(library), after["versions"].get(library)
            if a != b:
                print(f"    {library}: {a} -> {b}")
    return good


def compare(old: list[dict], new: list[dict]) -> tuple[float, str, int]:
    """The largest difference in standard errors, where, and how many numbers were compared.

    A number without an error counts as one that has a relative error of `ALIKE`; a row that only one side has, or that
    is finite on one side only, counts as infinitely far.

    Example:
        >>> row = {"metric": "FD_pca@250", "value": "2.0", "se": "0.5"}
        >>> compare([row], [row | {"value": "2.5"}])
        (0.7071067811865475, 'FD_pca@250', 1)
    """
    sides = [{row["metric"]: row for row in rows} for rows in (old, new)]
    worst, where, n = 0.0, "", 0
    for metric in sorted(set(sides[0]) | set(sides[1])):
        rows = [side.get(metric) for side in sides]
        if None in rows:
            return math.inf, metric, n
        a, b = (float(row["value"] or "nan") for row in rows)
        n += 1
        if a == b or (math.isnan(a) and math.isnan(b)):
            continue
        error = math.hypot(*(float(row["se"] or 0) for row in rows)) or ALIKE * max(abs(a), abs(b))
        distance = abs(a - b) / error
        distance = math.inf if math.isnan(distance) else distance
        if distance > worst:
            worst, where = distance, metric
    return worst, where, n

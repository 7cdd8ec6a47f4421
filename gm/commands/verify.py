"""gm verify: is an archive whole, do its tables follow from its runs, and can its runs be had again?"""

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
from operator import contains
from pathlib import Path

import yaml

from gm import archive, io, plan, provenance, source
from gm.commands import figures, published
from gm.commands.options import add_cores
from gm.commands.published import ALIKE, CODE, ERRORS
from gm.commands.records import code_changes, differences
from gm.stages.job import roots_of
from gm.stages.results import RECORDS

# Files that an archive holds as they were made, by the names of outputs in records; samples and data are cut down.
FILES = {
    "table": "table.csv", "page": "report/index.html", "metrics": "metrics.csv", "per_item": "items.npz",
    "history": "history.csv", "weights": "model.safetensors", "scores": "scores.npz", "trivial": "trivial.npz",
}  # fmt: skip
# Of a run's records, whose outputs each was made from: record -> stage -> name.
CHAIN = {
    "samples.json": {"model": "weights"},
    "scores.json": {"model": "weights"},
    "features.json": {"samples": "samples"},
    "metrics.json": {"model": "weights", "samples": "samples", "scores": "scores", "features": "features"},
}


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
            steps = [recorded(folder, found)] + ([] if bare else [_remade(folder, found)])
            if options.run:
                steps.append(_beside(folder, options.run))
            elif bare:
                print("runs: none in it; 'gm run' its grid and compare yours with --run results/<benchmark>")
            else:
                steps += [_cell(folder, cell, root) for cell, root in _again(folder, found, Path(name), options)]
        except archive.Refused as error:
            print(f"gm verify: {error}", file=sys.stderr)
            return 1
        except (KeyError, TypeError, AttributeError) as error:
            print(f"gm verify: a record or the configuration is malformed ({error})", file=sys.stderr)
            return 1
    return 0 if all(steps) else 1


def _remade(folder: Path, found: dict) -> bool:
    """Whether the tables follow from the runs, and with the same libraries and code figures and page too."""
    record = io.read_json(folder / "table.json")
    figures.make(folder)
    wrong = figures.changed(folder, found)
    for path in wrong:
        print(f"DIFFERS: {path} does not follow from the runs in this archive, drawn with this code")
    print(f"tables and figures: {'remade, the same bytes' if not wrong else f'{len(wrong)} differ'}")
    code = source.digest(source.fingerprint(*roots_of("report", found["spec"])))
    alike = found["versions"] == provenance.versions() and record.get("code", {}).get("digest") == code
    return not any(alike or path.endswith(".csv") for path in wrong)


def recorded(folder: Path, found: dict) -> bool:
    """Whether every file is the one that its record names, and the one that later records say they were made from."""
    wrong, count = [], 0
    for path in sorted(folder / name for name in found["files"] if name.endswith(".json")):
        record = io.read_json(path)
        for name, digest in record.get("outputs", {}).items():
            file = path.parent / FILES.get(name, "")
            if file.relative_to(folder).as_posix() in found["files"]:
                count += 1
                wrong += [file] if io.sha256(file) != digest else []
        for stage, name in CHAIN.get(path.name, {}).items():
            before, stated = path.parent / f"{stage}.json", record.get("inputs", {}).get(name)
            made = io.read_json(before).get("outputs", {}) if before.is_file() else {}
            wrong += [path] if stated is not None and made.get(name, stated) != stated else []
    for file in wrong:
        print(f"DIFFERS: {file.relative_to(folder).as_posix()} is not the one its record names")
    print(f"records: {count} files are the ones that they name" if not wrong else f"records: {len(wrong)} files differ")
    return not wrong


def _beside(folder: Path, root: Path) -> bool:
    """Compare the tables of a run with the archive's, and print each number that does not agree."""
    if missing := [name for name in ("table.csv", "table.json") if not (root / name).is_file()]:
        print(f"gm verify: {root} has no {missing[0]}; expected a finished run (gm run)", file=sys.stderr)
        return False
    good, lines = published.compare(folder, root)
    print("\n".join(lines))
    causes = published.why(folder, root)
    print(f"what else differs ({len(causes)}):" if causes else "grid, code, libraries and processor: the same")
    print("".join(f"  {line}\n" for line in causes), end="")
    if causes or published.equal(folder, root) or not _on_cpu(root):
        return good
    print("DOES NOT AGREE: nothing else differs, so the tables should have the same bytes")
    return False


def _on_cpu(root: Path) -> bool:
    """Whether no run used another device, whose last digits are outside the promise of equal bytes."""
    return all(io.read_json(path).get("device", "cpu") == "cpu" for path in root.glob("*/*/*/*.json"))


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
    config, planned = configured(folder, found["spec"])
    chosen = choose(costs(folder, planned), options.minutes, options.cells, options.seed)
    if not chosen:
        print("runs: none made again")
        return []
    names = ", ".join("/".join(map(str, cell)) for cell in chosen)
    print(f"runs: making again {names} ...", flush=True)
    grid = _grid(config, found["benchmark"], chosen)
    command = [sys.executable, "-m", "gm", "run", str(grid), "--cores", str(options.cores)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=_environment())
    root = place / "results" / found["benchmark"]
    if done.returncode not in (0, 3) or not (root / "table.csv").is_file():
        print(done.stdout + done.stderr, file=sys.stderr)
        raise SystemExit(f"gm verify: the runs could not be made again (exit code {done.returncode})")
    return [(cell, root) for cell in chosen]


def configured(folder: Path, spec: dict) -> tuple[Path, list]:
    """A folder of configuration and the runs planned by it: all of them, but for an archive that was joined of several.

    Raises:
        gm.archive.Refused: what is planned and what is configured are not the same.
    """
    found, odd = [], {tuple(cell) for cell in spec["planned"]}
    for path in sorted((folder / "config").rglob("resolved.json")):
        resolved = io.read_json(path)
        wanted = resolved["datasets"], resolved["models"], resolved["grid"]["seeds"]
        cells = [cell for cell in spec["planned"] if all(map(contains, wanted, cell))]
        absent = [seed for seed in wanted[2] if all(cell[2] != seed for cell in cells)]
        for at in (0, 1):
            absent += [name for name in wanted[at] if all(cell[at] != name for cell in cells + spec["skipped"])]
        if absent:
            raise archive.Refused(f"the configuration has {absent[0]!r}, of which no run is planned")
        odd -= {tuple(cell) for cell in cells}
        found.append((path.parent, cells))
    if odd or not found:
        raise archive.Refused(f"{len(odd)} planned runs are in no configuration of the archive: {sorted(odd)[:1]}")
    return max(found, key=lambda pair: len(pair[1]))


def _environment() -> dict[str, str]:
    """Child processes import this copy of the code, wherever they run."""
    paths = [str(plan.REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _grid(config: Path, benchmark: str, chosen: list) -> Path:
    """A grid cut down to a few runs, beside the configuration that it came with."""
    path = config / f"{benchmark}.yaml"
    grid = io.read_json(config / "resolved.json")["grid"]
    models = list(dict.fromkeys(model for _, model, _ in chosen))
    grid |= {"benchmark": benchmark, "datasets": [chosen[0][0]], "models": models, "seeds": [chosen[0][2]]}
    for key in ("compare", "ladder", "only"):
        grid.pop(key, None)
    io.write_text(path, yaml.safe_dump(grid, sort_keys=False))
    return path


def _cell(folder: Path, cell: tuple, root: Path) -> bool:
    """Compare one run with the archive's, and print how far they agree."""
    place = "/".join(map(str, cell))
    pairs = [[io.read_json(path / place / f"{record}.json") for path in (folder, root)] for record in RECORDS]
    made = [
        f"{before['stage']} {name}"
        for before, after in pairs
        for name in sorted(before["outputs"] | after["outputs"])
        if before["outputs"].get(name) != after["outputs"].get(name)
    ]
    if not made:
        print(f"  {place}: the same bytes")
        return True
    worst, where, n = compare(*(io.read_rows(path / place / "metrics.csv") for path in (folder, root)))
    good = worst <= ERRORS
    print(
        f"  {place}: {n} numbers {'agree' if good else 'DO NOT AGREE'}; farthest: {where}, {worst:.2g} standard errors"
    )
    causes: dict[str, None] = {}
    for before, after in pairs:
        parts = before["code"]["parts"], after["code"]["parts"]
        causes |= dict.fromkeys(f"code of {before['stage']} changed: {line}" for line in code_changes(*parts))
        causes |= dict.fromkeys(differences(before["versions"], after["versions"]))
    print("".join(f"    {line}\n" for line in causes), end="")
    if causes or any(record.get("device", "cpu") != "cpu" for pair in pairs for record in pair):
        return good
    print(f"    DIFFERS: nothing else does, so these should have the same bytes: {', '.join(made)}")
    return False


def compare(old: list[dict], new: list[dict]) -> tuple[float, str, int]:
    r"""The largest difference in standard errors, where, and how many numbers were compared.

    The error of a difference is \(\sqrt 2\) times that of the new number: the old one is not trusted. A number without
    an error counts as one that has a relative error of `ALIKE`; a row that is not once on each side, or that claims
    another kind, n or status, or is finite on one side only, counts as infinitely far.

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
        sides = [[row for row in rows if row["metric"] == metric] for rows in (old, new)]
        if [published.claims(row) for row in sides[0]] != [published.claims(row) for row in sides[1]] or len(
            sides[1]
        ) > 1:
            return math.inf, metric, len(metrics)
        a, b = (float(rows[0]["value"] or "nan") for rows in sides)
        if a == b or not math.isfinite(a):
            continue
        error = math.sqrt(2) * float(sides[1][0]["se"] or 0) or ALIKE * max(abs(a), abs(b))
        if (distance := abs(a - b) / error) > worst:
            worst, where = distance, metric
    return worst, where, len(metrics)

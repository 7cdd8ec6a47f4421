"""gm verify: is an archive whole, do its tables follow from its runs, and can its runs be had again?"""

import argparse
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gm import archive, io, plan, provenance, source
from gm.commands import configured, figures, published, remade
from gm.commands.options import add_cores
from gm.commands.published import ALIKE, CODE, TABLES
from gm.commands.records import differences
from gm.stages.job import roots_of
from gm.stages.results import READ, RECORDS

# Files that an archive holds as they were made, by the names of outputs in records; samples and data are cut down.
FILES = READ | {
    "table": "table.csv",
    "page": "report/index.html",
    "weights": "model.safetensors",
    "trivial": "trivial.npz",
}
# Inputs of a run's records, by name, and the record beside them whose output each is.
MAKERS = {"weights": "model", "samples": "samples", "scores": "scores", "features": "features"}
STAGES = {"model": "train", "samples": "sample", "scores": "score", "features": "embed", "metrics": "evaluate"}


def main(arguments: list[str]) -> int:
    """Say of every step whether it holds; exit 1 if one does not."""
    parser = argparse.ArgumentParser("gm verify", description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="a zip file that 'gm archive' wrote")
    parser.add_argument("--cells", type=int, default=2, help="how many runs to make again (default 2; 0 for none)")
    parser.add_argument("--minutes", type=float, default=2.0, help="none that took longer than so many (default 2)")
    parser.add_argument("--seed", type=int, help="of the choice of runs (default: another each time, which is told)")
    parser.add_argument("--trust", action="store_true", help="run classes and read files that the archive names, too")
    parser.add_argument("--run", type=Path, help="the folder of a run of yours, to compare its tables with instead")
    add_cores(parser, "jobs at once")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "unpacked"
        try:
            found = archive.read(options.archive, folder)
            print(f"hashes: {len(found['files'])} files are what the manifest says")
            with archive.untrusted():
                steps = list(_steps(folder, found, Path(name), options))
        except archive.Refused as error:
            print(f"gm verify: {error}", file=sys.stderr)
            return 1
    return 0 if all(steps) else 1


def _steps(folder: Path, found: dict, place: Path, options: argparse.Namespace) -> Iterator[bool]:
    """Every step of a verification, whether it holds."""
    bare = _bare(found)
    yield recorded(folder, found)
    if not bare:
        yield _remade(folder, found)
    if options.run:
        yield _beside(folder, options.run)
    elif bare:
        print("runs: none in it; 'gm run' its grid and compare yours with --run results/<benchmark>")
    else:
        yield from _again(folder, found, place, options)


def _bare(found: dict) -> bool:
    """Whether an archive is one of tables alone.

    Raises:
        gm.archive.Refused: it says so, and has more.
    """
    if CODE not in found["files"]:
        return False
    legal = {*TABLES, CODE, "table.json", "environment.txt", "constraints.txt"}
    if odd := [name for name in found["files"] if name not in legal and not name.startswith("config/")]:
        raise archive.Refused(f"'{odd[0]}' beside {CODE}; expected tables alone")
    return True


def _remade(folder: Path, found: dict) -> bool:
    """Whether the tables follow from the runs, and with the same libraries and code figures and page too.

    With others, numbers that differ by rounding alone are the same.
    """
    kept = {name: io.read_rows(folder / name) for name in figures.drawn(folder) if name.endswith(".csv")}
    record = io.read_json(folder / "table.json")
    figures.make(folder)
    wrong = figures.changed(folder, found)
    code = source.digest(source.fingerprint(*roots_of("report", found["spec"])))
    causes = differences(found["versions"], provenance.versions())
    causes += ["code of the report"] if record.get("code", {}).get("digest") != code else []
    drawn = [name for name in wrong if causes and not name.endswith(".csv") and name in found["files"]]
    close = [name for name in wrong if causes and name in kept and _close(kept[name], folder / name)]
    for path in (name for name in wrong if name not in drawn + close):
        print(f"DIFFERS: {path} does not follow from the runs in this archive, drawn with this code")
    if not wrong:
        print("tables and figures: remade, the same bytes")
        return True
    count = len(wrong) - len(drawn + close)
    print(f"tables: {f'{count} differ' if count else 'remade, the same numbers'}")
    if drawn:
        print(f"figures and page: {len(drawn)} have other bytes, and cannot be checked here: {'; '.join(causes)}")
    return not count


def _close(old: list[dict], path: Path) -> bool:
    """Whether a table is another but for the last digits of its numbers."""
    new = io.read_rows(path) if path.is_file() else []
    return len(old) == len(new) and all(
        a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a) for a, b in zip(old, new, strict=True)
    )


def _same(a: str, b: str) -> bool:
    try:
        return a == b or math.isclose(float(a), float(b), rel_tol=ALIKE, abs_tol=1e-12)
    except ValueError:  # a word
        return False


def recorded(folder: Path, found: dict) -> bool:
    """Whether files, records and manifest tell one story.

    Every file is the one that its record names, and the one that later records say they were made from. A record is of
    the run, the stage and the code that it stands for; the manifest says what the table's record says.
    """
    wrong, count = [], 0
    for name in sorted(name for name in found["files"] if name.endswith(".json")):
        path = folder / name
        record = io.read_json(path)
        for output, digest in record.get("outputs", {}).items():
            file = path.parent / FILES[output] if output in FILES else None
            if file is not None and file.relative_to(folder).as_posix() in found["files"]:
                count += 1
                wrong += [file] if io.sha256(file) != digest else []
        wrong += [path] if _odd(folder, path, record) else []
    told = io.read_json(folder / "table.json")
    facts = {key: told[key] for key in ("spec", "commit", "versions") if key in found}
    facts["benchmark"] = told["spec"]["benchmark"]
    wrong += [folder / archive.MANIFEST] if any(found[key] != value for key, value in facts.items()) else []
    for file in dict.fromkeys(wrong):
        print(f"DIFFERS: {file.relative_to(folder).as_posix()} is not the one its record names")
    print(f"records: {count} files are the ones that they name" if not wrong else f"records: {len(wrong)} files differ")
    return not wrong


def _odd(folder: Path, path: Path, record: dict) -> bool:
    """Whether a record contradicts its own code, its place, or the records of what it was made from."""
    code = record.get("code", {})
    if "digest" in code and source.digest(code["parts"]) != code["digest"]:
        return True
    parts, inputs = path.relative_to(folder).parts, record.get("inputs", {})
    if len(parts) != 4 or path.stem not in STAGES:
        return False
    stages = {name: path.parent / f"{stage}.json" for name, stage in MAKERS.items()}
    stages |= {"data": folder / parts[0] / "data.json", "ruler": folder / parts[0] / "ruler/features.json"}
    for name, before in stages.items():
        made = io.read_json(before).get("outputs", {}) if before.is_file() else {}
        legal = made.values() if name == "ruler" else [made[name]] if name in made else ()
        if name in inputs and made and inputs[name] not in legal:
            return True
    said = record.get("stage", STAGES[path.stem]), str(record.get("seed", parts[2]))
    return said != (STAGES[path.stem], parts[2])


def _beside(folder: Path, root: Path) -> bool:
    """Compare the tables of a run with the archive's, and print each number that does not agree."""
    if missing := [name for name in (*TABLES, "table.json") if not (root / name).is_file()]:
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

    What took longer is more likely to be chosen: a control that fits nothing shows little.

    Example:
        >>> minutes = {("d", "vae", 0): 1.0, ("d", "ebm", 0): 9.0, ("d", "flow", 0): 1.5}
        >>> choose(minutes, 2.0, 5, seed=0)
        [('d', 'flow', 0), ('d', 'vae', 0)]
    """
    rng = random.Random(seed)
    cheap = {cell: max(cost, 1e-3) for cell, cost in sorted(minutes.items()) if cost <= most}
    if not cheap or count < 1:
        return []
    (first,) = rng.choices(list(cheap), list(cheap.values()))
    # the largest of u^(1/w): drawn without replacement, in proportion to w (Efraimidis and Spirakis, 2006)
    lots = {
        cell: rng.random() ** (1 / cost) for cell, cost in cheap.items() if (cell[0], cell[2]) == (first[0], first[2])
    }
    return sorted(sorted(lots, key=lots.get)[-count:])


def _again(folder: Path, found: dict, place: Path, options: argparse.Namespace) -> Iterator[bool]:
    """Make a few runs anew in a folder of their own, and compare them."""
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    every = configured.configurations(folder, found["spec"])
    own = {name: leads for one in every for name, leads in one.own.items()}
    if own and not options.trust:
        told = "; ".join(f"{name} leads to {leads}" for name, leads in own.items())
        print(f"runs: some are not made again but with --trust: {told}")
    free = [(one, [cell for cell in one.cells if options.trust or not {*cell[:2], "grid"} & set(one.own)])
            for one in every]  # fmt: skip
    minutes = [costs(folder, cells) for _, cells in free]
    weights = [sum(cost for cost in some.values() if cost <= options.minutes) for some in minutes]
    chosen = []
    if any(weights):
        (at,) = random.Random(seed).choices(range(len(free)), weights)
        chosen = choose(minutes[at], options.minutes, options.cells, seed)
    if not chosen:
        print("runs: none made again")
        return
    names = ", ".join("/".join(map(str, cell)) for cell in chosen)
    print(f"runs: making again {names} (--seed {seed}) ...", flush=True)
    one = free[at][0]
    cut = {"datasets": [chosen[0][0]], "models": list(dict.fromkeys(model for _, model, _ in chosen))}
    grid = configured.written(one.folder, one.resolved["grid"], **cut, seeds=[chosen[0][2]])
    if not options.trust:
        configured.checked(grid, one.resolved)
    command = [sys.executable, "-m", "gm", "run", str(grid), "--cores", str(options.cores)]
    limit = 300 * options.minutes * len(chosen)  # a machine five times as slow
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, env=_environment(),
                              timeout=limit)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise archive.Refused(f"the runs took more than {limit:.0f} s, five times what --minutes allows") from None
    root = place / "results" / grid.stem
    if done.returncode not in (0, 3) or not (root / "table.csv").is_file():
        print(done.stdout + done.stderr, file=sys.stderr)
        raise archive.Refused(f"the runs could not be made again (exit code {done.returncode})")
    for cell in chosen:
        yield remade.agrees(folder, cell, root, found["spec"])


def _environment() -> dict[str, str]:
    """Child processes import this copy of the code, wherever they run."""
    paths = [str(plan.REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

"""gm verify: is an archive whole, do its tables follow from its runs, and can its runs be had again?"""

import argparse
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from gm import archive, config, io, plan, provenance, source
from gm.commands import figures, published
from gm.commands.archive import resolution, thinned
from gm.commands.options import add_cores
from gm.commands.published import ALIKE, CODE, ERRORS, LEAST, TABLES
from gm.commands.records import code_changes, differences
from gm.config import ConfigError
from gm.stages.job import roots_of
from gm.stages.results import READ, RECORDS, Tree
from gm.table.interval import p_of, standard_error
from gm.table.summary import number

# Files that an archive holds as they were made, by the names of outputs in records; samples and data are cut down.
FILES = READ | {
    "table": "table.csv",
    "page": "report/index.html",
    "weights": "model.safetensors",
    "trivial": "trivial.npz",
}
# Of records, whose outputs each was made from: record -> stage -> name. Those of a dataset stand two folders above.
RUN = {"weights": "model", "samples": "samples", "scores": "scores", "features": "features"}
CHAIN = {
    "samples.json": {name: RUN[name] for name in ("weights",)},
    "scores.json": {name: RUN[name] for name in ("weights",)},
    "features.json": {name: RUN[name] for name in ("samples",)},
    "metrics.json": RUN,
}
STAGES = {"model": "train", "samples": "sample", "scores": "score", "features": "embed", "metrics": "evaluate"}
# What leads out of an archive: a file, or an address.
OUTSIDE = ("external", "path", "file", "folder", "npm", "url")


@dataclass(frozen=True)
class Configuration:
    """One configuration in an archive, and the runs that it plans; a joined archive has several.

    `own` names the contestants and datasets that lead to files or addresses outside the archive. Where there are none,
    `planned` is what this code plans of it.
    """

    folder: Path
    resolved: dict
    cells: list[tuple[str, str, int]]
    own: dict[str, str]
    planned: plan.Plan | None


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
    stages = {name: path.parent / f"{stage}.json" for name, stage in CHAIN.get(path.name, {}).items()}
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
    every = configurations(folder, found["spec"])
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
    grid = written(one.folder, one.resolved["grid"], **cut, seeds=[chosen[0][2]])
    if not options.trust:
        checked(grid, one.resolved)
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
        yield _cell(folder, cell, root, found["spec"])


def configurations(folder: Path, spec: dict) -> list[Configuration]:
    """The configurations of an archive; the planned runs are those of one of them each.

    Raises:
        gm.archive.Refused: what is configured, what is planned and what was run are not the same.
    """
    found, planned = [], {tuple(cell) for cell in spec["planned"]}
    for path in sorted((folder / "config").rglob("resolved.json")):
        resolved = io.read_json(path)
        own = {name: leads for kind in ("datasets", "models") for name, some in resolved[kind].items()
               if (leads := outside(some))}  # fmt: skip
        own |= {"grid": leads} if (leads := outside(resolved["grid"])) else {}
        again = None
        if not own:
            again = checked(written(path.parent, resolved["grid"]), resolved)
            cells = list(again.runs)
        else:
            pairs = itertools.product(resolved["datasets"], resolved["models"], resolved["grid"]["seeds"])
            cells = [cell for cell in pairs if cell in planned]
        found.append(Configuration(path.parent, resolved, cells, own, again))
    runs = {cell for one in found for cell in one.cells}
    if odd := runs ^ planned:
        told = "planned and in no configuration" if odd & planned else "configured and not planned"
        raise archive.Refused(f"{len(odd)} runs are {told}, such as {'/'.join(map(str, min(odd)))}")
    for one in found:
        _check_keys(folder, one)
    if len(found) == 1 and found[0].planned:
        shown = json.loads(io.canonical(found[0].planned.overview()))
        if odd := differences({key: spec.get(key) for key in shown}, shown):
            raise archive.Refused(f"the report is not what the configuration asks for: {odd[0]}")
    return found


def _check_keys(folder: Path, one: Configuration) -> None:
    """Refuse records of other keys than a configuration's."""
    if one.planned is None:
        return
    jobs = [(stage, wildcards, Path(output)) for stage, wildcards, output in one.planned.jobs() if stage != "report"]
    for stage, wildcards, output in jobs:
        path = folder / provenance.record_of(output.relative_to(one.planned.root))
        spec = json.loads(one.planned.spec(stage, **wildcards))
        if path.is_file() and (odd := differences(io.read_json(path)["spec"], spec)):
            raise archive.Refused(f"{path.relative_to(folder)} is of another configuration: {odd[0]}")


def outside(spec: object) -> str:
    """What in a specification leads to a file or an address, and is not a source that the repository names; or nothing.

    Example:
        >>> outside({"class": "mine.py:Model"}), outside({"class": "gm.models.vae.VAE", "fit": {"steps": 3}})
        ('mine.py:Model', '')
    """
    if isinstance(spec, Mapping):
        if "sources" in spec and {key: spec.get(key) for key in ("sources", "files")} in _sources():
            spec = {key: value for key, value in spec.items() if key != "sources"}
        for key, value in spec.items():
            leads = isinstance(value, str) and ":" in value and key in ("class", "source", "target")
            if leads or key in OUTSIDE:
                return str(value)
    values = spec.values() if isinstance(spec, Mapping) else spec if isinstance(spec, list) else ()
    return next(filter(None, map(outside, values)), "")


def _sources() -> list[dict]:
    """Where the repository's own datasets come from."""
    own = [config.read(path) for path in sorted((plan.REPOSITORY / "config/datasets").glob("*.yaml"))]
    return [{"sources": spec["sources"], "files": spec.get("files")} for spec in own if "sources" in spec]


def checked(grid: Path, resolved: dict) -> plan.Plan:
    """The plan of a grid.

    Raises:
        gm.archive.Refused: its files do not say what `resolved` does.
    """
    try:
        planned = plan.read(grid)
    except ConfigError as error:
        raise archive.Refused(f"the configuration is no longer valid: {error}") from error
    told = json.loads(io.canonical(resolution(planned)))
    for kind in ("datasets", "models"):
        if odd := differences({name: resolved[kind].get(name) for name in told[kind]}, told[kind]):
            raise archive.Refused(f"the files in config/{kind} are not what resolved.json says: {odd[0]}")
    return planned


def _environment() -> dict[str, str]:
    """Child processes import this copy of the code, wherever they run."""
    paths = [str(plan.REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def written(folder: Path, grid: dict, **cut: list) -> Path:
    """A grid file, beside the configuration that it came with; its own names its contestants and datasets as packed.

    Raises:
        gm.archive.Refused: the archive's own grid file is another one, or its name is none.
    """
    name = grid["benchmark"]
    if not archive.NAME.fullmatch(name):
        raise archive.Refused(f"{name!r} is no name of a benchmark")
    path = folder / f"{name}.yaml"
    grid |= {kind: [Path(entry).stem if entry.endswith((".yaml", ".yml")) else entry for entry in grid[kind]]
             for kind in ("datasets", "models")}  # fmt: skip
    if cut:
        grid = {key: value for key, value in grid.items() if key not in ("compare", "ladder", "only")} | cut
    io.write_text(path, yaml.safe_dump(grid, sort_keys=False))
    return path


def _cell(folder: Path, cell: tuple, root: Path, spec: dict) -> bool:
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
    seeds = [[row for row in io.read_rows(folder / dataset / model / str(seed) / "metrics.csv")]
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

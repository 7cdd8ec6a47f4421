"""gm archive: pack a finished benchmark into one zip file, to publish, verify, compare and redraw."""

import argparse
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from gm import __version__, archive, io, plan
from gm.catalogue import find
from gm.commands import records
from gm.commands.published import CODE, TABLES, code_of, versions_of
from gm.stages.job import module_of
from gm.stages.results import RECORDS, Tree

THIN = 64  # samples of a run that travel with its numbers
RUN = ("metrics.csv", "history.csv", "scores.npz", "items.npz")
RULER = ("ruler/features.json", "ruler/trivial.npz")


def main(arguments: list[str]) -> int:
    """Pack what the report was made from, the report itself, the configuration and the environment."""
    parser = argparse.ArgumentParser("gm archive", description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    parser.add_argument("--out", type=Path, help="the zip file (default: results/<benchmark>.zip)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--weights", action="store_true", help="weights too, but for confidential data")
    kind.add_argument("--tables", action="store_true", help="every number and its code's digest, nothing to redraw")
    options = parser.parse_args(arguments)
    planned = plan.read(options.grid)
    root = Path(planned.root)
    if not (root / "table.json").is_file():
        print(f"gm archive: no report in {root}; expected a finished run (gm run {options.grid})", file=sys.stderr)
        return 2
    spec = io.read_json(root / "table.json")["spec"]
    if differing := [key for key, value in planned.overview().items() if spec.get(key) != value]:
        keys = ", ".join(differing)
        print(f"gm archive: the report in {root} is of another grid ({keys}); run it again first", file=sys.stderr)
        return 2
    if stale := [f"{job.name}: {reason}" for job in records.jobs(planned) for reason in job.reasons if _counts(reason)]:
        print(
            f"gm archive: {root} is not what {options.grid} says now ({stale[0]}); run it again first", file=sys.stderr
        )
        return 2
    out = options.out or root.with_suffix(".zip")
    extra = configuration(options.grid, planned)
    found = tables(root, out, extra) if options.tables else pack(root, out, extra, weights=options.weights)
    size = out.stat().st_size
    print(f"{out}: {len(found['files'])} files, {size / 2**20:.1f} MiB, sha256 {io.sha256(out)}")
    return 0


def _counts(reason: str) -> bool:
    """Whether an archive would say what is not so; each record states the code that it was made with."""
    return not reason.startswith(("code ", "follows "))


def configuration(grid: Path, planned: plan.Plan) -> dict[str, Path | bytes]:
    """The YAML files of a grid as they are, and the specification that they resolve to."""
    files: dict[str, Path | bytes] = {f"config/{planned.benchmark}.yaml": grid}
    for kind in ("datasets", "models"):
        for entry in planned.grid[kind]:
            file = find(grid, kind, entry)
            files[f"config/{kind}/{file.stem}.yaml"] = file
            if kind == "models" and ":" in (reference := planned.models[file.stem].spec.get("class", "")):
                code = Path(reference.rpartition(":")[0])
                files[f"config/models/{code.name}.txt"] = code
    files["config/resolved.json"] = (io.canonical(resolution(planned)) + "\n").encode()
    return files


def resolution(planned: plan.Plan) -> dict:
    """Everything that a plan's files say, with what they name."""
    models = {name: model.spec for name, model in planned.models.items()}
    return {"grid": planned.grid, "datasets": planned.datasets, "models": models}


def pack(
    root: Path, out: Path, extra: Mapping[str, Path | bytes], *, weights: bool = False, about: Mapping | None = None
) -> dict:
    """Pack the folder of a finished report, with `extra` members; the manifest.

    Images of a dataset are left out but for those that figures show; of a confidential one no real image travels.
    """
    record = io.read_json(root / "table.json")
    spec = record["spec"]
    tree = Tree(root, spec | {"models": {m["name"]: m for m in spec["models"]}})
    files = dict(extra) | environment()
    tops = [*root.glob("*.csv"), root / "table.json", *root.glob("figures/*/*"), root / "report/index.html"]
    files |= {path.relative_to(root).as_posix(): path for path in tops if path.is_file() and path.name[0] != "."}
    for dataset in spec["datasets"]:
        files |= _dataset(tree, dataset, targets=module_of("report", spec) != "gm.stages.report")
    for cell in tree.cells:
        place = f"{cell[0]}/{cell[1]}/{cell[2]}"
        names = (
            *RUN,
            *(f"{name}.json" for name in RECORDS),
            *(["model.safetensors"] if weights and not _secret(tree, cell[0], spec) else []),
        )
        files |= {f"{place}/{name}": path for name in names if (path := tree.path(cell, name)).is_file()}
        if (thin := thinned(tree, cell, spec)) is not None:
            files[f"{place}/samples.npz"] = thin
    return archive.write(out, files, _about(root, record) | dict(about or {}))


def tables(root: Path, out: Path, extra: Mapping[str, Path | bytes]) -> dict:
    """Pack the tables of a finished report alone, to compare other runs with; the manifest.

    In its record stand the versions that any run was made with.
    """
    files = dict(extra) | environment() | {name: root / name for name in TABLES}
    files[CODE] = (io.canonical(code_of(root)) + "\n").encode()
    record = io.read_json(root / "table.json") | {"versions": versions_of(root)}
    files["table.json"] = (io.canonical(record) + "\n").encode()
    return archive.write(out, files, _about(root, record))


def _about(root: Path, record: dict) -> dict:
    spec = record["spec"]
    told = {"benchmark": spec["benchmark"], "commit": record["commit"], "gm": __version__, "spec": spec}
    return told | {"versions": record["versions"], "date": _day(root / "table.csv")}


def _dataset(tree, dataset: str, *, targets: bool) -> dict[str, Path | bytes]:
    """What the report reads of a dataset or target, and the record of how it was made."""
    names = ["data.json", *RULER, *(["data.npz", "ruler/features.npz"] if targets else [])]
    found = {f"{dataset}/{name}": path for name in names if (path := tree.root / dataset / name).is_file()}
    if not targets:
        from gm.stages import exhibit, panels

        shown = exhibit.pack(tree.about(dataset), panels.sample_groups(tree, dataset))
        found[f"{dataset}/exhibit.npz"] = archive.arrays(shown)
    return found


def _secret(tree, dataset: str, spec: dict) -> bool:
    return module_of("report", spec) == "gm.stages.report" and tree.confidential(dataset)


def thinned(tree: Tree, cell: tuple, spec: dict) -> bytes | None:
    """The first samples of a run; none of a confidential dataset, of which the exhibit has those that may be shown."""
    arrays = tree.arrays(cell, "samples.npz")
    if "x" not in arrays or _secret(tree, cell[0], spec):
        return None
    return archive.arrays({name: array[:THIN] if array.ndim else array for name, array in arrays.items()})


def environment() -> dict[str, bytes]:
    """Every installed package with its version, and the constraints file of the repository."""
    found = {f"{package.metadata['Name']}=={package.version}" for package in metadata.distributions()}
    files = {"environment.txt": ("\n".join(sorted(found, key=str.lower)) + "\n").encode()}
    lock = plan.REPOSITORY / "constraints.txt"
    return files | ({"constraints.txt": lock.read_bytes()} if lock.is_file() else {})


def _day(path: Path) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(path.stat().st_mtime))

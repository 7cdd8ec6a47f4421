"""The configurations of an archive: what they plan is what was run, and what of it leads elsewhere is told."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from gm import archive, config, io, plan, provenance
from gm.commands.archive import resolution
from gm.commands.records import differences
from gm.config import ConfigError

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


def written(folder: Path, grid: dict, **cut: list) -> Path:
    """Write a grid file beside the configuration that it came with: contestants and datasets by their names, as packed.

    `cut` replaces keys of the grid, and leaves out those that speak of pairs of runs.

    Raises:
        gm.archive.Refused: the benchmark's name is no name of a file.
    """
    name = grid["benchmark"]
    if not archive.NAME.fullmatch(name):
        raise archive.Refused(f"{name!r} is no name of a benchmark")
    path = folder / f"{name}.yaml"
    grid = grid | {kind: [Path(entry).stem if entry.endswith((".yaml", ".yml")) else entry for entry in grid[kind]]
             for kind in ("datasets", "models")}  # fmt: skip
    if cut:
        grid = {key: value for key, value in grid.items() if key not in ("compare", "ladder", "only")} | cut
    io.write_text(path, yaml.safe_dump(grid, sort_keys=False))
    return path

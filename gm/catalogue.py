"""Datasets and contestants as their YAML files describe them, checked against the signatures they are passed to."""

import os
from dataclasses import dataclass
from pathlib import Path

from gm import config, source
from gm.config import ConfigError, check_call, check_keys, describe, suggestion

REPOSITORY = source.PACKAGE.parent
SECTIONS = {"model": "__init__", "fit": "fit", "sample": "sample", "score": "bounds"}
MEASURES = ("density", "mass")
SPLITS = ("train", "valid", "test", "fresh", "nonmember")


@dataclass(frozen=True)
class Model:
    """A contestant as its YAML file describes it."""

    name: str
    spec: dict
    family: str
    serves: tuple[str, ...]
    labels: bool
    measure: str


def find(grid: Path, kind: str, entry: str) -> Path:
    """A dataset or model by name (beside the grid, then in the repository's config/) or by path."""
    if entry.endswith((".yaml", ".yml")):
        file = grid.parent / entry
        if not file.is_file():
            raise ConfigError(grid, kind, f"'{entry}', but there is no file {file}", "a path relative to the grid file")
        return file
    folders = [grid.parent / kind, REPOSITORY / "config" / kind]
    for folder in folders:
        if (folder / f"{entry}.yaml").is_file():
            return folder / f"{entry}.yaml"
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    hint = suggestion(entry, known)
    raise ConfigError(grid, kind, f"unknown {kind[:-1]} '{entry}'", f"a known {kind[:-1]}{hint}", known)


def _beside(file: Path, path: str) -> str:
    """A path written in a YAML file, relative to the working directory: a result does not know its folder's name."""
    return Path(os.path.relpath(file.parent / path)).as_posix()


def dataset(file: Path) -> dict:
    spec = config.read(file)
    check_call(file, "", spec, source.function("gm.data.build.dataset"))
    try:
        if ":" in spec["source"]:
            code, _, name = spec["source"].rpartition(":")
            spec["source"] = f"{_beside(file, code)}:{name}"
        source.function(spec["source"])
    except LookupError as error:
        raise ConfigError(file, "source", describe(spec["source"]), f"a function to load the data; {error}") from None
    check_keys(file, "splits", spec["splits"], SPLITS, SPLITS)
    known = source.functions("gm.data.outliers")
    check_keys(file, "outliers", spec["outliers"], known)
    for name, options in spec["outliers"].items():
        check_call(file, f"outliers.{name}", options, source.function(f"gm.data.outliers.{name}"))
    return spec


def contestant(file: Path) -> Model:
    """Read and check a model's YAML file."""
    spec = config.read(file)
    if "external" in spec:
        return _external(file, spec)
    check_keys(file, "", spec, ("class", *SECTIONS), ("class",))
    reference = spec["class"]
    if not isinstance(reference, str) or "." not in reference:
        expected = "gm.models.vae.VAE or path/to/file.py:Class"
        raise ConfigError(file, "class", describe(reference), expected)
    if ":" in reference:
        code, _, name = reference.rpartition(":")
        reference = f"{_beside(file, code)}:{name}"
    try:
        source.lineage(reference)
        for section, member in SECTIONS.items():
            parameters = source.member(reference, member)
            if section in spec:
                check_call(file, section, spec[section], parameters or {})
    except (LookupError, SyntaxError) as error:
        models = sorted(p.stem for p in (source.PACKAGE / "models").glob("[a-z]*.py"))
        choices = [] if ":" in reference else [f"gm.models.{module}" for module in models]
        found = f"{describe(spec['class'])}: {error}"
        raise ConfigError(file, "class", found, "a class that can be imported", choices) from None
    family = source.attribute(reference, "family") or "control"
    serves = tuple(source.attribute(reference, "serves") or ())
    labels, measure = bool(source.attribute(reference, "labels")), source.attribute(reference, "measure")
    return Model(file.stem, spec | {"class": reference}, str(family), serves, labels, str(measure or "density"))


def _external(file: Path, spec: dict) -> Model:
    check_keys(file, "", spec, ("external", "family", "measure"))
    given = spec["external"]
    if not isinstance(given, dict):
        raise ConfigError(file, "external", describe(given), "a mapping", ("samples", "scores", "datasets"))
    check_keys(file, "external", given, ("samples", "scores", "datasets"), ("samples", "datasets"))
    for key, annotation in {"samples": "str", "scores": "str", "datasets": "list[str]"}.items():
        if key in given and not config.fits(given[key], annotation):
            raise ConfigError(file, f"external.{key}", describe(given[key]), f"a value of type {annotation}")
    paths = {key: _beside(file, given[key]) for key in ("samples", "scores") if key in given}
    family = spec.get("family", "external")
    measure = spec.get("measure", "density")
    if measure not in MEASURES:
        raise ConfigError(file, "measure", describe(measure), "what the scores bound", MEASURES)
    serves = ("binary", "levels", "real")
    return Model(file.stem, {"external": given | paths}, str(family), serves, False, measure)


def event_kind(spec: dict) -> str:
    """`binary`, `levels` or `real`, from a dataset's specification."""
    if spec.get("threshold") is not None or spec.get("levels") == 2:
        return "binary"
    return "real" if spec.get("levels", 0) is None else "levels"

"""Datasets of images as their YAML files describe them, checked against the signatures they are passed to."""

import os
import re
from pathlib import Path

from gm import config, source
from gm.config import ConfigError, check_call, check_keys, describe, suggestion

SPLITS = ("train", "valid", "test", "fresh", "reference")
ORIGINS = ("source", "path", "sources")  # of a dataset's images; a YAML file names one of them
PLACES = ("folder", "npm", "url")
YAML = (".yaml", ".yml")
LEAST = {"levels": 2, "candidates": 0, "seed": 0, "held_out": 0, "outlier_size": 1, "leave_out": 0}
SHA256 = re.compile("[0-9a-f]{64}")


def beside(file: Path, path: str) -> str:
    """A path written in a YAML file, relative to the working directory: a result does not know its folder's name."""
    return path if path.startswith(("/", "~")) else Path(os.path.relpath(file.parent / path)).as_posix()


def checked(file: Path, spec: dict) -> dict:
    """A dataset's specification, whose places are relative to the working directory and which names no other file."""
    spec |= _images(file, spec)
    check_keys(file, "splits", spec["splits"], SPLITS, SPLITS)
    counts = {f"splits.{name}": (size, 0) for name, size in spec["splits"].items()}
    counts |= {key: (spec[key], least) for key, least in LEAST.items() if spec.get(key) is not None}
    for key, (count, least) in counts.items():
        if count < least:
            raise ConfigError(file, key, describe(count), f"a whole number, {least} or more")
    known = source.functions("gm.data.outliers")
    for name, options in spec["outliers"].items():
        where = f"outliers.{name}"
        if isinstance(options, dict) and "dataset" in options:
            check_call(file, where, options, {"dataset": source.Parameter("str", None)})
            if name in known:
                raise ConfigError(file, where, f"'{name}' for a dataset", "a name that is not taken", known)
            spec["outliers"][name] = {"dataset": _named(file, f"{where}.dataset", options["dataset"])}
        else:
            check_keys(file, "outliers", {name: options}, known)
            check_call(file, where, options, source.function(f"gm.data.outliers.{name}"))
    return spec


def _images(file: Path, spec: dict) -> dict:
    """Check a dataset's keys; those that say where its images come from, paths relative to the working directory."""
    raw, given = source.function("gm.stages.fetch.images"), spec.get("sources")
    for index, place in enumerate(given if isinstance(given, list) else []):
        if isinstance(place, dict):
            check_keys(file, f"sources.{index}", place, (*PLACES, "install"))
    check_call(file, "", spec, raw | source.function("gm.data.build.dataset"))
    origin = [key for key in ORIGINS if spec.get(key) is not None]
    if len(origin) != 1:
        raise ConfigError(file, "", f"{' and '.join(origin) or 'no origin'} of the images", "one of these", ORIGINS)
    if origin == ["source"] and ("." not in spec["source"] or spec["source"].endswith(YAML)):
        taken = sorted({*raw, "held_out"} & set(spec) - {"source"})
        if taken:
            raise ConfigError(file, taken[0], f"'{taken[0]}' beside the name of a dataset", "'source' alone has it all")
        return _named(file, "source", spec.pop("source"))
    for key in ("files", "format"):
        if (given := spec.get(key) is not None) != (origin == ["sources"]):
            found = f"{'' if given else 'no '}'{key}' with '{origin[0]}'"
            raise ConfigError(file, key, found, "with 'sources', and only with it, 'files' and 'format'")
    found = {key: spec[key] for key in (*origin, "files", "format", "sha256", "held_out") if spec.get(key) is not None}
    _summed(file, {"sha256": spec.get("sha256")})
    if origin != ["sources"]:
        place = {"source": _function, "path": beside}[origin[0]]
        return found | {origin[0]: place(file, found[origin[0]])}
    for name in found["files"]:
        if name in ("", "..") or Path(name).name != name:
            raise ConfigError(file, f"files.{name}", f"'{name}'", "a file's name, without folders")
    places = []
    for index, place in enumerate(found["sources"]):
        if len(set(place) & set(PLACES)) != 1:
            raise ConfigError(file, f"sources.{index}", describe(place), "one place", PLACES)
        places.append({key: beside(file, value) if key == "folder" else value for key, value in place.items()})
    _summed(file, {f"files.{name}": sha256 for name, sha256 in found["files"].items()})
    return found | {"sources": places}


def _summed(file: Path, sums: dict[str, str | None]) -> None:
    """Each is a sha256, or not given."""
    for key, sha256 in sums.items():
        if sha256 is not None and not SHA256.fullmatch(sha256):
            raise ConfigError(file, key, describe(sha256), "a sha256, 64 hexadecimal digits")


def _named(file: Path, key: str, entry: str) -> dict:
    """The images of another dataset: a name beside this file or in config/datasets, or a path relative to this file."""
    folders = (file.parent, source.REPOSITORY / "config/datasets")
    paths = [file.parent / entry] if entry.endswith(YAML) else [folder / f"{entry}.yaml" for folder in folders]
    other = next((path for path in paths if os.path.isfile(path)), None)
    if other is None:
        known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
        expected = f"a dataset{suggestion(entry, known)}, or a function (package.module.function)"
        raise ConfigError(file, key, f"'{entry}'", expected, known)
    spec = config.read(other)
    if not set(spec) & {"path", "sources"}:
        raise ConfigError(file, key, f"'{entry}'", f"a dataset with 'path' or 'sources' of its own, unlike {other}")
    return _images(other, spec)


def _function(file: Path, reference: str) -> str:
    """A function as written in a YAML file, relative to the working directory, and found."""
    try:
        if ":" in reference:
            code, _, name = reference.rpartition(":")
            reference = f"{beside(file, code)}:{name}"
        source.function(reference)
    except source.UNREADABLE as error:
        raise ConfigError(file, "source", describe(reference), f"a function to load the data; {error}") from None
    return reference

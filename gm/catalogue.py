"""Datasets and contestants as their YAML files describe them, checked against the signatures they are passed to.

A dataset is one of images, or a target of the sampling benchmark; a contestant is a model of images, or a sampler.
"""

import ast
import itertools
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from gm import config, datasets, source
from gm.config import ConfigError, check_call, check_keys, describe, suggestion
from gm.datasets import ORIGINS, YAML, beside

SECTIONS = {"model": "__init__", "fit": "fit", "sample": "sample", "score": "bounds"}
SCORED = {"images": "bounds", "targets": "log_z"}
DEVICE = ("device", "deterministic")
GIVEN = ("groups", "budget")  # what the grid gives to every sampler alike
FOLDERS = {"datasets": ("datasets", "targets"), "models": ("models", "samplers")}
TARGET = ("gm.densities.targets.target", "Target")
DRAWS = 2048
LONGEST = 100
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{,{LONGEST - 1}}}")
MEMBERS = 1000  # of one family of targets
MEASURES = ("density", "mass")


@dataclass(frozen=True)
class Model:
    """A contestant as its YAML file describes it; it `judges` images or targets, and may need exact draws."""

    name: str
    spec: dict
    family: str
    serves: tuple[str, ...]
    labels: bool
    measure: str
    judges: str = "images"
    truth: bool = False
    file: Path = Path()


def find(grid: Path, kind: str, entry: str) -> Path:
    """A dataset or contestant by name (beside the grid, then in the repository's config/) or by path."""
    if entry.endswith(YAML):
        file = grid.parent / entry
        if not os.path.isfile(file):
            raise ConfigError(grid, kind, f"'{entry}', but there is no file {file}", "a path relative to the grid file")
        return _named(grid, kind, file)
    folders = [parent / folder for parent in (grid.parent, source.REPOSITORY / "config") for folder in FOLDERS[kind]]
    for folder in folders:
        if os.path.isfile(file := folder / f"{entry}.yaml"):
            return _named(grid, kind, file)
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    hint = suggestion(entry, known)
    raise ConfigError(grid, kind, f"unknown {kind[:-1]} '{entry}'", f"a known {kind[:-1]}{hint}", known)


def _named(grid: Path, kind: str, file: Path) -> Path:
    """The same file, whose stem can be a folder of results, a part of a command and a row's label."""
    if not NAME.fullmatch(file.stem):
        expected = (
            f"a file named with at most {LONGEST} letters, digits, '.', '_' and '-'; results are kept under its name"
        )
        raise ConfigError(grid, kind, f"'{file.name}'", expected)
    return file


def dataset(file: Path) -> dict:
    """Read and check the YAML file of a dataset of images or of a target."""
    spec = config.read(file)
    own = {"target"} if set(spec) & set(ORIGINS) else {"target", "parameters", "vary"}
    return _target(file, spec) if own & set(spec) else datasets.checked(file, spec)


def contestant(file: Path) -> Model:
    """Read and check the YAML file of a model or of a sampler."""
    spec = config.read(file)
    if "external" in spec:
        return _external(file, spec)
    check_keys(file, "", spec, ("class", *SECTIONS, *DEVICE), ("class",))
    reference = _reference(file, "class", spec["class"], "gm.models.vae.VAE", "models", "samplers")
    if _descends(reference, *TARGET):
        found = f"{describe(spec['class'])}, a target"
        raise ConfigError(file, "class", found, "a model or a sampler", _modules("models", "samplers"))
    judges = "targets" if _descends(reference, "gm.sampler", "Sampler") else "images"
    for section, member in (SECTIONS | {"score": SCORED[judges]}).items():
        if section in spec:
            parameters = source.member(reference, member) or {}
            given = {name: p for name, p in parameters.items() if judges == "images" or name not in GIVEN}
            check_call(file, section, spec[section], given)
    spec = _placed(file, spec, reference)
    family = source.attribute(reference, "family") or "control"
    serves = source.attribute(reference, "serves")
    if serves is None:
        found = f"{describe(spec['class'])}, whose base classes are neither in its file nor in gm"
        raise ConfigError(file, "class", found, "a class that descends from gm.model.Model or gm.sampler.Sampler")
    labels, truth = (bool(source.attribute(reference, name)) for name in ("labels", "truth"))
    measure = "log Z" if judges == "targets" else str(source.attribute(reference, "measure") or "density")
    return Model(
        file.stem, spec | {"class": reference}, str(family), tuple(serves), labels, measure, judges, truth, file
    )


def _placed(file: Path, spec: dict, reference: str) -> dict:
    """The specification, its device one that the class runs on; the CPU goes unsaid."""
    device, legal = spec.get("device", "cpu"), tuple(source.attribute(reference, "devices") or ("cpu",))
    if device not in ("cpu", "gpu"):
        raise ConfigError(file, "device", describe(device), "a device", ("cpu", "gpu"))
    if device not in legal:
        found = f"{describe(device)}, but {reference} runs on {', '.join(legal)} alone"
        raise ConfigError(file, "device", found, "a device of the class's 'devices'", legal)
    if "deterministic" in spec and (device == "cpu" or not isinstance(spec["deterministic"], bool)):
        found = f"{describe(spec['deterministic'])} beside device {device}"
        raise ConfigError(file, "deterministic", found, "true or false, beside 'device: gpu'")
    return {key: value for key, value in spec.items() if key != "device" or device != "cpu"}


def _reference(file: Path, key: str, given: object, example: str, *folders: str) -> str:
    """A class as written in a YAML file, relative to the working directory, and found."""
    if not isinstance(given, str) or "." not in given:
        raise ConfigError(file, key, describe(given), f"{example} or path/to/file.py:Class", _modules(*folders))
    reference = given
    if ":" in given:
        code, _, name = given.rpartition(":")
        reference = f"{beside(file, code)}:{name}"
    try:
        source.lineage(reference)
    except source.UNREADABLE as error:
        choices = [] if ":" in reference else _modules(*folders)
        found = f"{describe(given)}: {error}"
        raise ConfigError(file, key, found, "a class that can be imported", choices) from None
    if ":" in given and (absent := source.absent(source.split(reference)[1])):
        found = f"{describe(given)}, whose file imports {', '.join(absent)}: no such package"
        raise ConfigError(file, key, found, "packages that are installed")
    return reference


def _modules(*folders: str) -> list[str]:
    """Modules of this package's folders."""
    paths = [path for folder in folders for path in sorted((source.PACKAGE / folder).glob("[a-z]*.py"))]
    return [".".join(("gm", *path.relative_to(source.PACKAGE).with_suffix("").parts)) for path in paths]


def _descends(reference: str, module: str, name: str) -> bool:
    """Whether a class is, or inherits from, a class of this package."""
    return any(path == source.locate(module) and node.name == name for path, node in source.lineage(reference))


def _target(file: Path, spec: dict) -> dict:
    """A target, with its members spelled out: every combination of what varies, or the target alone, named ``."""
    check_keys(file, "", spec, ("target", "parameters", "vary", "seed", "draws"), ("target",))
    folder = "densities/targets"
    reference = _reference(file, "target", spec["target"], "gm.densities.targets.gaussian.RotatedGaussian", folder)
    if not _descends(reference, *TARGET) or source.lineage(reference)[0][1].name == "Target":
        expected = f"a class that inherits from {'.'.join(TARGET)}"
        raise ConfigError(file, "target", describe(spec["target"]), expected, _modules(folder))
    for key, least in (("seed", 0), ("draws", 2)):
        value = spec.get(key, least)
        if not config.fits(value, "int") or value < least:
            raise ConfigError(file, key, describe(value), f"a whole number, {least} or more")
    parameters, vary = spec.get("parameters", {}), spec.get("vary", {})
    legal = _writable(file, spec["target"], source.member(reference, "__init__") or {})
    for key, found in (("parameters", parameters), ("vary", vary)):
        if not isinstance(found, dict):
            raise ConfigError(file, key, describe(found), "a mapping of parameters", legal)
        check_keys(file, key, found, legal)
    for key, values in vary.items():
        if key in parameters:
            raise ConfigError(file, f"vary.{key}", f"'{key}', which has a value in 'parameters'", "one of the two")
        if not isinstance(values, list) or not 0 < len(values) <= MEMBERS:
            raise ConfigError(file, f"vary.{key}", describe(values), f"a list of different values, at most {MEMBERS}")
        if any(values.count(value) > 1 for value in values):
            raise ConfigError(file, f"vary.{key}", describe(values), "a list of different values")
        if any("/" in _short(value) for value in values):
            raise ConfigError(file, f"vary.{key}", describe(values), "values without '/', which ends a member's name")
    check_call(file, "parameters", parameters, {key: legal[key] for key in parameters})
    if (count := math.prod(map(len, vary.values()))) > MEMBERS:
        raise ConfigError(file, "vary", f"{count} members", f"at most {MEMBERS}; give some a file of their own")
    members = {}
    for values in itertools.product(*vary.values()):
        varied = dict(zip(vary, values, strict=True))
        check_call(file, "vary" if vary else "parameters", parameters | varied, legal)
        name = ",".join(f"{key}={_short(value)}" for key, value in varied.items())
        if name in members:
            raise ConfigError(file, "vary", f"two members named '{name}'", "values that are written differently")
        members[name] = parameters | varied
    seed, draws = spec.get("seed", 0), spec.get("draws", DRAWS)
    truth = _drawn(file, reference, members)
    return {"target": reference, "members": members, "vary": vary, "truth": truth, "seed": seed, "draws": draws}


def _writable(file: Path, target: str, parameters: dict[str, source.Parameter]) -> dict[str, source.Parameter]:
    """The parameters that YAML can give; a tensor is for Python, and a target that needs one is refused."""
    tensors = [name for name, parameter in parameters.items() if "Tensor" in (parameter.annotation or "")]
    for name in tensors:
        if parameters[name].default is None:
            found = f"{describe(target)}, whose parameter '{name}' is a Tensor"
            expected = "a class whose parameters are numbers, texts and lists; make the tensor in a subclass"
            raise ConfigError(file, "target", found, expected, _modules("densities/targets"))
    return {name: parameter for name, parameter in parameters.items() if name not in tensors}


def _drawn(file: Path, reference: str, members: dict[str, dict]) -> bool:
    """Whether there are exact draws, of every member or of none; a class's `largest` is the limit of a parameter."""
    owners = [node.name for _, node in source.lineage(reference) if _defines(node, "sample")]
    if owners[:1] == ["Target"]:  # the base's own only says that there is none
        return False
    key, most = source.attribute(reference, "largest") or ("", 0)
    drawn = [given.get(key, most) <= most for given in members.values()]
    if any(drawn) and not all(drawn):
        found = f"members with exact draws ({', '.join(itertools.compress(members, drawn))}) beside others"
        expected = f"{key} <= {most} in all members or in none; give the others a file of their own"
        raise ConfigError(file, "vary", found, expected)
    return all(drawn)


def _defines(node: ast.ClassDef, name: str) -> bool:
    return any(isinstance(item, ast.FunctionDef) and item.name == name for item in node.body)


def _short(value: object) -> str:
    """A value in a member's name: never shorter than what tells it from every other."""
    if isinstance(value, int | float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def judged(spec: dict) -> str:
    """`targets` or `images`, from a dataset's specification."""
    return "targets" if "target" in spec else "images"


def _external(file: Path, spec: dict) -> Model:
    check_keys(file, "", spec, ("external", "family", "measure"))
    given = spec["external"]
    if not isinstance(given, dict):
        raise ConfigError(file, "external", describe(given), "a mapping", ("samples", "scores", "datasets"))
    check_keys(file, "external", given, ("samples", "scores", "datasets"), ("samples", "datasets"))
    for key, annotation in {"samples": "str", "scores": "str", "datasets": "list[str]"}.items():
        if key in given and not config.fits(given[key], annotation):
            raise ConfigError(file, f"external.{key}", describe(given[key]), f"a value of type {annotation}")
        if annotation == "str" and re.search("[{}]", re.sub(r"\{(dataset|seed)\}", "", given.get(key, ""))):
            expected = "a path in which {dataset} and {seed} alone stand in braces"
            raise ConfigError(file, f"external.{key}", describe(given[key]), expected)
    if not isinstance(spec.get("family", ""), str):
        raise ConfigError(file, "family", describe(spec["family"]), "a text")
    paths = {key: beside(file, given[key]) for key in ("samples", "scores") if key in given}
    family = spec.get("family", "external")
    measure = spec.get("measure", "density")
    if measure not in MEASURES:
        raise ConfigError(file, "measure", describe(measure), "what the scores bound", MEASURES)
    serves = ("binary", "levels", "real")
    return Model(file.stem, {"external": given | paths}, family, serves, False, measure, file=file)


def event_kind(spec: dict) -> str:
    """`binary`, `levels` or `real` of images, `density` or `spins` of a target, from a dataset's specification."""
    if "target" in spec:
        return str(source.attribute(spec["target"], "kind") or "density")
    if spec.get("threshold") is not None or spec.get("levels") == 2:
        return "binary"
    return "real" if spec.get("levels", 0) is None else "levels"

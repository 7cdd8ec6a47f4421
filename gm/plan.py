"""The plan: a grid file becomes runs, and each job gets its slice of the configuration and the digest of its code.

The Snakefile imports this module, on a cluster twice in every job, so it stays free of torch and numpy.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gm import config, io, source
from gm.config import ConfigError, check_call, check_keys, describe, suggestion
from gm.stages.job import roots_of

REPOSITORY = source.PACKAGE.parent
SECTIONS = {"model": "__init__", "fit": "fit", "sample": "sample", "score": "bounds"}
SPLITS = ("train", "valid", "test", "fresh", "nonmember")


@dataclass(frozen=True)
class Model:
    """A contestant as its YAML file describes it."""

    name: str
    spec: dict
    family: str
    serves: tuple[str, ...]
    labels: bool


@dataclass(frozen=True)
class Plan:
    """Everything that will be made, in memory.

    Attributes:
        benchmark: the name, and the folder under `results/`.
        datasets: specification by name.
        models: contestants by name, in the report's order.
        runs: `(dataset, model, seed)`.
        skipped: `(dataset, model, reason)`.
        digests: of code, by where it begins; a plan sees one state of the code.
    """

    benchmark: str
    grid: dict
    datasets: dict[str, dict]
    models: dict[str, Model]
    runs: list[tuple[str, str, int]] = field(default_factory=list)
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    digests: dict[tuple[str, ...], str] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """The benchmark's folder, relative to the working directory."""
        return f"results/{self.benchmark}"

    def slice(self, stage: str, *, dataset: str = "", model: str = "", seed: object = None) -> dict:
        """The part of the configuration that a job may depend on; a new metric never retrains."""
        if stage == "prepare":
            return self.datasets[dataset]
        if stage == "ruler":
            return {"seed": self.datasets[dataset]["seed"]}
        if stage == "embed":
            return {"nets": self.grid["nets"]}
        if stage == "evaluate":
            return {"metrics": self.grid["metrics"], "nets": self.grid["nets"]}
        if stage == "report":
            return self.overview()
        spec = self.models[model].spec
        if "external" in spec:
            return {"external": self.external(model, dataset, seed)}
        keys = {"train": ("class", "model", "fit"), "sample": ("class", "sample"), "score": ("class", "score")}
        return {key: spec[key] for key in keys[stage] if key in spec}

    def overview(self) -> dict:
        """What the report must know of the grid."""
        models = [{"name": m.name, "family": m.family, "labels": m.labels} for m in self.models.values()]
        keys = ("seeds", "metrics", "nets")
        asked = {"compare": self.grid.get("compare", []), "ladder": self.grid.get("ladder", [])}
        planned, skipped = [list(run) for run in self.runs], [list(pair) for pair in self.skipped]
        shown = {"benchmark": self.benchmark, "datasets": list(self.datasets), "models": models}
        return shown | {key: self.grid[key] for key in keys} | asked | {"planned": planned, "skipped": skipped}

    def external(self, model: str, dataset: str, seed: object) -> dict[str, str | None]:
        """Files of an external contestant for one run."""
        given = self.models[model].spec["external"]
        files = {key: given.get(key) for key in ("samples", "scores")}
        return {key: path and path.format(dataset=dataset, seed=seed) for key, path in files.items()}

    def spec(self, stage: str, **wildcards: object) -> str:
        """The slice as canonical JSON, for a job's command line."""
        return io.canonical(self.slice(stage, **wildcards))

    def code(self, stage: str, **wildcards: object) -> str:
        """Digest of the code that a job really imports, as it was when this plan first looked."""
        roots = roots_of(stage, self.slice(stage, **wildcards))
        if roots not in self.digests:
            self.digests[roots] = source.digest(source.fingerprint(*roots))
        return self.digests[roots]

    def jobs(self) -> Iterable[tuple[str, dict, str]]:
        """Every job as `(stage, wildcards, its first output)`, in the order of the data."""
        for dataset in self.datasets:
            yield "prepare", {"dataset": dataset}, f"{self.root}/{dataset}/data.npz"
            yield "ruler", {"dataset": dataset}, f"{self.root}/{dataset}/ruler/features.npz"
        files = {"train": "model.safetensors", "sample": "samples.npz", "score": "scores.npz"}
        files |= {"embed": "features.npz", "evaluate": "metrics.csv"}
        for stage, file in files.items():
            for dataset, model, seed in self.runs:
                wildcards = {"dataset": dataset, "model": model, "seed": seed}
                yield stage, wildcards, f"{self.root}/{dataset}/{model}/{seed}/{file}"
        yield "report", {}, f"{self.root}/table.csv"


def grid_file(configfiles: Sequence[object], overrides: dict, default: str) -> Path:
    """The one grid file of a Snakemake run; several, or `--config`, would be merged in silence and are refused."""
    if len(configfiles) > 1:
        found = ", ".join(str(path) for path in configfiles)
        raise ConfigError("--configfile", "", f"several files: {found}", "one grid file; keys are never merged")
    if overrides:
        raise ConfigError("--config", "", ", ".join(sorted(overrides)), "no overrides; write a grid file of its own")
    return Path(configfiles[0] if configfiles else default)


def read(path: str | Path) -> Plan:
    """Read and check a grid file and everything it names.

    Raises:
        ConfigError: with the file, the key, what was found, what was expected and the legal choices.
    """
    path = Path(path)
    grid = config.read(path)
    _check_grid(path, grid)
    datasets = {}
    for entry in grid["datasets"]:
        file = _find(path, "datasets", entry)
        datasets[file.stem] = _dataset(file)
    models = {}
    for entry in grid["models"]:
        file = _find(path, "models", entry)
        if file.stem in models:
            raise ConfigError(path, "models", f"two contestants named '{file.stem}'", "a name of its own for each")
        models[file.stem] = contestant(file)
    plan = Plan(grid["benchmark"], grid, datasets, models)
    _names(path, grid, plan)
    _pair(path, plan)
    return plan


def _check_grid(path: Path, grid: dict) -> None:
    import jsonschema

    schema = yaml.safe_load((REPOSITORY / "workflow/schemas/grid.schema.yaml").read_text(encoding="utf-8"))
    check_keys(path, "", grid, schema["properties"], schema["required"])
    for error in sorted(jsonschema.Draft202012Validator(schema).iter_errors(grid), key=lambda e: list(e.path)):
        key = ".".join(str(step) for step in error.path)
        legal = error.validator_value if error.validator == "enum" else ()
        hint = suggestion(str(error.instance), legal) if legal else ""
        wanted = {"enum": "one of the legal choices", "type": f"type {error.validator_value}"}
        expected = wanted.get(error.validator, f"{error.validator} {error.validator_value}")
        raise ConfigError(path, key, describe(error.instance), expected + hint, legal)
    if grid["benchmark"] != path.stem:
        expected = f"'{path.stem}', as the file is named (results go to results/<benchmark>)"
        raise ConfigError(path, "benchmark", describe(grid["benchmark"]), expected)


def _find(grid: Path, kind: str, entry: str) -> Path:
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


def _dataset(file: Path) -> dict:
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
        choices = [f"gm.models.{module}" for module in models]
        raise ConfigError(file, "class", describe(spec["class"]), str(error), choices) from None
    family = source.attribute(reference, "family") or "control"
    serves = tuple(source.attribute(reference, "serves") or ())
    labels = bool(source.attribute(reference, "labels"))
    return Model(file.stem, spec | {"class": reference}, str(family), serves, labels)


def _external(file: Path, spec: dict) -> Model:
    check_keys(file, "", spec, ("external", "family"))
    given = spec["external"]
    if not isinstance(given, dict):
        raise ConfigError(file, "external", describe(given), "a mapping", ("samples", "scores", "datasets"))
    check_keys(file, "external", given, ("samples", "scores", "datasets"), ("samples", "datasets"))
    for key, annotation in {"samples": "str", "scores": "str", "datasets": "list[str]"}.items():
        if key in given and not config.fits(given[key], annotation):
            raise ConfigError(file, f"external.{key}", describe(given[key]), f"a value of type {annotation}")
    paths = {key: _beside(file, given[key]) for key in ("samples", "scores") if key in given}
    family = spec.get("family", "external")
    return Model(file.stem, {"external": given | paths}, str(family), ("binary", "levels", "real"), False)


def event_kind(spec: dict) -> str:
    """`binary`, `levels` or `real`, from a dataset's specification."""
    if spec.get("threshold") is not None or spec.get("levels") == 2:
        return "binary"
    return "real" if spec.get("levels", 0) is None else "levels"


def _names(path: Path, grid: dict, plan: Plan) -> None:
    """Names inside the grid must be names of the grid."""
    used = [("ladder", name, plan.models) for name in grid.get("ladder", [])]
    used += [("compare", name, plan.models) for pair in grid.get("compare", []) for name in pair]
    for dataset, names in grid.get("only", {}).items():
        used += [("only", dataset, plan.datasets)] + [(f"only.{dataset}", name, plan.models) for name in names]
    for key, name, known in used:
        if name not in known:
            raise ConfigError(path, key, f"'{name}'", f"a name of this grid{suggestion(name, known)}", known)


def _pair(path: Path, plan: Plan) -> None:
    """Pair datasets with models, and say why a pair is left out."""
    for dataset, spec in plan.datasets.items():
        kind, wanted = event_kind(spec), plan.grid.get("only", {}).get(dataset)
        for name, model in plan.models.items():
            external = model.spec.get("external")
            if wanted is not None and name not in wanted:
                plan.skipped.append((dataset, name, "left out by the grid"))
            elif external and dataset not in external["datasets"]:
                plan.skipped.append((dataset, name, "the external contestant has nothing for it"))
            elif kind not in model.serves:
                plan.skipped.append((dataset, name, f"serves {', '.join(model.serves)}, not {kind} images"))
            else:
                seeds = plan.grid["seeds"]
                if external and "{seed}" not in external["samples"]:
                    seeds = seeds[:1]  # one set of samples is one run, whatever the grid's seeds
                plan.runs.extend((dataset, name, seed) for seed in seeds)
                _check_external(path, plan, name, dataset, seeds)


def _check_external(path: Path, plan: Plan, name: str, dataset: str, seeds: list[int]) -> None:
    if "external" in plan.models[name].spec:
        for seed in seeds:
            for key, file in plan.external(name, dataset, seed).items():
                if file and not Path(file).is_file():
                    raise ConfigError(path, f"models.{name}", f"no file {file}", f"the external contestant's {key}")

"""The plan: a grid file becomes runs, and each job gets its slice of the configuration and the digest of its code.

The Snakefile imports this module, on a cluster twice in every job, so it stays free of torch and numpy.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gm import catalogue, config, io, schema, source
from gm.catalogue import Model, contestant, event_kind, find, judged
from gm.config import ConfigError, check_keys, describe, suggestion
from gm.stages.job import roots_of

REPOSITORY = source.REPOSITORY
TARGETS = "targets"
KEYS = {"images": (("nets",), ("ladder", "inception")), TARGETS: (("budgets", "groups", "draws"), ())}
METRICS = {
    "images": ("likelihood", "frechet", "kernel", "prdc", "outliers", "memorisation", "privacy", "utility"),
    TARGETS: ("logz", "moments", "ess", "modes", "discrepancy"),
}
GRID = {"sample": ("groups", "draws"), "score": ("groups", "budgets"), "ruler": ("draws",)}


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

    @property
    def judges(self) -> str:
        """What the grid is of, `images` or `targets`."""
        return judged(next(iter(self.datasets.values())))

    def slice(self, stage: str, *, dataset: str = "", model: str = "", seed: object = None) -> dict:
        """The part of the configuration that a job may depend on; a new metric never retrains."""
        if stage == "paper":
            return {}
        if self.judges == TARGETS:
            return self._targets(stage, dataset, model)
        if stage == "prepare":
            return self.datasets[dataset]
        if stage == "ruler":
            return {"seed": self.datasets[dataset]["seed"]} | self._nets()
        if stage == "embed":
            return self._nets()
        if stage == "evaluate":
            return {"metrics": self.grid["metrics"], "nets": self.grid["nets"]}
        if stage == "report":
            return self.overview()
        spec = self.models[model].spec
        if "external" in spec:
            files = self.external(model, dataset, seed)
            return {"external": files, "sha256": {key: io.sha256(path) for key, path in files.items() if path}}
        keys = {"train": ("class", "model", "fit"), "sample": ("class", "sample"), "score": ("class", "score")}
        return {key: spec[key] for key in (*keys[stage], *catalogue.DEVICE) if key in spec}

    def _nets(self) -> dict:
        """The feature networks, and the file of the one that is the user's own."""
        return {key: self.grid[key] for key in ("nets", "inception") if key in self.grid}

    def _targets(self, stage: str, dataset: str, model: str) -> dict:
        """The same of a grid of targets; `grid` tells the verbs so."""
        if stage == "report":
            return {"grid": TARGETS} | self.overview()
        if stage == "evaluate":
            return {"grid": TARGETS, "metrics": self.grid["metrics"]}
        keys = {"prepare": ("target", "members", "truth", "seed", "draws"), "ruler": ("target", "members", "seed")}
        spec = {key: self.datasets[dataset][key] for key in keys.get(stage, ("target", "members"))}
        sections = {"train": ("class", "model", "fit"), "sample": ("class", "sample"), "score": ("class", "score")}
        own = self.models[model].spec if model else {}
        spec |= {key: own[key] for key in sections.get(stage, ()) if key in own}
        return {"grid": TARGETS} | spec | {key: self.grid[key] for key in GRID.get(stage, ())}

    def overview(self) -> dict:
        """What the report must know of the grid."""
        models = [
            {key: getattr(m, key) for key in ("name", "family", "labels", "measure")} for m in self.models.values()
        ]
        keys = ("seeds", "metrics", *KEYS[self.judges][0])
        asked = {"compare": self.grid.get("compare", []), "ladder": self.grid.get("ladder", [])}
        if self.judges == TARGETS:
            asked["ladder"] = []
            asked["families"] = {
                name: {"vary": d["vary"], "members": d["members"]} for name, d in self.datasets.items()
            }
        planned, skipped = [list(run) for run in self.runs], [list(pair) for pair in self.skipped]
        shown = {"benchmark": self.benchmark, "datasets": list(self.datasets), "models": models}
        return shown | {key: self.grid[key] for key in keys} | asked | {"planned": planned, "skipped": skipped}

    def external(self, model: str, dataset: str, seed: object) -> dict[str, str | None]:
        """Files of an external contestant for one run."""
        given = self.models[model].spec["external"]
        files = {key: given.get(key) for key in ("samples", "scores")}
        return {key: path and path.format(dataset=dataset, seed=seed) for key, path in files.items()}

    def gpus(self, stage: str, *, model: str = "", **_: object) -> int:
        """How many GPUs a job asks for, 0 or 1: fits, draws and scores of a contestant whose file says so."""
        return int(stage in ("train", "sample", "score") and "device" in self.models[model].spec)

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
    """The one grid file of a Snakemake run, of `--configfile FILE` or `--config grid=FILE`; nothing is ever merged.

    The second is what `gm run` says: Snakemake reads a `--configfile` before this module can check it.
    """
    if list(overrides) == ["grid"] and not configfiles:
        return Path(str(overrides["grid"]))
    if len(configfiles) > 1:
        found = ", ".join(str(path) for path in configfiles)
        raise ConfigError("--configfile", "", f"several files: {found}", "one grid file; keys are never merged")
    if overrides:
        raise ConfigError("--config", "", ", ".join(sorted(overrides)), "grid=FILE alone; no key is overridden")
    return Path(configfiles[0] if configfiles else default)


def read(path: str | Path) -> Plan:
    """Read and check a grid file and everything it names.

    Raises:
        ConfigError: with the file, the key, what was found, what was expected and the legal choices.
    """
    path = Path(path)
    grid = config.read(path)
    schema.check(path, grid)
    datasets = {}
    for entry in grid["datasets"]:
        file = find(path, "datasets", entry)
        if file.stem in datasets:
            raise ConfigError(path, "datasets", f"two datasets named '{file.stem}'", "a name of its own for each")
        datasets[file.stem] = catalogue.dataset(file)
    models = {}
    for entry in grid["models"]:
        file = find(path, "models", entry)
        if file.stem in models:
            raise ConfigError(path, "models", f"two contestants named '{file.stem}'", "a name of its own for each")
        models[file.stem] = contestant(file)
    plan = Plan(grid["benchmark"], grid, datasets, models)
    _check_judged(path, plan)
    _inception(path, grid)
    _names(path, grid, plan)
    _pair(path, plan)
    return plan


def _check_judged(path: Path, plan: Plan) -> None:
    """A grid is of images or of targets, and has the keys, the metrics and the contestants of the one."""
    kind = plan.judges
    other = [name for name, spec in plan.datasets.items() if judged(spec) != kind]
    if other:
        found = f"{kind} ({', '.join(name for name in plan.datasets if name not in other)}) beside {', '.join(other)}"
        raise ConfigError(path, "datasets", found, "images alone or targets alone; give each a grid of its own")
    required, optional = KEYS[kind]
    foreign = {key for keys in KEYS.values() for some in keys for key in some} - {*required, *optional}
    legal = [key for key in schema.read()["properties"] if key not in foreign]
    check_keys(path, "", plan.grid, legal, required)
    for index, metric in enumerate(plan.grid["metrics"]):
        if metric not in METRICS[kind]:
            raise ConfigError(path, f"metrics.{index}", describe(metric), f"a metric of {kind}", METRICS[kind])
    for name, model in plan.models.items():
        if model.judges != kind:
            found = f"'{name}', which serves {model.judges}"
            known = [other for other, model in plan.models.items() if model.judges == kind]
            raise ConfigError(path, "models", found, f"contestants for {kind}, as the datasets of this grid are", known)


def _inception(path: Path, grid: dict) -> None:
    """The file of the user's own network is there and is the file that was meant; its path is kept as jobs read it."""
    given, wanted = grid.get("inception"), "inception" in grid.get("nets", [])
    if wanted != (given is not None):
        found = "no key 'inception'" if wanted else "a file for a net that 'nets' does not name"
        raise ConfigError(path, "inception", found, "{file: ..., sha256: ...} beside 'inception' among the nets")
    if given is not None:
        file = Path(os.path.relpath(path.parent / given["file"])).as_posix()
        if not os.path.isfile(file):
            raise ConfigError(path, "inception.file", f"no file {file}", "a TorchScript network, relative to this file")
        if (digest := io.sha256(file)) != given["sha256"]:
            raise ConfigError(path, "inception.sha256", f"{file} has {digest}", given["sha256"])
        grid["inception"] = given | {"file": file}


def _names(path: Path, grid: dict, plan: Plan) -> None:
    """Names inside the grid must be names of the grid."""
    used = [("ladder", name, plan.models) for name in grid.get("ladder", [])]
    used += [("compare", name, plan.models) for pair in grid.get("compare", []) for name in pair]
    for dataset, names in grid.get("only", {}).items():
        used += [("only", dataset, plan.datasets)] + [(f"only.{dataset}", name, plan.models) for name in names]
    for key, name, known in used:
        if name not in known:
            raise ConfigError(path, key, f"'{name}'", f"a name of this grid{suggestion(name, known)}", known)
    for pair in grid.get("compare", []):
        first, second = (plan.models[name] for name in pair)
        if first.measure != second.measure:
            found = f"{first.name} (a {first.measure}) and {second.name} (a {second.measure})"
            expected = "two densities or two masses: a mean log density lies below its log mass by what the noise costs"
            raise ConfigError(path, "compare", found, expected)


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
                what = "images" if model.judges == "images" else TARGETS
                plan.skipped.append((dataset, name, f"serves {', '.join(model.serves)}, not {kind} {what}"))
            elif model.truth and not spec["truth"]:
                plan.skipped.append((dataset, name, "needs exact draws, and the target has none"))
            else:
                seeds = plan.grid["seeds"]
                if external and "{seed}" not in external["samples"]:
                    seeds = seeds[:1]  # one set of samples is one run, whatever the grid's seeds
                plan.runs.extend((dataset, name, seed) for seed in seeds)
                _check_external(plan, name, dataset, seeds)
    if not plan.runs:
        found = "; ".join(f"{name} on {dataset}: {reason}" for dataset, name, reason in plan.skipped)
        raise ConfigError(path, "models", f"no run is left: {found}", "a model that serves a dataset")


def _check_external(plan: Plan, name: str, dataset: str, seeds: list[int]) -> None:
    model = plan.models[name]
    if "external" in model.spec:
        for seed in seeds:
            for key, file in plan.external(name, dataset, seed).items():
                if file and not os.path.isfile(file):
                    expected = f"the external contestant's {key} for '{dataset}', seed {seed}"
                    raise ConfigError(model.file, f"external.{key}", f"no file {file}", expected)

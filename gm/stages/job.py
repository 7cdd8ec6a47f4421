"""What every stage shares: a job checks its code, runs, and leaves valid files and a record, whatever happens.

A model's failure is a result: the job writes a typed status and valid empty files and ends well. A failure of the
machine is an error: nothing is written and the job ends non-zero, to be retried.
"""

import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, get_type_hints

from gm import __version__, io, provenance, source

Input = Annotated[Path, "input"]
Output = Annotated[Path, "output"]


class Failed(Exception):
    """A contestant's failure, with a typed status and the reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class StaleCode(RuntimeError):
    """The code on disk is not the code that was planned."""


@dataclass
class Outcome:
    """What a stage says of its work: counted evaluations, numbers worth quoting, the device it used.

    `device_peak_mb` is the peak of a GPU's memory, in MiB; None on the CPU, whose peak every record has.
    """

    evals: dict[str, int] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    device: str = "cpu"
    device_peak_mb: float | None = None


def progress(path: Path, every: float = 1.0) -> Callable[[int, int], None]:
    """A `log(step, total)` that keeps a small file beside the output up to date, at most once in `every` seconds."""
    beat = path.with_name(f".{path.name}.progress")
    last = 0.0

    def log(step: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every:
            last = now
            io.write_json(beat, {"step": int(step), "total": int(total), "time": time.time()})

    return log


def module_of(stage: str, spec: dict) -> str:
    """The module of a verb: a job of a grid of targets says so in its spec."""
    return f"gm.stages.sampling.{stage}" if spec.get("grid") == "targets" else f"gm.stages.{stage}"


def roots_of(stage: str, spec: dict) -> tuple[str, ...]:
    """Where the code of a job begins: its stage, and the contestant, data source or target that its spec names."""
    roots = [module_of(stage, spec)]
    for key in ("class", "source", "target"):
        if key in spec:
            roots.append(source.split(spec[key])[0])
    return tuple(roots)


def run(stage: ModuleType, *, spec: dict, code: str | None = None, seed: int | None = None, **paths: Path) -> str:
    """Run one stage: files in, files out, a record beside the first output.

    Arguments:
        stage: a module with `run(..., spec, seed, log) -> Outcome` and, if contestants may fail in it, `empty(...)`.
        spec: the stage's slice of the configuration.
        code: digest of the code that was planned; None does not check.
        seed: the run's seed, or None for work that belongs to a dataset.
        paths: the stage's files by name; `Input` and `Output` annotations say which they are.

    Returns:
        The status, `ok` or a typed failure.

    Raises:
        StaleCode: the code changed between planning and running.
    """
    started, cpu = time.time(), time.process_time()
    name = stage.__name__.rpartition(".")[2]
    prints = source.fingerprint(*roots_of(name, spec))
    if code and source.digest(prints) != code:
        raise StaleCode(
            f"the code of 'gm {name}' changed after this job was planned; plan again (run the same command)"
        )
    hints = get_type_hints(stage.run, include_extras=True)
    inputs = {key: path for key, path in paths.items() if hints[key] == Input}
    outputs = {key: path for key, path in paths.items() if hints[key] == Output}
    main = next(iter(outputs.values()))
    for path in outputs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        io.remove_unfinished(path)
    outcome, status, reason = Outcome(), "ok", ""
    for path in inputs.values():
        upstream = provenance.status_of(path) if path.is_file() else ("ok", "")
        if upstream[0] != "ok":
            status, reason = upstream
    given = paths | {"spec": spec, "seed": seed, "log": progress(main), "failure": (status, reason)}
    given["code"] = source.digest(prints)
    accepted = inspect.signature(stage.run).parameters
    if status == "ok" or "failure" in accepted:
        try:
            outcome = stage.run(**{key: value for key, value in given.items() if key in accepted})
        except Failed as failure:
            status, reason = failure.status, failure.reason
            print(f"{name}: the model failed ({status}): {reason}", file=sys.stderr)
    if status != "ok" and "failure" not in accepted:
        stage.empty(**outputs)
    record = {
        "gm": __version__,
        "commit": provenance.commit(),
        "stage": name,
        "status": status,
        "reason": reason,
        "spec": spec,
        "seed": seed,
        "code": {"digest": source.digest(prints), "parts": prints},
        "inputs": {key: io.sha256(path) for key, path in inputs.items() if path.is_file()},
        "outputs": {key: io.sha256(path) for key, path in outputs.items() if path.is_file()},
        "versions": provenance.versions(),
        "device": outcome.device,
        "evals": outcome.evals,
        "facts": outcome.facts,
        "seconds": round(time.time() - started, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_mb": provenance.peak_mb(),
    }
    if outcome.device_peak_mb is not None:
        record["device_peak_mb"] = outcome.device_peak_mb
    io.write_json(provenance.record_of(main), record)
    main.with_name(f".{main.name}.progress").unlink(missing_ok=True)
    return status

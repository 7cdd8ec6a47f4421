"""What jobs will cost, from the records of jobs like them."""

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from gm.commands.options import available
from gm.commands.records import BESIDES, Job

Key = tuple[str, ...]


class Cost(NamedTuple):
    """Wall time of a job in seconds, its peak memory in MiB, and the bytes it leaves."""

    seconds: float
    memory: float
    disk: float


class Forecast:
    """Costs of earlier jobs in a folder of benchmarks, by what they were.

    A job costs the median of the records of its stage, dataset and model; without one, of its stage and model on other
    datasets; without that, of its stage.

    Arguments:
        results: the folder that holds the benchmarks.
    """

    def __init__(self, results: Path) -> None:
        self.known: dict[Key, list[Cost]] = {}
        for pattern in ("*/*.json", "*/*/*.json", "*/*/*/*.json", "*/*/*/*/*.json"):
            for path in results.glob(pattern):
                _, *folders, _ = path.relative_to(results).parts  # dataset and `ruler`, or dataset, model and seed
                self._read(path, (*folders[:1], *folders[1 : len(folders) - 1], "", "")[:2])

    def _read(self, path: Path, place: Key) -> None:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stage, status = record["stage"], record["status"]
            seconds, memory = float(record["seconds"]), float(record["peak_mb"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # no record of a job
        if status == "ok":
            cost = Cost(seconds, memory, _disk(path.parent, path.stem, stage))
            for key in _keys(stage, *place):
                self.known.setdefault(key, []).append(cost)

    def of(self, job: Job) -> tuple[Cost | None, bool]:
        """The cost to expect, None without any record of its stage; and whether that is of jobs on the same data."""
        place = str(job.wildcards.get("dataset", "")), str(job.wildcards.get("model", ""))
        for key in _keys(job.stage, *place):
            if found := self.known.get(key):
                return Cost(*(median(values) for values in zip(*found, strict=True))), len(key) == 3
        return None, False


def _keys(stage: str, dataset: str, model: str) -> list[Key]:
    return [(stage, dataset, model), (stage, model), (stage,)]


def _disk(folder: Path, stem: str, stage: str) -> float:
    files = [*folder.glob(f"{stem}.*"), *(folder / name for name in BESIDES.get(stage, ()))]
    inside = [found for path in files for found in (path.rglob("*") if path.is_dir() else [path])]
    return float(sum(path.stat().st_size for path in inside if path.is_file()))


def seconds(forecast: Forecast, jobs: Iterable[Job]) -> float:
    """Seconds that jobs will take together, one after the other; those of which nothing is known count nothing."""
    return sum(cost.seconds for job in jobs if (cost := forecast.of(job)[0]) is not None)


def pace(root: Path, now: float, window: float = 3600.0) -> float:
    """How many jobs of a benchmark ran at once, on average, since the first of those that ended of late began.

    On a cluster it is this, not the cores of the machine that asks, which tells how long the rest takes.

    Arguments:
        root: the benchmark's folder.
        now: the time, in seconds since the epoch.
        window: what counts as late, in seconds.
    """
    ended = []
    for path in [*root.glob("*/*.json"), *root.glob("*/ruler/*.json"), *root.glob("*/*/*/*.json")]:
        try:
            ended.append((path.stat().st_mtime, float(json.loads(path.read_text(encoding="utf-8"))["seconds"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no record of a job
    late = [(end, spent) for end, spent in ended if end > now - window]
    began = min((end - spent for end, spent in late), default=now)
    return sum(spent for _, spent in late) / (now - began) if began < now else 0.0


def told(forecast: Forecast, jobs: Iterable[Job], cores: int | None = None) -> str:
    """What jobs will cost together, in words; empty where nothing is known, and no guess where most were guessed.

    Arguments:
        forecast: of their costs.
        jobs: those to do.
        cores: jobs at once; by default all that this process may use.
    """
    found = [forecast.of(job) for job in jobs]
    costs = [cost for cost, _ in found if cost is not None]
    if not costs:
        return ""
    strange = sum(cost is None or not alike for cost, alike in found)
    if 2 * strange > len(found):
        return f"no forecast: {strange} of them are unlike any that was made here"
    cores = cores or available()
    minutes = sum(cost.seconds for cost in costs) / 60
    text = f"about {minutes / cores:.1f} min on {cores} core{'s' * (cores > 1)}" if cores > 1 else ""
    text += f" ({minutes:.1f} on one)" if text else f"about {minutes:.1f} min"
    text += f", {max(cost.memory for cost in costs):.0f} MiB of memory a job at most"
    text += f", {sum(cost.disk for cost in costs) / 2**20:.1f} MiB of disk"
    return text + (f"; {strange} of them guessed from other data or models" if strange else "")

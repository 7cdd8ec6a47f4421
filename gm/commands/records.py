"""Comparing what was made with what would be made now, from the records alone."""

from dataclasses import dataclass
from pathlib import Path

from gm import io, provenance, source
from gm.plan import Plan
from gm.stages.job import roots_of

SHORT = 60  # characters of a value that is told whole
BESIDES = {
    "ruler": ("model.safetensors", "trivial.npz"),
    "train": ("history.csv",),
    "evaluate": ("items.npz",),
    "report": ("summary.csv", "paired.csv", "checks.csv", "status.csv", "cost.csv", "report/index.html", "figures"),
}


@dataclass(frozen=True)
class Job:
    """A planned job and why it would run; no reasons means that it is up to date."""

    stage: str
    wildcards: dict
    target: Path
    reasons: tuple[str, ...]
    status: str

    @property
    def name(self) -> str:
        """`stage dataset/model/seed`."""
        return " ".join([self.stage, "/".join(str(value) for value in self.wildcards.values())]).strip()


def differences(old: dict, new: dict, prefix: str = "") -> list[str]:
    """Keys whose values differ, `key: old -> new`; of a long list, the items that came and went.

    Example:
        >>> differences({"seeds": list(range(50)), "n": 3}, {"seeds": list(range(2, 51)), "n": 4})
        ['n: 3 -> 4', 'seeds: +50 -0 -1']
    """
    lines = []
    for key in sorted(set(old) | set(new)):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after and (moved := _items(before, after)):
            lines.append(f"{prefix}{key}: {moved}")
        elif before != after:
            lines.append(f"{prefix}{key}: {_short(before)} -> {_short(after)}")
    return lines


def _items(old: object, new: object) -> str:
    """Items of one list alone, those with a name by it; nothing where the lists are short, or would not fit a line."""
    if not isinstance(old, list) or not isinstance(new, list) or max(map(len, map(io.canonical, (old, new)))) <= SHORT:
        return ""
    sides = [{io.canonical(item): item for item in items} for items in (old, new)]
    alone = [[item for key, item in side.items() if key not in other] for side, other in (sides, sides[::-1])]
    names = [[_short(item["name"] if isinstance(item, dict) and "name" in item else item).strip('"') for item in items]
             for items in alone]  # fmt: skip
    told = " ".join([*(f"+{name}" for name in names[1]), *(f"-{name}" for name in names[0])])
    return told if len(told) <= 2 * SHORT else ""


def _short(value: object) -> str:
    text = io.canonical(value)
    return text if len(text) <= SHORT else text[: SHORT - 3] + "..."


def code_changes(old: dict, new: dict) -> list[str]:
    """Functions that changed, appeared or went, `module: function`."""
    lines = []
    for module in sorted(set(old) | set(new)):
        before, after = old.get(module), new.get(module)
        if before is None or after is None:
            lines.append(f"{module} ({'is imported now' if before is None else 'is imported no more'})")
            continue
        changed = [part for part in sorted(set(before) | set(after)) if before.get(part) != after.get(part)]
        lines += [f"{module}: {part}" + ("" if part == "top level" else "()") for part in changed]
    return lines


def _upstream(job: str, wildcards: dict) -> list[str]:
    dataset = wildcards.get("dataset")
    before = {"ruler": ["prepare"], "train": ["prepare"], "sample": ["train"], "score": ["train"]}
    before |= {"embed": ["sample", "ruler"], "evaluate": ["score", "embed"]}
    run = "/".join(str(value) for value in wildcards.values())
    return [f"{stage} {dataset if stage in ('prepare', 'ruler') else run}" for stage in before.get(job, [])]


def jobs(plan: Plan) -> list[Job]:
    """Every job of a plan with the reasons why it would run."""
    found: dict[str, Job] = {}
    prints: dict[tuple, dict] = {}
    for stage, wildcards, output in plan.jobs():
        target = Path(output)
        path = provenance.record_of(target)
        reasons, status = [], "missing"
        if not target.is_file() or not path.is_file():
            reasons.append("not made yet")
        else:
            gone = [name for name in BESIDES.get(stage, ()) if not (target.parent / name).exists()]
            reasons += [f"{gone[0]} is gone"] if gone else []
            record = io.read_json(path)
            status = record["status"]
            spec = plan.slice(stage, **wildcards)
            roots = roots_of(stage, spec)
            if roots not in prints:
                prints[roots] = source.fingerprint(*roots)
            reasons += [f"key {line}" for line in differences(record["spec"], spec)]
            if record["code"]["parts"] != prints[roots]:
                reasons += [f"code {line}" for line in code_changes(record["code"]["parts"], prints[roots])]
        names = _upstream(stage, wildcards) if stage != "report" else [n for n in found if n.startswith("evaluate")]
        stale = [name for name in names if found[name].reasons]
        if stale:
            reasons.append(f"follows {stale[0]}" + (f" and {len(stale) - 1} more" if len(stale) > 1 else ""))
        job = Job(stage, wildcards, target, tuple(reasons), status)
        found[job.name] = job
    return list(found.values())


def files(plan: Plan) -> list[Path]:
    """Every file that the jobs of a plan leave, but for the report's."""
    found = []
    for stage, _, output in plan.jobs():
        if stage != "report":
            target = Path(output)
            found += [target, provenance.record_of(target), *(target.parent / name for name in BESIDES.get(stage, ()))]
    return found


def untouched(found: list[Job]) -> bool:
    """Whether plainly nothing is to do: no job has a reason, every file is there and none was changed since.

    A job's record is written last, so a file newer than its record was changed by somebody else, and one newer than
    what was made from it may have changed too; then Snakemake decides.
    """
    times: dict[str, int] = {}
    for job in found:
        record = provenance.record_of(job.target)
        files = [job.target, *(job.target.parent / name for name in BESIDES.get(job.stage, ()))]
        if job.reasons or not all(file.exists() for file in files):
            return False
        made = times[job.name] = job.target.stat().st_mtime_ns
        names = _upstream(job.stage, job.wildcards)
        if job.stage == "report":
            names = [name for name in times if name.startswith("evaluate")]
        if made > record.stat().st_mtime_ns or any(times[name] > made for name in names):
            return False
    return True

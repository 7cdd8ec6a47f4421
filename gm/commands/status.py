"""gm status: what is done, failed or missing."""

import argparse
import time
from pathlib import Path

from gm import io, plan, provenance

MARKS = {"ok": "●", "missing": "·"}


def states(planned: plan.Plan) -> dict[tuple[str, str, int], tuple[str, str]]:
    """`(status, reason)` of every planned run; `missing` until its metrics are there."""
    found = {}
    for dataset, model, seed in planned.runs:
        folder = Path(planned.root) / dataset / model / str(seed)
        record = provenance.record_of(folder / "metrics.csv")
        content = io.read_json(record) if record.is_file() else {"status": "missing", "reason": ""}
        found[dataset, model, seed] = (content["status"], content["reason"])
    return found


def main(arguments: list[str]) -> int:
    """Print a matrix dataset x model with a mark per seed; with `--strict`, exit 3 unless all is made, and is ok."""
    parser = argparse.ArgumentParser("gm status", description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    parser.add_argument("--strict", action="store_true", help="exit 3 unless every planned run is ok and up to date")
    parser.add_argument("--brief", action="store_true", help="only what is not ok")
    options = parser.parse_args(arguments)
    planned = plan.read(options.grid)
    code = tell(planned, strict=options.strict, brief=options.brief)
    if options.strict:
        from gm.commands.records import jobs

        if due := [job for job in jobs(planned) if job.reasons]:
            print(f"{len(due)} jobs to do, such as {due[0].name}: {due[0].reasons[0]}")
            code = 3
    return code


def tell(planned: plan.Plan, *, strict: bool, brief: bool) -> int:
    """Print the state of a plan; the exit code is 3 if `strict` and some run is not ok."""
    found = states(planned)
    if not brief:
        width = max(len(name) for name in planned.models)
        print(" " * width, "  ".join(planned.datasets), " (● ok, · missing, x failed, one mark a seed)")
        for model in planned.models:
            cells = []
            for dataset in planned.datasets:
                runs = [state for (d, m, _), state in found.items() if (d, m) == (dataset, model)]
                cells.append("".join(MARKS.get(state[0], "x") for state in runs).center(len(dataset)))
            print(model.ljust(width), "  ".join(cells))
        from gm.commands.forecast import Forecast, pace, seconds, told
        from gm.commands.records import jobs
        from gm.commands.view import beats

        for name, (step, total) in beats(Path(planned.root)).items():
            print(f"  running: {name}, {step} of {total}")
        due = [job for job in jobs(planned) if job.reasons]
        forecast = Forecast(Path(planned.root).parent)
        if cost := told(forecast, due):
            print(f"to do: {len(due)} jobs, {cost}")
        if due and (rate := pace(Path(planned.root), time.time())):
            left = seconds(forecast, due) / rate / 60
            print(f"at the pace of the last hour, {rate:.1f} jobs at once: about {left:.0f} min left")
    ok = sum(state == "ok" for state, _ in found.values())
    for (dataset, model, seed), (state, reason) in found.items():
        if state not in ("ok", "missing"):
            print(f"failed: {dataset}/{model}/{seed} {state}: {reason}")
    if ok < len(found) or not brief:
        print(f"{ok} of {len(found)} runs ok")
    return 3 if strict and ok < len(found) else 0

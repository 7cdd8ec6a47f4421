"""gm plan: what would be made, how many jobs, and what they will cost."""

import argparse
from collections import Counter
from pathlib import Path

from gm import plan
from gm.commands.forecast import Forecast, told
from gm.commands.options import gpus
from gm.commands.records import jobs


def main(arguments: list[str]) -> int:
    """Print the number of jobs per stage and their expected cost, the reasons, and the pairs that are left out."""
    parser = argparse.ArgumentParser("gm plan", description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    planned = plan.read(parser.parse_args(arguments).grid)
    found = jobs(planned)
    due = [job for job in found if job.reasons]
    stages = dict.fromkeys(job.stage for job in found)
    print(f"{planned.benchmark}: {len(planned.runs)} runs, {len(found)} jobs, {len(due)} to do")
    for stage in stages:
        total = sum(job.stage == stage for job in found)
        print(f"  {stage:<9}{sum(job.stage == stage for job in due):>5} of {total}")
    if due:
        cost = told(Forecast(Path(planned.root).parent), due)
        print(f"  to do: {cost or 'no earlier record to tell the cost from'}")
        if asking := sum(planned.gpus(job.stage, **job.wildcards) for job in due):
            print(f"  {asking} of them ask for a GPU; here are {gpus()}, without one they run on the CPU")
    reasons = Counter(reason for job in due for reason in job.reasons if not reason.startswith("follows"))
    for reason, count in reasons.most_common():
        print(f"  {count:>5} x {reason}")
    for dataset, model, reason in planned.skipped:
        print(f"  left out: {model} on {dataset} ({reason})")
    return 0

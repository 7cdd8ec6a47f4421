"""gm why: why a target would be made again."""

import argparse
import sys
from pathlib import Path

from gm import plan
from gm.commands.records import jobs


def main(arguments: list[str]) -> int:
    """Print, for each job whose output or name matches the target, the keys and functions that changed."""
    parser = argparse.ArgumentParser("gm why", description=__doc__.splitlines()[0])
    parser.add_argument("target", nargs="?", default="", help="a path, or part of one: digits/vae/0, table.csv")
    parser.add_argument("--grid", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    options = parser.parse_args(arguments)
    found = [job for job in jobs(plan.read(options.grid)) if options.target in f"{job.name} {job.target}"]
    if not found:
        print(f"gm why: no planned job matches '{options.target}'; see 'gm plan'", file=sys.stderr)
        return 2
    for job in found:
        if job.reasons:
            print(f"{job.name}")
            for reason in job.reasons:
                print(f"    {reason}")
    due = sum(bool(job.reasons) for job in found)
    print(f"{due} of {len(found)} matching jobs would run")
    return 0

"""How much of a run its jobs spend on starting, with the fork server and without.

    python tests/performance/startup.py [config/digits.yaml] --minutes 9.3

The commands of one control's jobs on the grid's first dataset are taken from Snakemake's own dry-run and run in turn,
with the server and without, in a folder of their own. A start is the wall time of the command less the seconds that the
job's record counts from the first line of its stage: interpreter, imports, connection, and the end of the process. The
share is the median start of each stage times the grid's number of its jobs, over `--cores` times `--minutes`, what the
whole run takes.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from gm import io, plan, provenance
from gm.commands import forks

COMMAND = re.compile(r"^(?:Shell command: |\s*)(gm (\w+) --(.*))$")


def commands(grid: Path, folder: Path) -> list[tuple[str, str, Path]]:
    """`(stage, command, first output)` of every job of a grid, in an order in which they can run."""
    dry = [sys.executable, "-m", "snakemake", "--dry-run", "--printshellcmds", "--cores", "1"]
    dry += ["--snakefile", str(plan.REPOSITORY / "Snakefile"), "--configfile", str(grid)]
    words = subprocess.run(dry, cwd=folder, check=True, capture_output=True, text=True)
    shell = {
        match[2]: match[1] for line in (words.stdout + words.stderr).splitlines() if (match := COMMAND.match(line))
    }
    return [(stage, shell[stage], folder / output) for stage, _, output in plan.read(grid).jobs()]


def starts(found: list[tuple[str, str, Path]], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Seconds that the job of each stage takes to start."""
    out = {}
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    for stage, command, output in found:
        output.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        subprocess.run(command, shell=True, cwd=folder, check=True, env=os.environ | {"PATH": path} | environment)
        out[stage] = time.perf_counter() - began - io.read_json(provenance.record_of(output))["seconds"]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml")
    parser.add_argument("--minutes", type=float, required=True, help="wall time of the whole run")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    whole = plan.read(options.grid)
    counts = Counter(stage for stage, _, _ in whole.jobs())
    total = 60 * options.minutes * options.cores
    with tempfile.TemporaryDirectory() as name, forks.Server(Path(name)) as server:
        folder = Path(name)
        small = {"benchmark": "startup", "datasets": [next(iter(whole.datasets))], "models": ["resample"], "seeds": [0]}
        grid = folder / "startup.yaml"
        grid.write_text(yaml.safe_dump(small | {"metrics": ["frechet"], "nets": ["pca"]}))
        found = commands(grid, folder)
        server.start()
        while not Path(server.address).exists():
            time.sleep(0.1)
        runs = {"fork server": [], "processes": []}
        for _ in range(options.repeats):
            for kind, environment in (("fork server", server.environment), ("processes", {})):
                runs[kind].append(starts(found, folder, environment))
    print(f"{'stage':10s}{'jobs':>6s}" + "".join(f"{kind + ', s':>16s}" for kind in runs))
    means = {
        kind: {stage: statistics.median(run[stage] for run in some) for stage in counts} for kind, some in runs.items()
    }
    for stage, count in counts.items():
        print(f"{stage:10s}{count:6d}" + "".join(f"{mean[stage]:16.2f}" for mean in means.values()))
    for kind, mean in means.items():
        spent = sum(mean[stage] * count for stage, count in counts.items())
        print(f"{kind}: {spent:.0f} s of {total:.0f} core seconds, {100 * spent / total:.1f} %")


if __name__ == "__main__":
    main()

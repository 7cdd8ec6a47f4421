"""What it costs to plan a large grid, beside plain Snakemake with as many jobs: `snakemake --dry-run`.

    python tests/performance/scale.py [--runs 1000 2000 5000 10000] [--made] [--repeats 3]

A grid has ten models on the digits and as many seeds as give the wanted number of runs, none of them made. With
`--made` it is planned twice more: as if all of it were made (`made.py`), and then with one model more. The peer is that
of `noop.py`. Printed are CPU seconds (user and system, children included), peak memory, and the power of the number of
runs that the CPU seconds follow (1: linear), with the farthest point's relative distance from it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml
from noop import plain

from gm import plan

MODELS = ["resample", "memoriser", "ppca", "mixture", "copula", "class-ppca", "gaussian", "independent", "flow", "vae"]
MORE = "ebm"
GRID = {"benchmark": "scale", "datasets": ["digits"], "metrics": ["frechet"], "nets": ["pca"]}


def cost(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and peak memory in MiB of a command."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def grid(folder: Path, runs: int, more: Sequence[str] = ()) -> Path:
    """A grid file of so many runs, and as many seeds of each further model."""
    path = folder / "scale.yaml"
    seeds = list(range(-(-runs // len(MODELS))))
    path.write_text(yaml.safe_dump(GRID | {"models": [*MODELS, *more], "seeds": seeds}))
    return path


def measure(runs: int, made: bool) -> Iterator[tuple[str, int, tuple[float, float], tuple[float, float]]]:
    """What is planned, the number of jobs in all, and the costs of planning it here and by plain Snakemake."""
    dry = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "2"]
    make = [sys.executable, str(Path(__file__).with_name("made.py"))]
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as peer:
        here = str(plan.REPOSITORY / "Snakefile")

        def both(todo: str, file: Path) -> tuple[str, int, tuple[float, float], tuple[float, float]]:
            planned = plan.read(file)
            plain(planned, Path(peer))
            costs = cost([*dry, "--snakefile", here, "--configfile", str(file)], Path(ours)), cost(dry, Path(peer))
            return todo, len(list(planned.jobs())), *costs

        file = grid(Path(ours), runs)
        yield both("all", file)
        if made:
            cost([*make, here, str(file)], Path(ours))
            cost([*make, "Snakefile"], Path(peer))
            yield both("nothing", file)
            yield both("a model", grid(Path(ours), runs, [MORE]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 2000, 5000, 10_000])
    parser.add_argument("--made", action="store_true", help="also: nothing left to do, and a model more")
    parser.add_argument("--repeats", type=int, default=1, help="medians of so many; nothing else may run beside")
    options = parser.parse_args()
    found = []
    heads = f"{'gm s':>8s}{'plain s':>9s}{'ratio':>7s}{'gm MiB':>8s}{'plain MiB':>11s}"
    print(f"{'runs':>7s}{'jobs':>8s}  {'to do':8s}{heads}")
    for runs in options.runs:
        for rows in zip(*(measure(runs, options.made) for _ in range(options.repeats)), strict=True):
            todo, jobs = rows[0][:2]
            ours, peer = (np.median([row[side] for row in rows], axis=0) for side in (2, 3))
            ratios = [row[2][0] / row[3][0] for row in rows]
            told = f"{ours[0]:8.1f}{peer[0]:9.1f}{statistics.median(ratios):7.2f}{ours[1]:8.0f}{peer[1]:11.0f}"
            spread = f"  ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
            print(f"{runs:7d}{jobs:8d}  {todo:8s}{told}{spread}", flush=True)
            if todo == "all":
                found.append((runs, ours[0], peer[0]))
    if len(found) < 2:
        return
    runs, ours, peer = np.array(found).T
    for name, seconds in (("gm", ours), ("plain", peer)):
        power, level = np.polyfit(np.log(runs), np.log(seconds), 1)
        off = np.abs(seconds / (np.exp(level) * runs**power) - 1).max()
        print(f"{name:>6s}: in proportion to runs^{power:.2f}, off by {100 * off:.0f} % at most")


if __name__ == "__main__":
    main()

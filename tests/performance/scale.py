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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from noop import HEAD

from gm import plan

MODELS = ["resample", "memoriser", "ppca", "mixture", "copula", "class-ppca", "gaussian", "independent", "flow", "vae"]
MORE = "ebm"
GRID = {"benchmark": "scale", "datasets": ["digits"], "models": MODELS, "metrics": ["frechet"], "nets": ["pca"]}


def cost(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and peak memory in MiB of a command."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def grid(folder: Path, runs: int) -> Path:
    """A grid file of so many runs."""
    path = folder / "scale.yaml"
    path.write_text(yaml.safe_dump(GRID | {"seeds": list(range(-(-runs // len(MODELS))))}))
    return path


def one_more(file: Path, snakefile: Path) -> None:
    """A model more in the grid of `file`, and in the plain Snakefile beside it."""
    grid = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(grid | {"models": [*MODELS, MORE]}))
    plain(file, snakefile)


def plain(file: Path, snakefile: Path) -> int:
    """Write the plain Snakefile with the jobs of a grid; the number of jobs."""
    planned = plan.read(file)
    runs = [(d, m, str(s)) for d, m, s in planned.runs]
    snakefile.write_text(HEAD.format(runs=runs, datasets=list(planned.datasets)))
    return len(list(planned.jobs()))


def measure(runs: int, made: bool) -> Iterator[tuple[str, int, tuple[float, float], tuple[float, float]]]:
    """What is planned, the number of jobs in all, and the costs of planning it here and by plain Snakemake."""
    dry = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "2"]
    make = [sys.executable, str(Path(__file__).with_name("made.py"))]
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as peer:
        file, snakefile = grid(Path(ours), runs), Path(peer) / "Snakefile"
        here = str(plan.REPOSITORY / "Snakefile")

        def both() -> tuple[tuple[float, float], tuple[float, float]]:
            return cost([*dry, "--snakefile", here, "--configfile", str(file)], Path(ours)), cost(dry, Path(peer))

        jobs = plain(file, snakefile)
        yield "all", jobs, *both()
        if made:
            cost([*make, here, str(file)], Path(ours))
            cost([*make, str(snakefile)], Path(peer))
            yield "nothing", jobs, *both()
            one_more(file, snakefile)
            yield "a model", plain(file, snakefile), *both()


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

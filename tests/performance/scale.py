"""What it costs to plan a large grid, beside plain Snakemake with as many jobs: `snakemake --dry-run`.

    python tests/performance/scale.py [--runs 1000 2000 5000 10000]

A grid has ten models on the digits and as many seeds as give the wanted number of runs, none of them made. The peer is
that of `noop.py`. Printed are CPU seconds (user and system, children included), peak memory, and the power of
the number of runs that the CPU seconds follow (1: linear), with the farthest point's relative distance from it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from noop import HEAD

from gm import plan

MODELS = ["resample", "memoriser", "ppca", "mixture", "copula", "class-ppca", "gaussian", "independent", "flow", "vae"]
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


def measure(runs: int) -> tuple[int, tuple[float, float], tuple[float, float]]:
    """Jobs of a grid, and the costs of planning it here and by plain Snakemake."""
    dry = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--cores", "2"]
    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as peer:
        file = grid(Path(ours), runs)
        planned = plan.read(file)
        cells = [(d, m, str(s)) for d, m, s in planned.runs]
        (Path(peer) / "Snakefile").write_text(HEAD.format(runs=cells, datasets=list(planned.datasets)))
        snakefile = ["--snakefile", str(plan.REPOSITORY / "Snakefile"), "--configfile", str(file)]
        return len(list(planned.jobs())), cost([*dry, *snakefile], Path(ours)), cost(dry, Path(peer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 2000, 5000, 10_000])
    options = parser.parse_args()
    found = []
    print(f"{'runs':>7s}{'jobs':>8s}{'gm s':>8s}{'plain s':>9s}{'ratio':>7s}{'gm MiB':>8s}{'plain MiB':>11s}")
    for runs in options.runs:
        jobs, ours, peer = measure(runs)
        found.append((runs, ours[0], peer[0]))
        print(
            f"{runs:7d}{jobs:8d}{ours[0]:8.1f}{peer[0]:9.1f}{ours[0] / peer[0]:7.2f}{ours[1]:8.0f}{peer[1]:11.0f}",
            flush=True,
        )
    runs, ours, peer = np.array(found).T
    for name, seconds in (("gm", ours), ("plain", peer)):
        power, level = np.polyfit(np.log(runs), np.log(seconds), 1)
        off = np.abs(seconds / (np.exp(level) * runs**power) - 1).max()
        print(f"{name:>6s}: in proportion to runs^{power:.2f}, off by {100 * off:.0f} % at most")


if __name__ == "__main__":
    main()

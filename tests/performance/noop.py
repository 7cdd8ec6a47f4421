"""What it costs to find that there is nothing to do, beside plain Snakemake with as many jobs.

    python tests/performance/noop.py            in a folder where `make` has finished

The peer is a Snakefile with the same rules and the same number of jobs, whose jobs touch files. Both are run in turn;
printed are the medians of CPU seconds (user and system, children included) and the ratio pair by pair.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from gm import plan

HEAD = """
RUNS = {runs!r}
DATASETS = {datasets!r}
rule all:
    input: "report"
rule prepare:
    output: "{{d}}/data.npz", "{{d}}/data.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule ruler:
    input: "{{d}}/data.npz"
    output: "{{d}}/ruler/features.npz", "{{d}}/ruler/model", "{{d}}/ruler/features.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule train:
    input: "{{d}}/data.npz"
    output: "{{d}}/{{m}}/{{s}}/model", "{{d}}/{{m}}/{{s}}/history", "{{d}}/{{m}}/{{s}}/model.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule sample:
    input: "{{d}}/data.npz", "{{d}}/{{m}}/{{s}}/model", "{{d}}/{{m}}/{{s}}/model.json"
    output: "{{d}}/{{m}}/{{s}}/samples", "{{d}}/{{m}}/{{s}}/samples.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule score:
    input: "{{d}}/data.npz", "{{d}}/{{m}}/{{s}}/model", "{{d}}/{{m}}/{{s}}/model.json"
    output: "{{d}}/{{m}}/{{s}}/scores", "{{d}}/{{m}}/{{s}}/scores.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule embed:
    input: "{{d}}/{{m}}/{{s}}/samples", "{{d}}/{{m}}/{{s}}/samples.json", "{{d}}/ruler/model"
    output: "{{d}}/{{m}}/{{s}}/features", "{{d}}/{{m}}/{{s}}/features.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule evaluate:
    input:
        "{{d}}/data.npz", "{{d}}/ruler/features.npz", "{{d}}/{{m}}/{{s}}/model", "{{d}}/{{m}}/{{s}}/samples",
        "{{d}}/{{m}}/{{s}}/scores", "{{d}}/{{m}}/{{s}}/features", "{{d}}/{{m}}/{{s}}/model.json",
        "{{d}}/{{m}}/{{s}}/samples.json", "{{d}}/{{m}}/{{s}}/scores.json", "{{d}}/{{m}}/{{s}}/features.json"
    output: "{{d}}/{{m}}/{{s}}/metrics.csv", "{{d}}/{{m}}/{{s}}/metrics.json"
    params: spec=lambda w: str(dict(w)), code="x"
    shell: "touch {{output}}"
rule report:
    input:
        [f"{{d}}/{{m}}/{{s}}/metrics.csv" for d, m, s in RUNS], [f"{{d}}/ruler/features.json" for d in DATASETS]
    output: "report"
    shell: "touch {{output}}"
"""


def plain(planned: plan.Plan, folder: Path) -> None:
    """Write the plain Snakefile with the jobs of a grid."""
    runs = [(d, m, str(s)) for d, m, s in planned.runs]
    (folder / "Snakefile").write_text(HEAD.format(runs=runs, datasets=list(planned.datasets)))


def cpu(command: list[str], folder: Path) -> float:
    """CPU seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", default=str(plan.REPOSITORY / "config/digits.yaml"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    planned = plan.read(options.grid)
    jobs = Counter(stage for stage, _, _ in planned.jobs())
    ours = [sys.executable, "-m", "gm", "run", options.grid, "--cores", "2"]
    with tempfile.TemporaryDirectory() as folder:
        peer = Path(folder)
        plain(planned, peer)
        alone = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
        cpu(alone, peer)
        cpu(ours, Path())
        pairs = [(cpu(ours, Path()), cpu(alone, peer)) for _ in range(options.repeats)]
    ratios = [a / b for a, b in pairs]
    print(f"{sum(jobs.values())} jobs, {options.repeats} pairs of runs with nothing to do")
    print(f"gm run     {statistics.median(a for a, _ in pairs):.2f} s CPU")
    print(f"snakemake  {statistics.median(b for _, b in pairs):.2f} s CPU")
    print(f"ratio      {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()

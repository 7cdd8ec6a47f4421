"""What Snakemake's default limit on new jobs costs, which the workflow lifts: the same jobs with it and without.

    python tests/performance/scheduler.py --jobs 400 --seconds 0.5

CPU seconds are those of Snakemake and of its jobs, which only sleep.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

JOBS = """
rule all:
    input: expand("made/{{i}}", i=range({jobs}))
rule one:
    output: "made/{{i}}"
    shell: "sleep {seconds}; touch {{output}}"
"""
LIFTED = """
onstart:
    workflow.scheduler.job_rate_limiter = None
"""


def cost(text: str) -> float:
    """CPU seconds of a run."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Snakefile").write_text(text)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--quiet", "all"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    text = JOBS.format(jobs=options.jobs, seconds=options.seconds)
    limited, lifted = cost(text), cost(text + LIFTED)
    print(f"{options.jobs} jobs of {options.seconds} s: {limited:.1f} CPU s with the limit, {lifted:.1f} without")


if __name__ == "__main__":
    main()

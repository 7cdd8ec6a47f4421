"""snakemake --lint, with one lint left out on purpose.

A conda environment or container per rule is not wanted here: all rules call one command of one package, whose
environment is pinned by constraints.txt. Snakemake has no switch for a single lint, so its words are read.
"""

import subprocess
import sys

LEFT_OUT = "Specify a conda environment or container for each rule."


def findings() -> list[str]:
    """Every other finding, `place: finding`."""
    command = [sys.executable, "-m", "snakemake", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    place, found = "", []
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith("Lints for"):
            place = line
        elif line.startswith("    * ") and LEFT_OUT not in line:
            found.append(f"{place} {line.strip()}")
    if done.returncode and not place:
        found.append(done.stdout + done.stderr)
    return found


if __name__ == "__main__":
    lines = findings()
    print("\n".join(lines) or "snakemake --lint: nothing to say")
    sys.exit(bool(lines))

"""Put each defect into a copy of the code, run the tests that must notice it, and print which test did.

python tests/mutations/run.py               all of them; writes tests/mutations/README.md
python tests/mutations/run.py --sample 3    a few, chosen by --seed; writes nothing
python tests/mutations/run.py NAME ...      those whose name contains a word
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from mutations.defects import DEFECTS, Defect  # noqa: E402

COPIED = ("gm", "tests", "config", "workflow", "pyproject.toml")
FAILED, LIMIT = 1, 300  # pytest's exit code for failed tests; seconds


class Verdict(NamedTuple):
    """What the tests said of one defect: killed or not, by which test, or what went wrong instead."""

    defect: Defect
    killed: bool
    by: str


def copy(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def apply(defect: Defect, folder: Path) -> None:
    """Put the defect into the copy.

    Raises:
        ValueError: the text that it replaces does not occur exactly once.
    """
    path = folder / defect.file
    text = path.read_text(encoding="utf-8")
    if (found := text.count(defect.old)) != 1:
        raise ValueError(f"'{defect.name}': the text to replace occurs {found} times in {defect.file}; expected once")
    path.write_text(text.replace(defect.old, defect.new), encoding="utf-8")


def run_tests(folder: Path, tests: Sequence[str], limit: int = LIMIT) -> tuple[int, str]:
    """Exit code of pytest in the copy, and the first test that failed or the last line that it printed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return -1, f"no verdict within {limit} s"
    failed = re.search(r"^FAILED (\S+)", done.stdout, flags=re.MULTILINE)
    last = (done.stdout.strip() or done.stderr.strip() or "no output").splitlines()[-1]
    return done.returncode, failed[1] if failed else last


def judge(defect: Defect) -> Verdict:
    """Killed if a test fails; a module that no longer imports, or a test that cannot be found, is no kill."""
    with tempfile.TemporaryDirectory() as name:
        folder = copy(Path(name))
        apply(defect, folder)
        code, said = run_tests(folder, defect.tests)
    return Verdict(defect, code == FAILED and "::" in said, said)


def sound(defects: Sequence[Defect]) -> None:
    """Refuse to judge with tests that fail without any defect, or that test another copy of the code."""
    with tempfile.TemporaryDirectory() as name:
        folder = copy(Path(name))
        where = [sys.executable, "-c", "import gm; print(gm.__file__)"]
        environment = os.environ | {"PYTHONPATH": str(folder)}
        found = subprocess.run(where, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
        if not found.startswith(str(folder)):
            raise SystemExit(f"the tests would import {found.strip()}; expected the copy in {folder}")
        code, said = run_tests(folder, sorted({test for defect in defects for test in defect.tests}), 4 * LIMIT)
        if code:
            raise SystemExit(f"without any defect the tests already fail: {said}")


def table(verdicts: Sequence[Verdict]) -> str:
    """The table of verdicts, in Markdown."""
    killed = sum(verdict.killed for verdict in verdicts)
    lines = [
        "# Tests that bite",
        "",
        "Each defect is put into a copy of the code, one at a time, and the tests are run: one of them must fail.",
        "`make test-mutations` does it again and rewrites this page. Where such a defect was found in public code, the",
        "last column says so.",
        "",
        f"**{killed} of {len(verdicts)} killed.**",
        "",
        "| defect | in | killed by | found in |",
        "| --- | --- | --- | --- |",
    ]
    for defect, dead, by in verdicts:
        verdict = f"`{by.removeprefix('tests/')}`" if dead else f"**survived**: {by}"
        lines.append(f"| {defect.name} | `{defect.file.removeprefix('gm/')}` | {verdict} | {defect.origin} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge defects; 0 if all are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only defects whose name contains one of these")
    parser.add_argument("--sample", type=int, help="so many, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    options = parser.parse_args(arguments)
    chosen = [d for d in DEFECTS if not options.words or any(word in d.name for word in options.words)]
    if options.sample:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    sound(chosen)
    with ThreadPoolExecutor(options.cores) as pool:
        verdicts = []
        for verdict in pool.map(judge, chosen):
            verdicts.append(verdict)
            print("killed  " if verdict.killed else "SURVIVED", verdict.defect.name, "|", verdict.by, flush=True)
    if len(chosen) == len(DEFECTS):
        (ROOT / "tests/mutations/README.md").write_text(table(verdicts), encoding="utf-8")
    print(f"{sum(v.killed for v in verdicts)} of {len(verdicts)} killed")
    return 0 if all(verdict.killed for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())

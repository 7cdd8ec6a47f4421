"""Give mutated configuration to the real validation: each is valid, or ends with one error that says where it is.

python tests/robustness/fuzz.py                             1000 mutants, 60 of them through Snakemake too
python tests/robustness/fuzz.py --mutants 100 --snakemake 3
python tests/robustness/fuzz.py --only 17                   one mutant, its files and what is said of it

Every mutant goes through `gm plan`, in a process of its own with bounds on time and memory. The error must name the
file that was mutated and the key, or the line where the mistake belongs to no key; a mutant that is known to be
wrong must not be valid; nothing may be made. Snakemake must come to the same verdict.
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from robustness import mutants, project

SECONDS, BYTES = 60, 4 * 2**30  # of CPU and of memory that one mutant may cost
OK, MISTAKE = 0, 2  # exit codes of gm plan
DRY = 0.8  # share of Snakemake's mutants that are only planned
TITLE = "configuration error\n"


class Verdict(NamedTuple):
    """Exit code and words of one command on one mutant."""

    code: int
    words: str


def lay(mutant: mutants.Mutant, folder: Path) -> Path:
    """Write a mutant's files; the path of its grid."""
    for name, content in mutant.files.items():
        (folder / name).write_bytes(content)
    return folder / "grid.yaml"


def plan(mutant: mutants.Mutant, folder: Path) -> Verdict:
    """`gm plan` in a fork of this process."""
    from gm.__main__ import local

    grid = lay(mutant, folder)
    words = folder / "words"
    child = os.fork()
    if not child:
        code = 99
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
            os.chdir(folder)
            with (
                open(words, "w", encoding="utf-8", errors="backslashreplace") as file,
                contextlib.redirect_stdout(file),
                contextlib.redirect_stderr(file),
            ):
                code = local(["plan", grid.name])
        except BaseException as error:  # the verdict, whatever it is
            with open(words, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"\nTraceback: {type(error).__name__}: {str(error)[:300]}")
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return Verdict(os.waitstatus_to_exitcode(status), words.read_text(encoding="utf-8", errors="replace"))


def snakemake(mutant: mutants.Mutant, folder: Path, dry: bool) -> Verdict:
    """Snakemake itself, which makes nothing where `dry`."""
    lay(mutant, folder)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project.REPOSITORY / "Snakefile"), "--cores", "1"]
    command += [*(["--dry-run"] if dry else []), "--config", "grid=grid.yaml"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    environment = project.environment(project.REPOSITORY)
    done = subprocess.run(command, cwd=folder, env=environment, timeout=10 * SECONDS, check=False, **options)
    return Verdict(done.returncode, done.stdout.decode("utf-8", "replace"))


def shown(text: str) -> str:
    """A text as an error may show it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:100]


def complaint(mutant: mutants.Mutant, verdict: Verdict) -> str:
    """What is wrong with a verdict; nothing if it is as it must be."""
    code, words = verdict
    if "Traceback" in words or code not in (OK, MISTAKE):
        return f"ended with {code}: {words[-300:]}"
    if code == OK:
        return "is valid, and must not be" if mutant.must == mutants.ERROR else ""
    if mutant.must == mutants.VALID:
        return "is refused, and must not be"
    if words.count(TITLE) != 1 or not re.fullmatch(
        r"[^\n]+\n  found: [^\n]+\n  expected: [^\n]+\n(  legal: [^\n]+\n)?", words.partition(TITLE)[2]
    ):
        return "is not one error of place, found and expected"
    place, _, rest = words.partition(TITLE)[2].partition("\n")
    if mutant.must == mutants.EITHER:
        return "" if ".yaml" in place else "names no file"
    if not re.match(rf"(\S*/)?{re.escape(mutant.file)}(:\d+)?(: |$)", place):
        return f"does not name the file {mutant.file}"
    if mutant.lined and not re.search(rf"{re.escape(mutant.file)}:\d+", place):
        return "does not name the line"
    told = f"{place}\n{rest.partition('  legal:')[0]}"
    return "" if shown(mutant.key) in told else f"does not name the key {mutant.key[:50]!r}"


def same(mutant: mutants.Mutant, own: Verdict, other: Verdict, folder: Path) -> str:
    """What is wrong with Snakemake's verdict beside that of `gm plan`."""
    if (own.code == OK) != (other.code == 0):
        return f"Snakemake ended with {other.code}, gm plan with {own.code}: {other.words[-300:]}"
    if "Traceback" in other.words:
        return f"Snakemake shows a traceback: {other.words[-300:]}"
    if own.code == MISTAKE and own.words.partition(TITLE)[2].strip() not in other.words:
        return "Snakemake's words hold no error as that of gm plan"
    return "Snakemake made something" if (folder / "results").exists() else ""


class Result(NamedTuple):
    """What a number of mutants came to."""

    kinds: Counter
    codes: Counter
    complaints: list[str]
    slowest: float
    peak: int


def run(count: int, through: int, seed: int, *, cores: int = 1) -> Result:
    """Judge mutants, some of them through Snakemake too."""
    import jsonschema  # noqa: F401  so that forks have it

    import gm.commands.plan  # noqa: F401

    mutator = mutants.Mutator(seed)
    drawn = [mutator.draw(number) for number in range(count)]
    kinds, codes, complaints, slowest, own = Counter(), Counter(), [], 0.0, []
    with tempfile.TemporaryDirectory(prefix="gm-fuzz-") as name:
        for number, mutant in enumerate(drawn):
            folder = Path(name) / str(number)
            folder.mkdir()
            started = time.monotonic()
            own.append(verdict := plan(mutant, folder))
            slowest = max(slowest, time.monotonic() - started)
            kinds[mutant.kind] += 1
            codes["valid" if verdict.code == OK else "refused"] += 1
            if wrong := complaint(mutant, verdict):
                complaints.append(f"{number} {mutant.kind} {mutant.file} {wrong}\n{verdict.words[-500:]}")
            if (folder / "results").exists():
                complaints.append(f"{number} {mutant.kind}: something was made")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        rng = random.Random(seed)
        small = [n for n, mutant in enumerate(drawn) if sum(map(len, mutant.files.values())) < 10_000]

        def again(number: int) -> tuple[str, str]:
            dry = own[number].code == OK or rng.random() < DRY
            other = snakemake(drawn[number], Path(name) / str(number), dry)
            return "planned" if dry else "run", same(drawn[number], own[number], other, Path(name) / str(number))

        chosen = sorted(rng.sample(small, min(through, len(small))))
        with ThreadPoolExecutor(cores) as pool:
            for number, (how, wrong) in zip(chosen, pool.map(again, chosen), strict=True):
                codes[f"{how} by snakemake"] += 1
                if wrong:
                    complaints.append(f"{number} {drawn[number].kind} {drawn[number].file} {wrong}")
    return Result(kinds, codes, complaints, slowest, peak)


def show(number: int, seed: int) -> None:
    """Print one mutant, and what is said of it."""
    mutator = mutants.Mutator(seed)
    mutant = [mutator.draw(n) for n in range(number + 1)][-1]
    print(f"{mutant.kind}: {mutant.file}, key {mutant.key!r}, {mutant.must}\n")
    print(mutant.files[mutant.file].decode("utf-8", "backslashreplace")[:3000])
    with tempfile.TemporaryDirectory() as name:
        verdict = plan(mutant, Path(name))
    print(f"exit code {verdict.code}\n{verdict.words[:3000]}\ncomplaint: {complaint(mutant, verdict) or 'none'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge mutants; 0 if nothing is to be said against any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--snakemake", type=int, default=60, help="so many of them through Snakemake too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", type=int, help="show the mutant of this number")
    options = parser.parse_args(arguments)
    if options.only is not None:
        show(options.only, options.seed)
        return 0
    result = run(options.mutants, options.snakemake, options.seed, cores=options.cores)
    for line in result.complaints:
        print(f"WRONG {line}\n")
    print(f"kinds: {json.dumps(result.kinds)}")
    print(f"verdicts: {json.dumps(result.codes)}; slowest {result.slowest:.1f} s, most memory {result.peak} MiB")
    print(f"{options.mutants} mutants, {len(result.complaints)} wrong")
    return 1 if result.complaints else 0


if __name__ == "__main__":
    sys.exit(main())

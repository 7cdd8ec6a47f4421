"""Kill runs at random moments, resume them, and compare every result with that of a run that nobody disturbed.

python tests/robustness/kills.py                     100 kills
python tests/robustness/kills.py --kills 3 --seed 7  a few

A tree of results is killed, resumed, killed again and so on until a run comes to its end; then it is compared and the
next tree begins. After each kill every result that is there must already have its final bytes: nothing half-written
stands under a result's name. All is done in a temporary folder, on a copy of the project.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from robustness import project

VICTIMS = {"group": 12, "driver": 3, "job": 3, "snakemake": 1, "server": 1}  # who is killed, and how often
EXPECTED = (".lock", ".snakemake_timestamp")  # hidden files of an undisturbed run
WORDS = "words"
LIMIT = 600  # seconds that a resumed run may take
DRIVER = ("-m", "gm", "run")
SERVER = ("-m", "gm", "serve")
SNAKEMAKE = ("-m", "snakemake")


def processes(folder: Path) -> dict[int, list[str]]:
    """Living processes that work in a folder, by their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if Path(os.readlink(entry / "cwd")) == folder:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            except OSError:
                continue
    return found


def role(words: Sequence[str]) -> str:
    """What a process of a run does."""
    roles = {"driver": DRIVER, "server": SERVER, "snakemake": SNAKEMAKE}
    return next((name for name, mark in roles.items() if tuple(words[1:4])[: len(mark)] == mark), "job")


def kill(process: subprocess.Popen, folder: Path, victim: str, rng: random.Random) -> str:
    """SIGKILL to the whole group of a run, or to one process of it; says which it was."""
    living = {pid: role(words) for pid, words in processes(folder).items()}
    chosen = sorted(pid for pid, name in living.items() if name == victim)
    if victim == "driver" or (victim != "group" and chosen):
        os.kill(process.pid if victim == "driver" else rng.choice(chosen), signal.SIGKILL)
        return victim
    os.killpg(process.pid, signal.SIGKILL)
    return "group"


def differing(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Results that are not what an undisturbed run made."""
    return [name for name, digest in found.items() if wanted.get(name) != digest]


class Broken(AssertionError):
    """A promise that a kill broke."""


def run(kills: int, seed: int, first: project.Undisturbed, folder: Path, *, say=print) -> Counter:
    """Kill so many runs in a folder.

    Returns:
        What was seen: kills by victim, and trees that were compared.

    Raises:
        Broken: a result with other bytes, a run that would not resume, or a process that outlived its run.
    """
    rng, seen = random.Random(seed), Counter()
    environment, wanted, length = project.environment(first.code), first.results, first.seconds
    project.workplace(folder)
    done, process = 0, None
    while True:
        if process is None:
            process, hurt = _start(folder, environment), False
        victim, moment = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0], rng.uniform(0.0, 0.25 * length)
        if not _ended(process, moment if done < kills else LIMIT):
            if done == kills:
                raise Broken(f"a resumed run did not end within {LIMIT} s\n{_words(folder)}")
            who = kill(process, folder, victim, rng)
            if who in ("group", "driver", "snakemake") and not _ended(process, LIMIT):
                raise Broken(f"after the {who} was killed the run did not end within {LIMIT} s\n{_words(folder)}")
            done, hurt = done + 1, True
            seen[f"killed: {who}"] += 1
            found = project.hashes(folder / "results")
            say(f"{done:>4} {who:<10} after {moment:5.1f} s; {len(found)} results")
            if wrong := differing(found, wanted):
                raise Broken(f"half-written or wrong after kill {done} ({who}): {', '.join(wrong)}")
        if process.poll() is None:
            continue  # the run lives on without one of its jobs or its fork server
        code, process = process.returncode, None
        if code and not hurt:
            raise Broken(f"a resumed run ended with {code}\n{_words(folder)}")
        if code:
            continue
        found = project.hashes(folder / "results")
        if wrong := [*differing(found, wanted), *(wanted.keys() - found.keys())]:
            raise Broken(f"after {done} kills these differ or are missing: {', '.join(wrong)}")
        seen["trees"] += 1
        say(f"     complete: {len(found)} results, all as undisturbed")
        _tidy(folder)
        if done == kills:
            return seen
        shutil.rmtree(folder)
        project.workplace(folder)


def _start(folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Begin or resume a run, in a process group of its own."""
    with open(folder / WORDS, "w") as words:
        options = {"stdin": subprocess.DEVNULL, "stdout": words, "stderr": words, "start_new_session": True}
        return subprocess.Popen(project.RUN, cwd=folder, env=environment, **options)


def _words(folder: Path) -> str:
    return (folder / WORDS).read_text(errors="replace")


def _ended(process: subprocess.Popen, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _tidy(folder: Path) -> None:
    """Nothing is left over: no process, no temporary file, no lock."""
    deadline = time.monotonic() + 20
    while living := processes(folder):
        if time.monotonic() > deadline:
            raise Broken(f"processes outlived their run: {living}")
        time.sleep(0.1)
    rubbish = [path.name for path in (folder / "results").rglob(".*") if path.name not in EXPECTED]
    rubbish += [path.name for path in (folder / ".snakemake/locks").glob("*")]
    rubbish += [path.name for path in (folder / ".snakemake/incomplete").glob("*") if path.name != "migrated"]
    if rubbish:
        raise Broken(f"left behind: {', '.join(rubbish)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, resume, compare; 0 if every promise held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gm-kills-") as name:
        first = project.undisturbed(Path(name))
        print(f"undisturbed: {first.seconds:.0f} s, {len(first.results)} results", flush=True)
        try:
            say = partial(print, flush=True)
            seen = run(options.kills, options.seed, first, Path(name) / "disturbed", say=say)
        except Broken as error:
            print(f"BROKEN: {error}", file=sys.stderr)
            return 1
    victims = ", ".join(f"{count} {name.removeprefix('killed: ')}" for name, count in seen.items() if "killed" in name)
    print(
        f"{options.kills} kills ({victims}); {seen['trees']} trees of {len(first.results)} results complete, "
        f"each with the bytes of an undisturbed run; {(time.monotonic() - started) / 60:.1f} min"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

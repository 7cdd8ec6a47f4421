"""gm run: Snakemake under a lock that its jobs inherit, with one live view instead of a flood of lines.

The lock is an open file that the whole process tree has as its standard input. It is free only when the last of its
holders is gone, so after `kill -9` no orphan job is still writing when the next run unlocks the folder and resumes.
"""

import argparse
import contextlib
import ctypes
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gm import plan
from gm.commands import forks, status
from gm.commands.records import jobs, untouched

FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)")
FAILED_RULE = re.compile(r"^\s*(?:Error in rule|RuleException in rule) (\w+)")
PATIENCE = 10.0
PR_SET_PDEATHSIG = 1


class Busy(RuntimeError):
    """Another run holds the folder."""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, even of `kill -9`; elsewhere the lock alone does the work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def lock(root: Path) -> Iterator[int]:
    """Hold the lock of a results folder; yields the descriptor to hand on to the jobs.

    Raises:
        Busy: a living run holds it. Orphans of a killed run are waited for instead, with a line that says so.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    started, told = time.monotonic(), False
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = path.read_text().strip()
                driver_lives = holder.isdigit() and _alive(int(holder))
                if driver_lives and time.monotonic() - started > PATIENCE:
                    raise Busy(
                        f"{root.resolve()} is in use by another run (process {holder}); "
                        f"wait for it, or stop it with: kill {holder}"
                    ) from None
                if not driver_lives and not told:
                    told = True
                    print("waiting for the last jobs of a run that was killed ...", file=sys.stderr, flush=True)
                time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _command(options: argparse.Namespace, *extra: str) -> list[str]:
    snakefile = plan.REPOSITORY / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--configfile", str(options.grid)]
    return [*command, "--cores", str(options.cores), *extra]


def failures(words: str, blocks: int = 3, lines: int = 12) -> list[str]:
    """The ends of the failed jobs' logs among Snakemake's words, or the end of the words if no job failed."""
    found, block = [], None
    for line in words.splitlines():
        if line.startswith("Logfile "):
            block = [line]
            found.append(block)
        elif line.startswith("====="):
            block = None if block and len(block) > 1 else block
        elif block is not None:
            block.append(line)
    shown = [line for block in found[:blocks] for line in (block[0], *block[1:][-lines:])]
    return shown or words.splitlines()[-lines:]


def _snakemake(options: argparse.Namespace, descriptor: int, root: Path, due: Counter, server: forks.Server) -> int:
    """Run Snakemake, its words into a file, its progress onto the screen."""
    from gm.commands.view import View  # costs a tenth of a second, which a run with nothing to do saves

    flags = ("--rerun-incomplete", "--keep-going", "--nocolor", "--show-failed-logs", *options.extra)
    command = _command(options, *flags)
    words = root / "snakemake.log"
    process = subprocess.Popen(
        command,
        stdin=descriptor,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | server.environment,
        preexec_fn=_die_with_parent,
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    with open(words, "w", encoding="utf-8") as file, View(root, due) as view:
        if due:
            view.say(f"{sum(due.values())} jobs to do")
        for line in process.stdout:
            file.write(line)
            file.flush()
            finished, failed = FINISHED.match(line), FAILED_RULE.match(line)
            if finished:
                view.finished(finished[1])
            elif failed:
                view.say(f"a job of rule '{failed[1]}' failed; see {words}")
            elif line.startswith("Select jobs") and not options.no_forks:
                server.start()
            elif "Nothing to be done" in line:
                view.say("nothing to do")
        code = process.wait()
    if code:
        told = failures(words.read_text(encoding="utf-8"))
        print("\n".join(["", f"snakemake ended with {code}; all it said is in {words}", *told]), file=sys.stderr)
    return code


def _cores(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a number of jobs at once, 1 or more")
    return int(text)


def main(arguments: list[str]) -> int:
    """Make a benchmark and say where the report is."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    usage = "gm run [grid] [--cores N] [--no-forks] [-- further words for Snakemake]"
    parser = argparse.ArgumentParser("gm run", usage=usage, description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    parser.add_argument("--cores", type=_cores, default=len(os.sched_getaffinity(0)), help="jobs at once")
    parser.add_argument("--no-forks", action="store_true", help="import libraries anew in every job")
    if "MAKELEVEL" in os.environ:
        _die_with_parent()
    options = parser.parse_args(arguments[:cut])
    options.extra = arguments[cut + 1 :]
    planned = plan.read(options.grid)
    root = Path(planned.root)
    try:
        with lock(root.parent) as descriptor:
            root.mkdir(exist_ok=True)
            if any(Path(".snakemake/locks").glob("*")):
                subprocess.run(_command(options, "--unlock", "--quiet", "all"), stdin=descriptor, check=True)
            found = jobs(planned)
            if untouched(found) and not options.extra:
                code = 0
                print("nothing to do", file=sys.stderr)
            else:
                due = Counter(job.stage for job in found if job.reasons)
                with forks.Server() as server:
                    code = _snakemake(options, descriptor, root, due, server)
    except KeyboardInterrupt:
        print("\ngm run: interrupted; run it again to go on from there", file=sys.stderr)
        return 130
    except Busy as error:
        print(f"gm run: {error}", file=sys.stderr)
        return 4
    if code:
        return 1
    print(f"report: {(root / 'report/index.html').resolve()}")
    return status.tell(planned, strict=True, brief=True)

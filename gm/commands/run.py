"""gm run: Snakemake under a lock that its jobs inherit, with one live view instead of a flood of lines."""

import argparse
import contextlib
import ctypes
import errno
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from gm import plan
from gm.commands import forks, status
from gm.commands.lock import lock
from gm.commands.options import add_cores, gpus
from gm.commands.records import jobs, untouched

FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)")
FAILED_RULE = re.compile(r"^\s*(?:Error in rule|RuleException in rule) (\w+)")
PR_SET_PDEATHSIG = 1
ROOM = 2**20  # bytes; with less, a full disk is what went wrong


def _die_with_parent(number: int) -> None:
    """Ask Linux for a signal when the parent dies, even of `kill -9`; elsewhere the lock alone does the work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def _begin() -> None:
    """Die with the parent, and listen to SIGINT also where a shell's background jobs do not."""
    _die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _incomplete() -> bool:
    """Whether Snakemake was killed before it could note that a job had ended."""
    return any(path.name != "migrated" for path in Path(".snakemake/incomplete").glob("*"))


def _command(options: argparse.Namespace, *extra: str) -> list[str]:
    snakefile = plan.REPOSITORY / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", str(options.cores)]
    if found := gpus():  # without any, jobs that ask for one run on the CPU, as many as there are cores
        command += ["--resources", f"gpu={found}"]
    return [*command, *extra, "--config", f"grid={options.grid}"]


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
    import psutil

    from gm.commands.view import View  # costs a tenth of a second, which a run with nothing to do saves

    # no lock of Snakemake's: this one is held by all that still runs, and is never stale
    flags = ("--nolock", "--rerun-incomplete", "--keep-going", "--nocolor", "--show-failed-logs", *options.extra)
    words, unsaid = root / "snakemake.log", None
    with open(words, "wb", buffering=0) as file, View(root, due) as view:
        process = subprocess.Popen(
            _command(options, *flags),
            stdin=descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=os.environ | server.environment,
            preexec_fn=_begin,
        )
        asked = math.inf  # when it was asked to stop

        def stop(*_: object) -> None:
            """Interrupt it; never SIGTERM: its handler waits for a lock that the same thread may hold, for ever."""
            nonlocal asked
            asked = time.monotonic()
            process.send_signal(signal.SIGINT)

        def end(*_: object) -> None:
            """Interrupt it and its jobs, as Ctrl-C in a terminal does: a fit goes on from its last checkpoint."""
            nonlocal told_to_end
            told_to_end = True
            jobs = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            stop()
            for job in jobs:
                with contextlib.suppress(psutil.NoSuchProcess):
                    job.send_signal(signal.SIGINT)

        told_to_end = False
        signal.signal(signal.SIGTERM, end)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, end)
        if due:
            view.say(f"{sum(due.values())} jobs to do")
        for line in process.stdout:
            try:
                file.write(line.encode())
            except OSError as error:  # a full disk: the jobs that run may end, no other begins
                if unsaid is None:
                    stop()
                unsaid = error
            finished, failed = FINISHED.match(line), FAILED_RULE.match(line)
            if finished:
                view.finished(finished[1])
            elif failed and not told_to_end:
                view.say(f"a job of rule '{failed[1]}' failed; see {words}")
            elif line.startswith("Select jobs") and not options.no_forks:
                server.start()
            elif line.startswith("Execute ") and time.monotonic() > asked + 0.3:
                (
                    end if told_to_end else stop
                )()  # an interrupt that comes as asyncio ends a task is lost: it goes on to the next job
            elif "Nothing to be done" in line:
                view.say("nothing to do")
        code = process.wait()
    if told_to_end and code:
        raise KeyboardInterrupt
    if code:
        told = failures(words.read_text(encoding="utf-8", errors="replace"))
        print("\n".join(["", f"snakemake ended with {code}; all it said is in {words}", *told]), file=sys.stderr)
    if unsaid or (code and shutil.disk_usage(root).free < ROOM):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root.resolve()))
    return code


def main(arguments: list[str]) -> int:
    """Make a benchmark and say where the report is."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    usage = "gm run [grid] [--cores N] [--no-forks] [-- further words for Snakemake]"
    parser = argparse.ArgumentParser("gm run", usage=usage, description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", type=Path, default=plan.REPOSITORY / "config/digits.yaml", help="grid file")
    add_cores(parser, "jobs at once")
    parser.add_argument("--no-forks", action="store_true", help="import libraries anew in every job")
    if "MAKELEVEL" in os.environ:
        _die_with_parent(signal.SIGTERM)
    options = parser.parse_args(arguments[:cut])
    options.extra = arguments[cut + 1 :]
    planned = plan.read(options.grid)
    root = Path(planned.root)
    try:
        with lock(root.parent) as descriptor, forks.Server(root.parent) as server:
            root.mkdir(exist_ok=True)
            found = jobs(planned)
            if untouched(found) and not options.extra and not _incomplete():
                code = 0
                print("nothing to do", file=sys.stderr)
            else:
                due = Counter(job.stage for job in found if job.reasons)
                code = _snakemake(options, descriptor, root, due, server)
    except KeyboardInterrupt:
        print("\ngm run: interrupted; run it again to go on from there", file=sys.stderr)
        return 130
    if code:
        return 1
    print(f"report: {(root / 'report/index.html').resolve()}")
    return status.tell(planned, strict=True, brief=True)

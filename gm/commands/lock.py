"""One run at a time in a results folder.

The lock is an open file that the whole process tree has as its standard input. It is free only when the last of its
holders is gone, so after `kill -9` no orphan job is still writing when the next run resumes, and nothing is unlocked by
hand. A plain `snakemake` takes it too, as its first job is near.
"""

import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NAME = ".lock"
UNNAMED = 2.0  # seconds in which whoever has just taken the lock writes down who it is


class Busy(RuntimeError):
    """Another run holds the folder."""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie has ended; only its parent has not looked yet
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return said.rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def _open(root: Path) -> int:
    root.mkdir(parents=True, exist_ok=True)
    return os.open(root / NAME, os.O_RDWR | os.O_CREAT, 0o644)


def _take(root: Path, descriptor: int) -> None:
    """Take the lock, once no orphan of a killed run holds it any more, and write down who has it.

    Raises:
        Busy: a living run has it; the message says which, and what to do.
    """
    path, started, told = root / NAME, time.monotonic(), False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            pid, _, host = path.read_text(encoding="utf-8").strip().partition(" ")
            if not pid.isdigit() and time.monotonic() - started < UNNAMED:
                time.sleep(0.05)
                continue
            if not pid.isdigit() or host != socket.gethostname() or _alive(int(pid)):
                raise Busy(_refusal(root, pid, host)) from None
            if not told:
                told = True
                words = f"waiting for the last jobs of a run that was killed (process {pid}) ..."
                print(words, file=sys.stderr, flush=True)
            time.sleep(0.2)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _refusal(root: Path, pid: str, host: str) -> str:
    if not pid.isdigit():
        return f"{root.resolve()} is in use by another run; wait for it to end"
    there = "" if host == socket.gethostname() else f" on {host}"
    holder = f"another run (process {pid} on {host or 'this machine'})"
    return f"{root.resolve()} is in use by {holder}; wait for it to end, or stop it{there} with: kill {pid}"


@contextlib.contextmanager
def lock(root: Path) -> Iterator[int]:
    """Hold the lock of a results folder; yields the descriptor to hand on to the jobs.

    Raises:
        Busy: a living run holds it. Orphans of a killed run are waited for instead, with a line that says so.
    """
    descriptor = _open(root)
    try:
        _take(root, descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def keep(root: Path) -> None:
    """Hold the lock until this process and all that it starts from now on have ended; no more if it has it already.

    Raises:
        Busy: a living run holds it.
    """
    descriptor = _open(root)
    if not os.path.sameopenfile(0, descriptor):
        _take(root, descriptor)
        os.dup2(descriptor, 0)
    os.close(descriptor)

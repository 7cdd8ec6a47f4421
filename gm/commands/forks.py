"""A fork server for one machine: third-party libraries are imported once, and each job is a fork of that process.

Importing torch costs about two seconds of CPU, more than most jobs of a small benchmark. The server imports libraries
only, never the project's stages or models, so a job's code is always what is on disk when it starts. A job that finds
no server runs in its own process, with the same bytes: a cluster does without.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

VARIABLE = "GM_FORKS"
NAME = ".forks"
PRELOADED = (
    "torch",
    "torch.nn.functional",
    "torch.func",
    "torch.optim",
    "safetensors.torch",
    "numpy",
    "scipy.linalg",
    "scipy.spatial",
    "scipy.special",
    "yaml",
)
VERBS = ("train", "sample", "score", "ruler", "embed", "evaluate")


def delegate(arguments: list[str]) -> int | None:
    """Have the server run a stage with this process's files, folder and environment; None if it should run here."""
    address = os.environ.get(VARIABLE)
    if not address or not arguments or arguments[0] not in VERBS:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            return None
        job = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
        payload = json.dumps(job).encode()
        socket.send_fds(connection, [len(payload).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(payload)
        reply = connection.recv(1)
    if not reply:
        print(f"gm {arguments[0]}: the job was killed", file=sys.stderr)
    return reply[0] if reply else 1


class Server:
    """A server beside this process, started when the first job is near; a context that ends with it.

    It listens on a socket in the results folder, which its jobs share and which is locked, and ends when its standard
    input does: with this process, even by `kill -9`.

    Attributes:
        environment: leads jobs to the server, whether or not it has been started.
    """

    def __init__(self, root: Path) -> None:
        self.address = str(root / NAME)
        self.environment = {VARIABLE: self.address}
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, once; jobs run in their own processes until it listens."""
        if self.process is None and sys.platform.startswith("linux"):
            command = [sys.executable, "-m", "gm", "serve", self.address]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=_uninterrupted
            )

    def __enter__(self) -> "Server":
        Path(self.address).unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process.stdin.close()
        Path(self.address).unlink(missing_ok=True)


def _uninterrupted() -> None:
    """Ctrl-C in a terminal reaches every process; the server ends when whoever started it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def serve(arguments: list[str], run: Callable[[list[str]], int]) -> int:
    """Import the libraries, listen, and fork a process for each connection until standard input ends."""
    for name in PRELOADED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    if select.select([0], [], [], 0)[0]:  # whoever started this is gone; the address may be another server's by now
        return 0
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            mask = os.umask(0o077)  # jobs of this user alone
            listener.bind(arguments[0])
            os.umask(mask)
        except OSError as error:
            print(f"no fork server, each job imports its libraries: {error}", file=sys.stderr)
            return 0
        listener.listen(128)
        while 0 not in select.select([0, listener], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _job(connection, run)
            connection.close()
    return 0


def _job(connection: socket.socket, run: Callable[[list[str]], int]) -> None:
    """Become the job: its files, folder and environment; answer with its exit code and end without returning."""
    code = 1
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)
        size, payload = int.from_bytes(head, "big"), b""
        while len(payload) < size:
            payload += connection.recv(size - len(payload))
        job = json.loads(payload)
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(job["environment"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_die_with_client, args=(connection,), daemon=True).start()
        code = run(job["arguments"])
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # the process is about to end, and nobody else would tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            connection.sendall(bytes([code % 256]))
        os._exit(code)


def _die_with_client(connection: socket.socket) -> None:
    """When whoever asked for the job is gone, as when Snakemake kills it, the job goes too."""
    with contextlib.suppress(OSError):
        connection.recv(1)
    os._exit(1)

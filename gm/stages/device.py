"""The device of a job: the CPU, or a GPU that no other job of this machine uses meanwhile."""

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

POLL = 0.5  # seconds


@contextmanager
def device_for(spec: dict) -> Iterator[torch.device]:
    """The device that a job's slice of the configuration asks for; where no GPU is usable, the CPU, which it says.

    On a GPU float32 is float32 (no TF32), and algorithms are deterministic unless the slice has `deterministic: false`:
    where torch has no deterministic form of an operation, it warns in the job's log and goes on.

    Example:
        >>> with device_for({"class": "gm.models.vae.VAE"}) as device:
        ...     print(device)
        cpu
    """
    if spec.get("device", "cpu") == "cpu":
        yield torch.device("cpu")
    elif not torch.cuda.is_available():
        print("no GPU is usable here; this job runs on the CPU", file=sys.stderr)
        yield torch.device("cpu")
    else:
        names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
        with held(names) as index, _settings(spec.get("deterministic", True)):
            torch.cuda.set_device(index)
            torch.cuda.reset_peak_memory_stats(index)
            yield torch.device("cuda", index)


def described(device: torch.device) -> dict[str, object]:
    """What a record says of a device: its name, and of a GPU the peak of its memory in MiB."""
    if device.type != "cuda":
        return {"device": device.type}
    peak = round(torch.cuda.max_memory_reserved(device) / 2**20, 1)
    return {"device": torch.cuda.get_device_name(device), "device_peak_mb": peak}


@contextmanager
def held(names: Sequence[str], folder: Path | None = None) -> Iterator[int]:
    """The index of one of several devices, locked for this process; waits while others hold all of them.

    Snakemake counts devices and assigns none. A lock ends with its process, however that ends.

    Arguments:
        names: of the devices, the same in every process of this machine.
        folder: where the lock files are; that of temporary files if None.
    """
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    paths = [folder / f"gm-{os.getuid()}-{name}.lock" for name in names]
    said = False
    while not (free := next(((i, lock) for i, path in enumerate(paths) if (lock := _lock(path)) is not None), None)):
        if not said:
            print(f"waits for one of {len(names)} GPUs, which other jobs hold", file=sys.stderr, flush=True)
            said = True
        time.sleep(POLL)
    index, lock = free
    try:
        yield index
    finally:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """The descriptor of a file that is locked now; None where another job holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _settings(deterministic: bool) -> Iterator[None]:
    """How torch computes on a GPU; as it was, afterwards."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=deterministic, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])

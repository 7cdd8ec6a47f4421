"""The state of a fit in a file beside its weights, so that a time limit costs minutes."""

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gm import io
from gm.nets.steps import Checkpoint

EVERY = 60.0  # seconds


class Kept(Checkpoint):
    """Keeps the state in a hidden file, at most once in `every` seconds; another fit's file counts for nothing.

    Arguments:
        path: the weights that the fit is to leave.
        log: told of every step.
        about: what the state depends on: specification, seed, code, data, device.
        device: where the fit's tensors are; a GPU's number may have changed since the state was kept.
        every: seconds between two writes.
    """

    def __init__(
        self,
        path: Path,
        log: Callable[[int, int], None],
        about: dict,
        device: torch.device | None = None,
        every: float = EVERY,
    ) -> None:
        self.path, self.log, self.every = path.with_name(f".{path.name}.checkpoint"), log, every
        self.device = device
        self.key = hashlib.sha256(io.canonical(about | {"torch": torch.__version__}).encode()).hexdigest()
        self.last = time.monotonic()

    def __call__(self, step: int, steps: int) -> None:
        self.log(step, steps)

    def restore(self) -> dict | None:
        """The state, if the file is whole and of this fit. Tensors and plain values alone are read, no other pickle."""
        try:
            found = torch.load(self.path, weights_only=True, map_location=self._place)
        except Exception:  # whatever is wrong with its bytes, the fit begins anew
            return None
        if not isinstance(found, dict) or found.pop("key", None) != self.key:
            return None
        print(f"train: goes on after step {found['step']}, where it was cut off", file=sys.stderr)
        return found

    def _place(self, storage: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
        """What was on a GPU comes onto the GPU of this job; what was on the CPU (states of generators) stays there."""
        return storage if location == "cpu" else storage.to(device=self.device)

    def keep(self, state: Callable[[], dict]) -> None:
        """Write the state, atomically, if it is time to."""
        if time.monotonic() - self.last >= self.every:
            io.save_with(lambda path: torch.save(state() | {"key": self.key}, path), self.path)
            self.last = time.monotonic()

    def remove(self) -> None:
        """Forget the state, and what a writer of it that was killed left behind: the fit has ended."""
        io.remove_unfinished(self.path)
        self.path.unlink(missing_ok=True)

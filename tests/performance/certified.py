"""log Z of a rotated Gaussian and of phi-four chains beside their exact values: error, interval, time of one core."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from certified import phi4, rotated, transfer

from gm.sampling.logz import LogZ

HEAD = ("target", "exact log Z", "error", "lower", "upper", "width", "truth", "CPU s", "kinds")


def line(*cells: object) -> None:
    """Print one row."""
    print(f"{cells[0]:34s}" + "".join(f"{cell:>13}" for cell in cells[1:8]), "", cells[8], flush=True)


def measure(name: str, find: Callable[[], tuple[LogZ, float]]) -> None:
    """Print where an interval lies beside the exact value."""
    started = time.process_time()
    found, exact = find()
    seconds = time.process_time() - started
    ends = [f"{value - exact:+.3f}" for value in (found.point, found.lower, found.upper)]
    truth = "inside" if found.lower <= exact <= found.upper else "OUTSIDE"
    width = f"{found.upper - found.lower:.3f}"
    line(name, f"{exact:.6f}", *ends, width, truth, f"{seconds:.0f}", "/".join(found.kinds))


if __name__ == "__main__":
    torch.set_num_threads(1)
    line(*HEAD)
    for spread in (1.0, 100.0):
        measure(f"rotated Gaussian, d = 100, from {spread:g}", lambda spread=spread: rotated(spread))
    for seed in (0, 1, 3):
        measure(f"phi-four, d = 1000, seed {seed}", lambda seed=seed: (phi4(seed=seed), transfer(1000)))
    ten = {"temperatures": 700, "groups": 8, "chains": 2}
    measure("phi-four, d = 10000", lambda: (phi4(10_000, **ten), transfer(10_000)))

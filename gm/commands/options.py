"""Options that several commands have."""

import argparse
import os
from pathlib import Path


def add_cores(parser: argparse.ArgumentParser, use: str) -> None:
    """Add `--cores`, by default all that this process may use; `use` says what for."""
    parser.add_argument("--cores", type=_count, default=available(), help=f"{use} (default: all cores)")


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def gpus(devices: Path = Path("/dev")) -> int:
    """How many GPUs this process may use, told without torch: those of `CUDA_VISIBLE_DEVICES`, or all of NVIDIA's."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return len(list(devices.glob("nvidia[0-9]*")))
    return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a whole number, 1 or more")
    return int(text)

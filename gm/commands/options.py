"""Options that several commands have."""

import argparse
import os


def add_cores(parser: argparse.ArgumentParser, use: str) -> None:
    """Add `--cores`, by default all that this process may use; `use` says what for."""
    parser.add_argument("--cores", type=_count, default=available(), help=f"{use} (default: all cores)")


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; expected a whole number, 1 or more")
    return int(text)

"""Seed streams: every random draw has a name, and no two names share a draw.

A run's seed is split by purpose (`"train"`, `"sample"`, `"score"`, ...), so that drawing more samples never moves
the weights. Nothing in the project uses a global random state.
"""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def seed_of(*names: object) -> int:
    """A 63-bit seed that is a pure function of the names, stable across machines and Python versions.

    Example:
        >>> seed_of(0, "train") == seed_of(0, "train") != seed_of(0, "sample")
        True
    """
    text = "\x1f".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(*names: object, device: str = "cpu") -> "torch.Generator":
    """A `torch.Generator` for one purpose.

    Example:
        >>> import torch
        >>> a = torch.rand(2, generator=stream(0, "train"))
        >>> torch.equal(a, torch.rand(2, generator=stream(0, "train")))
        True
    """
    import torch

    return torch.Generator(device=device).manual_seed(seed_of(*names))


def numpy_stream(*names: object) -> "np.random.Generator":
    """A `numpy.random.Generator` for one purpose, for the floors that do not know torch."""
    import numpy as np

    return np.random.default_rng(seed_of(*names))


def row_streams(y: "torch.Tensor", *, generator: "torch.Generator") -> list["torch.Generator"]:
    """One generator per row, keyed by the row's own values: a row's noise never depends on its batch.

    Arguments:
        y: rows, shape `[B, *event]`.
        generator: source of the key that all rows share (one draw is taken from it).

    Returns:
        `B` generators; equal rows have equal generators.
    """
    import torch

    key = int(torch.randint(2**62, (), generator=generator))
    rows = y.detach().to("cpu", torch.float32).contiguous()
    return [stream(key, hashlib.sha256(row.numpy().tobytes()).hexdigest()) for row in rows]

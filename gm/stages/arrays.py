"""The arrays of `data.npz` as the contract's types."""

import numpy as np
import torch

from gm.model import Event, Split


def event_of(arrays: dict[str, np.ndarray]) -> Event:
    """The event of a dataset."""
    levels = int(arrays["levels"])
    return Event(tuple(int(size) for size in arrays["x_train"].shape[1:]), levels or None)


def split_of(arrays: dict[str, np.ndarray], name: str) -> Split:
    """One split as tensors, with its grey levels where the dataset has them."""
    x = torch.from_numpy(arrays[f"x_{name}"].astype(np.int64))
    label = torch.from_numpy(arrays[f"label_{name}"].astype(np.int64))
    return Split(x, label, torch.from_numpy(arrays[f"grey_{name}"]) if f"grey_{name}" in arrays else None)

"""sample: model.safetensors -> samples.npz, as many images as the test split has."""

import numpy as np
import torch

from gm import io, rng
from gm.model import load
from gm.stages import external
from gm.stages.arrays import event_of
from gm.stages.contestant import contestant
from gm.stages.job import Failed, Input, Outcome, Output


def checked(x: torch.Tensor, n: int, shape: tuple[int, ...], levels: int | None) -> np.ndarray:
    """Samples as an array of the dataset's dtype, or a typed failure that says what is wrong with them."""
    if tuple(x.shape) != (n, *shape):
        raise Failed("invalid", f"samples have shape {tuple(x.shape)}; expected {(n, *shape)}")
    x = x.detach().cpu()
    if x.is_floating_point() and not torch.isfinite(x).all():
        raise Failed("diverged", "samples are not finite")
    if levels is None:
        return x.numpy()
    if x.is_floating_point():
        raise Failed("invalid", f"samples have dtype {x.dtype}; expected integers in 0..{levels - 1}")
    if x.min() < 0 or x.max() >= levels:
        raise Failed("invalid", f"samples lie in {x.min().item()}..{x.max().item()}; expected 0..{levels - 1}")
    return x.to(torch.uint8 if levels <= 256 else torch.int64).numpy()


def run(data: Input, weights: Input, samples: Output, *, spec: dict, seed: int) -> Outcome:
    """Draw one run's samples."""
    arrays = io.read_arrays(data)
    n, (shape, levels) = len(arrays["x_test"]), event_of(arrays)
    if "external" in spec:
        x = external.samples(spec, n)
    else:
        with contestant():
            x = load(weights).sample(n, generator=rng.stream(seed, "sample"), **spec.get("sample", {}))
    io.write_arrays(samples, {"x": checked(x, n, shape, levels)})
    return Outcome()


def empty(samples: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(samples, {"x": np.zeros((0, 0, 0, 0), np.uint8)})

"""sample: model.safetensors -> samples.npz, as many images as the test split has, with labels if the model has them."""

import numpy as np
import torch

from gm import io, rng
from gm.model import load
from gm.stages import external
from gm.stages.arrays import event_of
from gm.stages.contestant import contestant
from gm.stages.device import described, device_for
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


def checked_labels(label: torch.Tensor, n: int, known: np.ndarray) -> np.ndarray:
    """Labels of samples as int64 `[n]`, or a typed failure where one is no class of the training split."""
    if tuple(label.shape) != (n,) or label.dtype != torch.int64:
        raise Failed(
            "invalid", f"labels have shape {tuple(label.shape)} and {label.dtype}; expected {(n,)}, torch.int64"
        )
    label, classes = label.cpu().numpy(), np.unique(known)
    strange = np.setdiff1d(label, classes)
    if len(strange):
        raise Failed("invalid", f"labels {strange.tolist()} are no classes; expected some of {classes.tolist()}")
    return label


def run(data: Input, weights: Input, samples: Output, *, spec: dict, seed: int) -> Outcome:
    """Draw one run's samples."""
    arrays = io.read_arrays(data)
    n, (shape, levels) = len(arrays["x_test"]), event_of(arrays)
    used = {}
    if "external" in spec:
        x, label = external.samples(spec, n), None
    else:
        with device_for(spec) as device, contestant():
            model = load(weights).to(device)
            given = {"generator": rng.stream(seed, "sample"), **spec.get("sample", {})}
            x, label = model.sample_labelled(n, **given) if model.conditional else (model.sample(n, **given), None)
            used = described(device)
    labelled = {} if label is None else {"label": checked_labels(label, n, arrays["label_train"])}
    io.write_arrays(samples, {"x": checked(x, n, shape, levels)} | labelled)
    return Outcome(**used)


def empty(samples: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(samples, {"x": np.zeros((0, 0, 0, 0), np.uint8)})

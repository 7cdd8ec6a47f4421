"""embed: samples.npz -> features.npz, through the dataset's own feature networks."""

import numpy as np
import torch
from safetensors.torch import load_file

from gm import io
from gm.nets.ruler import restore
from gm.stages.job import Input, Outcome, Output


def run(samples: Input, ruler: Input, features: Output, *, spec: dict) -> Outcome:
    """Embed one run's samples with the networks that the dataset's real splits were embedded with."""
    nets = restore(load_file(ruler))
    x = torch.from_numpy(io.read_arrays(samples)["x"].astype(np.int64))
    embedded = nets.embed(x)
    io.write_arrays(features, {name: embedded[name].numpy() for name in spec["nets"]})
    return Outcome()


def empty(features: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(features, {})

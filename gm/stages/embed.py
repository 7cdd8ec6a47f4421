"""embed: samples.npz -> features.npz, through the dataset's own feature networks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from gm import io
from gm.nets.ruler import Ruler, embed, restore
from gm.stages.job import Input, Outcome, Output


def networks(spec: dict, ruler: Ruler) -> tuple[dict[str, Callable[[Tensor], Tensor]], dict[str, str]]:
    """The feature networks that a spec names, integer images to features, and the sha256 of weights made elsewhere.

    Only the networks that are named are built.
    """
    levels, seen, digests = int(ruler.levels) or None, {}, {}
    for name in spec["nets"]:
        if name in ("lite0", "inception"):
            from gm.nets import pretrained

            if name == "lite0":
                net = pretrained.Lite0()
            else:
                given = spec["inception"]
                net = pretrained.Scripted(Path(given["file"]).read_bytes(), sha256=given["sha256"])
            seen[name] = lambda x, net=net: net(pretrained.rgb(x, levels))
            digests[name] = net.sha256
        else:
            seen[name] = ruler.features(name)
    return seen, digests


def run(samples: Input, ruler: Input, features: Output, *, spec: dict) -> Outcome:
    """Embed one run's samples with the networks that the dataset's real splits were embedded with."""
    seen, _ = networks(spec, restore(load_file(ruler)))
    x = torch.from_numpy(io.read_arrays(samples)["x"].astype(np.int64))
    io.write_arrays(features, {name: embed(x, net).numpy() for name, net in seen.items()})
    return Outcome()


def empty(features: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(features, {})

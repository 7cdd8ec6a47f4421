"""embed: samples.npz -> features.npz, what a target says of a run's draws; a metric never sees a target."""

import torch

from gm import io
from gm.stages.job import Input, Outcome, Output
from gm.stages.sampling.members import Arrays, flat, key, targets


def run(samples: Input, ruler: Input, features: Output, *, spec: dict) -> Outcome:
    """Per member: `energy` `[groups, draws]`, -log p in nats, and `label` `[groups, draws]` where it has modes."""
    arrays, found = io.read_arrays(samples), {}
    for member, target in targets(spec).items():
        if key("x", member) in arrays:
            x = torch.from_numpy(arrays[key("x", member)])
            seen: Arrays = {"energy": -target.log_prob(x).numpy()}
            if target.mode_weights is not None:
                seen["label"] = target.mode(x).numpy()
            found[member] = seen
    io.write_arrays(features, flat(found))
    return Outcome()


def empty(features: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(features, {})

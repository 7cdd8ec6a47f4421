"""prepare: target.yaml -> data.npz, what is known exactly: draws, log Z, modes, and the target's identity."""

import numpy as np

from gm import io, rng
from gm.stages.job import Outcome, Output
from gm.stages.sampling.members import Arrays, flat, targets


def run(data: Output, *, spec: dict) -> Outcome:
    """Draw each member's exact reference, if its law has a sampler.

    Per member: `dim`, `identity`, `constant`; `log_z`, nats, where it is known; where there are exact draws `x`
    `[draws, d]` and `energy` `[draws]`, -log p in nats; where there are modes `mode_weights` `[K]`, and `label`
    `[draws]`.
    """
    found = {}
    for member, target in targets(spec).items():
        arrays: Arrays = {
            "dim": np.int64(target.dim),
            "constant": np.float64(target.constant),
            "identity": np.array(target.identity),
        }
        if target.log_z is not None:
            arrays["log_z"] = np.float64(target.log_z)
        if target.mode_weights is not None:
            arrays["mode_weights"] = target.mode_weights.double().numpy()
        if spec["truth"]:
            x = target.sample(spec["draws"], generator=rng.stream(spec["seed"], "reference", member))
            arrays |= {"x": x.numpy(), "energy": -target.log_prob(x).numpy()}
            if target.mode_weights is not None:
                arrays["label"] = target.mode(x).numpy()
        found[member] = arrays
    io.write_arrays(data, flat(found))
    return Outcome(facts={"members": len(found)})

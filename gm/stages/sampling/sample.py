"""sample: model.safetensors -> samples.npz, the draws of independent replicates with their weights."""

import numpy as np
import torch

from gm import io, rng
from gm.model import Diverged
from gm.sampler import Draws, load
from gm.stages.job import Failed, Input, Outcome, Output
from gm.stages.sampling.members import Arrays, each, flat, key, targets


def run(data: Input, weights: Input, samples: Output, *, spec: dict, seed: int) -> Outcome:
    """Draw `draws` positions in each of `groups` replicates, per member.

    Per member: `x` `[groups, draws, d]`; `log_w` `[groups, draws]`, nats, where draws are weighted; `evals`, all
    groups together; `chains`, whether draws of a group depend on each other. A sampler without draws leaves none.
    """
    members, samplers = targets(spec), load(weights)
    shape = (spec["groups"], spec["draws"])

    def draw(member: str) -> Arrays:
        generator = rng.stream(seed, "sample", member)
        sampler, options = samplers[member], spec.get("sample", {})
        found = sampler.sample(members[member], shape[1], groups=shape[0], generator=generator, **options)
        return {} if found is None else checked(found, shape, members[member].dim)

    found, failed = each(samplers, draw)
    io.write_arrays(samples, flat(found))
    evals = {key("gradient", member): int(arrays["evals"]) for member, arrays in found.items() if arrays}
    return Outcome(evals=evals, facts={"failed": failed})


def checked(draws: Draws, shape: tuple[int, int], dim: int) -> Arrays:
    """Draws as arrays, or a typed failure that says what is wrong with them."""
    x, log_w = draws.x.detach().cpu(), draws.log_w
    if tuple(x.shape) != (*shape, dim):
        raise Failed("invalid", f"draws have shape {tuple(x.shape)}; expected {(*shape, dim)}")
    if not torch.isfinite(x).all():
        raise Diverged("draws are not finite")
    arrays: Arrays = {"x": x.float().numpy(), "evals": np.int64(draws.evals), "chains": np.bool_(draws.chains)}
    if log_w is None:
        return arrays
    log_w = log_w.detach().cpu().double()
    if tuple(log_w.shape) != shape:
        raise Failed("invalid", f"log weights have shape {tuple(log_w.shape)}; expected {shape}")
    if log_w.isnan().any() or (log_w == torch.inf).any() or not torch.isfinite(log_w.amax(1)).all():
        raise Diverged("log weights are not finite")
    return arrays | {"log_w": log_w.numpy()}


def empty(samples: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(samples, {})

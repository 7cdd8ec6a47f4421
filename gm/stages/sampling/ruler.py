"""ruler: data.npz -> how far exact draws lie from the reference: the unit of every discrepancy, once per target."""

from safetensors.torch import save

from gm import io, rng
from gm.metrics import draws
from gm.stages.job import Input, Outcome, Output
from gm.stages.sampling.members import flat, key, targets

SETS = 100


def run(data: Input, features: Output, weights: Output, trivial: Output, *, spec: dict, log) -> Outcome:
    """Measure sets of exact draws, as many in each as a replicate has, against the reference.

    Per member with exact draws: the arrays of `gm.metrics.draws.null`. No network stands behind these rulers, so
    `weights` holds no tensor, and `trivial` no score.
    """
    arrays, found = io.read_arrays(data), {}
    members = targets(spec)
    for step, (member, target) in enumerate(members.items()):
        log(step, len(members))
        if key("x", member) in arrays:
            generator = rng.stream(spec["seed"], "ruler", member)
            exact = (target.sample(spec["draws"], generator=generator).numpy() for _ in range(SETS))
            directions = rng.numpy_stream(spec["seed"], "directions", member)
            found[member] = draws.null(arrays[key("x", member)], exact, rng=directions)
    io.write_arrays(features, flat(found))
    io.write_arrays(trivial, {})
    io.save_with(lambda path: path.write_bytes(save({}, {"spec": io.canonical(spec)})), weights)
    return Outcome()

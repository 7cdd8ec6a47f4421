"""ruler: data.npz -> a metric's networks, the real splits seen through them, and trivial outlier scores."""

from safetensors.torch import save

from gm import io, rng
from gm.metrics.groups.outliers import baselines
from gm.nets import ruler
from gm.stages.arrays import event_of, split_of
from gm.stages.embed import networks
from gm.stages.job import Input, Outcome, Output

TRAIN = 10_000


def run(data: Input, features: Output, weights: Output, trivial: Output, *, spec: dict, log) -> Outcome:
    """Once per dataset: fit the feature networks, embed the real splits, and score outliers without any model.

    Of a training split of more than 10,000 images every k-th is embedded, with the least k that leaves no more.
    """
    arrays = io.read_arrays(data)
    event = event_of(arrays)
    generator = rng.stream(spec["seed"], "ruler")
    train = split_of(arrays, "train")
    nets = ruler.fit(train.x, train.label, event.levels, generator=generator, nets=spec["nets"])
    io.save_with(lambda path: path.write_bytes(save(nets.state_dict(), {"spec": io.canonical(spec)})), weights)
    test, fresh = split_of(arrays, "test"), split_of(arrays, "fresh")
    real = {"train": train.x[:: -(-len(train.x) // TRAIN)], "test": test.x, "fresh": fresh.x}
    seen, digests = networks(spec, nets)
    embedded = {f"{net}_{name}": ruler.embed(x, seen[net]).numpy() for name, x in real.items() for net in seen}
    io.write_arrays(features, embedded)
    scores = baselines(arrays)
    io.write_arrays(trivial, {f"{name}/{part}": s for name, parts in scores.items() for part, s in parts.items()})
    facts = {f"{net}_sha256": digest for net, digest in digests.items()}
    if "cnn" in spec["nets"]:
        right = (nets.classify(test.x) == test.label).double()
        accuracy = float(right.mean())
        facts["cnn_accuracy"] = [accuracy, (accuracy * (1 - accuracy) / len(right)) ** 0.5, len(right)]
    return Outcome(facts=facts)

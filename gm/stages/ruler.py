"""ruler: data.npz -> a metric's networks, the real splits seen through them, and trivial outlier scores."""

from safetensors.torch import save

from gm import io, rng
from gm.metrics.groups.outliers import baselines
from gm.nets import ruler
from gm.stages.arrays import event_of, split_of
from gm.stages.job import Input, Outcome, Output


def run(data: Input, features: Output, weights: Output, trivial: Output, *, spec: dict, log) -> Outcome:
    """Once per dataset: fit the feature networks, embed the real splits, and score outliers without any model."""
    arrays = io.read_arrays(data)
    event = event_of(arrays)
    generator = rng.stream(spec["seed"], "ruler")
    train = split_of(arrays, "train")
    nets = ruler.fit(train.x, train.label, event.levels, generator=generator)
    io.save_with(lambda path: path.write_bytes(save(nets.state_dict(), {"spec": io.canonical(spec)})), weights)
    embedded = {}
    for name in ("train", "test", "fresh"):
        x = split_of(arrays, name).x
        embedded |= {f"{net}_{name}": values.numpy() for net, values in nets.embed(x).items()}
    io.write_arrays(features, embedded)
    scores = baselines(arrays)
    io.write_arrays(trivial, {f"{name}/{part}": s for name, parts in scores.items() for part, s in parts.items()})
    test = split_of(arrays, "test")
    right = (nets.classify(test.x) == test.label).double()
    accuracy = float(right.mean())
    error = (accuracy * (1 - accuracy) / len(right)) ** 0.5
    return Outcome(facts={"cnn_accuracy": [accuracy, error, len(right)]})

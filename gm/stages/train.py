"""train: data.npz -> model.safetensors and history.csv."""

import torch
from safetensors.torch import save

from gm import io, rng
from gm.model import History, Model, build
from gm.stages import external
from gm.stages.arrays import event_of, split_of
from gm.stages.checkpoint import Kept
from gm.stages.contestant import contestant
from gm.stages.device import described, device_for
from gm.stages.job import Failed, Input, Outcome, Output


def store(model: Model, spec: dict, weights: Output) -> None:
    """Write weights with their own construction inside; one metadata key, because several are saved in no order."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    described = {"class": spec["class"], "event": [list(model.event.shape), model.event.levels]}
    metadata = {"spec": io.canonical(described | {"model": spec.get("model", {})})}
    io.save_with(lambda path: path.write_bytes(save(tensors, metadata)), weights)


def finite(model: Model) -> None:
    """Refuse weights that left the finite numbers."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise Failed("diverged", f"weights '{name}' are not finite after the fit")


def write_history(path: Output, history: History) -> None:
    """Write the named terms per step."""
    columns = ["step", *sorted({key for row in history.rows for key in row} - {"step"})]
    io.write_rows(path, columns, history.rows)


def run(data: Input, weights: Output, history: Output, *, spec: dict, seed: int, log, code: str = "") -> Outcome:
    """Fit one model to one dataset with one seed; a job that was cut off goes on at its last checkpoint."""
    if "external" in spec:
        empty(weights, history)
        return Outcome(facts=external.hashes(spec))
    arrays = io.read_arrays(data)
    event = event_of(arrays)
    about = {"spec": spec, "seed": seed, "code": code, "data": io.sha256(data)}
    with device_for(spec) as device:
        kept = Kept(weights, log, about | {"device": described(device)["device"]}, device)
        try:
            with contestant():
                torch.manual_seed(rng.seed_of(seed, "initialise"))
                model = build(spec | {"event": [event.shape, event.levels]}).to(device)
                splits = (split_of(arrays, name).to(device) for name in model.splits)
                given = {"generator": rng.stream(seed, "train"), "log": kept, **spec.get("fit", {})}
                fitted = model.fit(*splits, **given)
            finite(model)
        except Failed:
            kept.remove()
            raise
        store(model.eval(), spec, weights)
        write_history(history, fitted)
        kept.remove()
        facts = {name: list(fact) if isinstance(fact, tuple) else fact for name, fact in fitted.facts.items()}
        facts["parameters"] = sum(p.numel() for p in model.parameters())
        return Outcome(evals=fitted.evals, facts=facts, **described(device))


def empty(weights: Output, history: Output) -> None:
    """What a failed fit leaves."""
    io.save_with(lambda path: path.write_bytes(save({}, {"spec": "{}"})), weights)
    io.write_rows(history, ["step"], [])

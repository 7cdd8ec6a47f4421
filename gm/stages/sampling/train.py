"""train: target -> model.safetensors, what a sampler's pilot tuned and froze, and history.csv."""

import torch
from safetensors.torch import save

from gm import io, rng
from gm.model import Diverged, History
from gm.sampler import Sampler, build
from gm.stages.job import Input, Outcome, Output
from gm.stages.sampling.members import each, key, targets


def run(data: Input, weights: Output, history: Output, *, spec: dict, seed: int, log) -> Outcome:
    """Tune one sampler to each member with one seed; pilots have streams of their own."""
    members = targets(spec)

    def tune(member: str) -> tuple[Sampler, History]:
        torch.manual_seed(rng.seed_of(seed, "initialise", member))
        sampler = build(spec)
        generator = rng.stream(seed, "train", member)
        fitted = sampler.fit(members[member], generator=generator, log=log, **spec.get("fit", {}))
        for name, tensor in sampler.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise Diverged(f"'{name}' is not finite after the pilot")
        return sampler.eval(), fitted

    found, failed = each(members, tune)
    tensors = {key(name, m): t.contiguous() for m, (sampler, _) in found.items() for name, t in _state(sampler).items()}
    described = {"class": spec["class"], "model": spec.get("model", {}), "members": list(found)}
    io.save_with(lambda path: path.write_bytes(save(tensors, {"spec": io.canonical(described)})), weights)
    rows = [{"member": member} | row for member, (_, fitted) in found.items() for row in fitted.rows]
    io.write_rows(history, list(dict.fromkeys(["step", "member", *(name for row in rows for name in row)])), rows)
    facts = {key(name, m): fact for m, (_, fitted) in found.items() for name, fact in fitted.facts.items()}
    evals = {key(name, m): n for m, (_, fitted) in found.items() for name, n in fitted.evals.items()}
    facts = {name: list(fact) if isinstance(fact, tuple) else fact for name, fact in facts.items()}
    return Outcome(evals=evals, facts=facts | {"failed": failed})


def _state(sampler: Sampler) -> dict[str, torch.Tensor]:
    # clones, because two names of one storage are refused by the format
    return {name: tensor.detach().cpu().clone() for name, tensor in sampler.state_dict().items()}


def empty(weights: Output, history: Output) -> None:
    """What a failed pilot leaves."""
    io.save_with(lambda path: path.write_bytes(save({}, {"spec": "{}"})), weights)
    io.write_rows(history, ["step"], [])

"""The contract of the sampling benchmark: what a sampler answers, whatever its family.

A sampler is tuned on a target of known truth, draws from it, and encloses its log normalising constant in nats. It
sees the target's log density and gradient, its `dim` and its `spread` (the scale of the base N(0, spread^2 I) that
every sampler starts from); a sampler that uses exact draws says so, and is a control.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from gm.densities.targets.target import Target
from gm.model import History, Log, restore
from gm.sampling.logz import LogZ
from gm.source import resolve


@dataclass(frozen=True)
class Draws:
    """Draws of independent replicates.

    Attributes:
        x: positions, shape `[groups, n, d]`.
        log_w: log weights, float64, shape `[groups, n]`, in nats up to a constant of a group; None where all are equal.
        evals: gradient evaluations (or evaluations, of a sampler without gradients), all groups together.
        chains: whether the draws of a group depend on each other, as states of chains do.
    """

    x: Tensor
    log_w: Tensor | None
    evals: int
    chains: bool = False


class Sampler(nn.Module):
    """A contestant of the sampling benchmark.

    A subclass takes keyword-only hyper-parameters, all with defaults. What `fit` tunes is kept in buffers, registered
    with size 0 where the size is only known then; nothing adapts afterwards. Class attributes are literals, because
    the planner reads them from the source without importing it.

    Attributes:
        family: the column the report groups by.
        serves: the kinds of target the class accepts, among `density` and `spins`.
        truth: whether the class uses exact draws of the target, and so runs only where there are any.
    """

    family = "control"
    serves = ("density",)
    truth = False

    def fit(self, target: Target, *, generator: torch.Generator, log: Log) -> History:
        """Tune on a pilot of its own; the default has nothing to tune. `log(step, total)` may be called."""
        return History()

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator) -> Draws | None:
        """Draw `n` positions in each of `groups` independent replicates; None of a sampler that only finds log Z."""
        return None

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """Enclose log Z once per replicate, each for about `budget` gradient evaluations; [] without an estimate."""
        return []


def build(spec: dict) -> Sampler:
    """Construct a sampler from `{"class", "model": {...}}`."""
    return resolve(spec["class"])(**spec.get("model", {}))


def load(path: str | Path) -> dict[str, Sampler]:
    """Load the samplers that one `train` tuned, by member of the target's family (`""` for a target alone)."""
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["spec"])
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    found = {}
    for member in spec.get("members", []):
        places = {name: name.partition("/") for name in stored}
        own = {place[0]: stored[name] for name, place in places.items() if place[2] == member}
        found[member] = restore(build(spec), own)
    return found

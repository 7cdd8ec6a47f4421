"""The contract: what every contestant answers, whatever its family.

A model is fitted on integers, samples integers, and bounds the log density of y = x + u in nats, where x is an
image of integers `0..levels-1` and u in [0, 1) is noise that the dataset fixes. A discrete model's density at y is
its mass at floor(y); a continuous model's is its own, every change of variables included.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from gm.source import resolve

KINDS = ("exact", "certified", "heuristic", "none")


class Event(NamedTuple):
    """The space that one example lives in: `shape` (C, H, W), and `levels`, or None for real-valued data."""

    shape: tuple[int, int, int]
    levels: int | None

    @property
    def dim(self) -> int:
        """Number of pixels, D."""
        return math.prod(self.shape)

    @property
    def kind(self) -> str:
        """`binary` (2 levels), `levels` (more), or `real`."""
        return "real" if self.levels is None else "binary" if self.levels == 2 else "levels"


class Split(NamedTuple):
    """Examples `x` of shape `[N, C, H, W]`, integers, with their class `label` of shape `[N]`.

    Where the dataset's binarisation is dynamic, `grey` `[N, C, H, W]`, uint8, holds the grey levels that `x` is one
    draw of. Whoever fits in minibatches takes them from `rows`.
    """

    x: Tensor
    label: Tensor
    grey: Tensor | None = None

    def rows(self, index: Tensor, *, generator: torch.Generator) -> Tensor:
        """The examples at `index` `[B]`: x, or fresh Bernoulli(grey / 255) draws where grey levels are given.

        Reference:
            On the Quantitative Analysis of Deep Belief Networks (Ruslan Salakhutdinov and Iain Murray, 2008)

        Example:
            >>> g = torch.Generator().manual_seed(0)
            >>> grey = torch.tensor([[0, 255]], dtype=torch.uint8).expand(3, 2)
            >>> Split(torch.ones(3, 2).long(), torch.zeros(3), grey).rows(torch.tensor([2]), generator=g)
            tensor([[0, 1]])
        """
        if self.grey is None:
            return self.x[index]
        grey = self.grey[index]
        u = torch.rand(grey.shape, generator=generator, device=generator.device).to(grey.device)
        return (255 * u < grey).to(self.x.dtype)

    def to(self, device: torch.device) -> "Split":
        """The same examples on a device."""
        return Split(*(None if part is None else part.to(device) for part in self))


@dataclass(frozen=True)
class Bounds:
    """An interval for log p(y), per row, in nats.

    Attributes:
        lower: `[B]`, lower ends; `-inf` where there is none.
        upper: `[B]`, upper ends; `+inf` where there is none.
        kinds: kind of the lower and of the upper end: `exact`, `certified` (a stochastic bound that fails with
            probability at most `alpha`), `heuristic`, or `none`. The kind comes from a theorem, never a diagnostic.
        shared: the interval (in nats) of a constant that all rows have in common (minus log Z), already inside
            `lower` and `upper`; its certified end has its slack taken.
        shared_se: standard error of that constant's point value, in nats.
        slack: nats to take off a *sum* of certified ends over rows of independent noise, ln(1/alpha), so that the
            mean over N rows moves by `slack / N`; 0 where the slack is already inside `shared`.
        alpha: failure probability of the certified ends.
        terms: named per-row diagnostics, each `[B]` (`elbo`, `ess`, ...).
        evals: counted evaluations by kind (`density`, `gradient`, ...), summed over the rows.
        note: why an end is heuristic, or what failed its gate; empty when there is nothing to say.
    """

    lower: Tensor
    upper: Tensor
    kinds: tuple[str, str]
    shared: tuple[float, float] = (0.0, 0.0)
    shared_se: float = 0.0
    slack: float = 0.0
    alpha: float = 0.0
    terms: dict[str, Tensor] = field(default_factory=dict)
    evals: dict[str, int] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def exact(cls, log_prob: Tensor, **evals: int) -> "Bounds":
        """Both ends at a known log density `[B]`."""
        return cls(log_prob, log_prob, ("exact", "exact"), evals=evals)

    @classmethod
    def normalised(cls, log_prob: Tensor, log_z, **evals: int) -> "Bounds":
        """Subtract an interval for log Z (`gm.sampling.logz.LogZ`) from an unnormalised log density `[B]`.

        The lower end of log Z makes the upper end of log p, and passes its kind on to it.
        """
        return cls(
            lower=log_prob - log_z.upper,
            upper=log_prob - log_z.lower,
            kinds=(log_z.kinds[1], log_z.kinds[0]),
            shared=(-log_z.upper, -log_z.lower),
            shared_se=log_z.se,
            alpha=log_z.alpha,
            evals={**log_z.evals, **evals},
            note=log_z.note,
        )

    @classmethod
    def none(cls, rows: int) -> "Bounds":
        """The answer of a model that has no density."""
        end = torch.full((rows,), math.inf, dtype=torch.float64)
        return cls(-end, end, ("none", "none"))


class Diverged(RuntimeError):
    """A fit, a chain or an estimate left the finite numbers: a result of the model, not an error of the machine."""


Row = dict[str, float | int]
Log = Callable[[int, int], None]


@dataclass
class History:
    """What a fit leaves beside the weights.

    Attributes:
        rows: named terms per recorded step; each row has `step`.
        evals: counted evaluations of the fit, by kind.
        facts: numbers about the fit that the table quotes (a moment residual, an optimisation gap), by metric name:
            value, or `(value, standard error, n)`, or the same with a kind, such as `heuristic`, behind.
    """

    rows: list[Row] = field(default_factory=list)
    evals: dict[str, int] = field(default_factory=dict)
    facts: dict[str, float | tuple[float, float, int] | tuple[float, float, int, str]] = field(default_factory=dict)


class Model(nn.Module):
    """A contestant.

    A subclass takes `event` and its own keyword-only hyper-parameters, all with defaults, and gives the members
    below. Tensors whose size is only known after `fit` are registered as buffers of size 0. Class attributes are
    literals, because the planner reads them from the source without importing it.

    Attributes:
        family: the column the report groups by: `control`, `kl`, `maxent` or `vae`.
        serves: the event kinds the class accepts, among `binary`, `levels` and `real`.
        splits: the two splits that `fit` is given.
        labels: whether `fit` reads class labels.
        conditional: whether draws come with a class label (`sample_labelled`).
        measure: what `bounds` bounds: the `density` of y, or the `mass` of floor(y). The mean of a log density over
            u lies below its log mass by Jensen's inequality, so the two compare only with that said.
        devices: where the class runs: `cpu`, and `gpu` if all members also work with weights and data on a GPU and a
            generator that stays on the CPU: noise is drawn on `generator.device`, then moved.
    """

    family = "control"
    serves = ("binary", "levels")
    splits = ("train", "valid")
    labels = False
    conditional = False
    measure = "density"
    devices = ("cpu",)

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = Event(tuple(event[0]), event[1])

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Fit to `train`, choosing on `valid` alone; `log(step, total)` may be called at every step."""
        raise TypeError(f"{type(self).__name__} does not define 'fit'")

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw `n` examples of integers, shape `[n, C, H, W]`, dtype int64."""
        raise TypeError(f"{type(self).__name__} does not define 'sample'")

    def sample_labelled(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw what `sample` draws, with the classes of the draws, `[n]`, int64; takes `sample`'s keywords."""
        raise TypeError(f"{type(self).__name__} does not define 'sample_labelled'")

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """Bound log p(y) for rows `[B, C, H, W]`, float32 in [0, levels). A row's bounds never depend on its batch."""
        return Bounds.none(len(y))

    def outlier_scores(self, y: Tensor, bounds: Bounds, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scores `[B]` by name, higher for outliers. The default is the negative log-likelihood's upper end."""
        return {} if bounds.kinds[0] == "none" else {"nll": -bounds.lower}


def build(spec: dict) -> Model:
    """Construct a model from `{"class", "event": [shape, levels], "model": {...}}`."""
    shape, levels = spec["event"]
    return resolve(spec["class"])(Event(tuple(shape), levels), **spec.get("model", {}))


def restore(model: Model, tensors: Iterable[tuple[str, Tensor]]) -> Model:
    """Put stored tensors into a model: names must match exactly, sizes may differ from those at construction."""
    tensors = dict(tensors)
    expected = set(model.state_dict())
    if expected != set(tensors):
        missing, extra = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
        raise ValueError(f"weights do not fit {type(model).__name__}: missing {missing}, not expected {extra}")
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        if leaf in module._parameters:
            getattr(module, leaf).data = tensor
        else:
            setattr(module, leaf, tensor)
    return model.eval()


def load(path: str | Path) -> Model:
    """Load a fitted model from `model.safetensors` or from the folder that holds it."""
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    with safe_open(path, framework="pt") as file:
        spec = json.loads(file.metadata()["spec"])
        if "class" not in spec:
            raise ValueError(f"{path} holds no weights: the run failed, or its samples were made elsewhere")
        # Copied, because a file's tensors begin anywhere in memory, and products of matrices round by where they begin.
        names = file.keys()
        return restore(build(spec), ((name, file.get_tensor(name).clone()) for name in names))

"""What every target of the sampling benchmark offers: a density, its truth, and an identity."""

import copy
import hashlib
import inspect
import json

import torch
from torch import Tensor

from gm import source
from gm.sampling.path import Analytic


class Target(Analytic):
    r"""An unnormalised log density log p whose normalising constant log Z = log int p(x) dx is known.

    The declared `constant` is part of both, log p(x) = constant + (the family's formula) and
    log Z = constant + (its integral): an estimator that is right only where log Z = 0 does not pass.

    A subclass takes its parameters as keywords (numbers, strings, lists or tensors), calls this initialiser, and
    defines `value_and_grad`, `sample` where exact draws exist, and `mode` where it declares mode weights.

    Arguments:
        dim: d.
        spread: the pilot of every sampler starts from N(0, spread^2 I); about the scale of the law.
        log_z: exact log Z in nats, constant included; None where there is no truth.
        constant: declared shift of log p, nats.
        mode_weights: probability of each mode, `[K]`; None where modes are not declared.

    Attributes:
        kind: "density", or "spins" for a law of discrete units.
        parameters: keywords that this target was made with, defaults included.

    Raises:
        ValueError: if the dimension or the spread is not positive.

    Example:
        >>> class Flat(Target):
        ...     def __init__(self, *, dim: int, constant: float = 1.5) -> None:
        ...         super().__init__(dim=dim, spread=1.0, log_z=None, constant=constant)
        ...     def value_and_grad(self, x):
        ...         return torch.full(x.shape[:-1], self.constant).double(), torch.zeros_like(x)
        >>> Flat(dim=3)(torch.zeros(2, 3)).tolist(), Flat(dim=3).parameters
        ([1.5, 1.5], {'dim': 3, 'constant': 1.5})
    """

    kind = "density"

    def __new__(cls, *args: object, **kwargs: object) -> "Target":
        # what was asked for is recorded before any subclass runs, so that no subclass can forget a parameter
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        self.parameters = dict(list(bound.arguments.items())[1:])
        return self

    def __init__(
        self,
        *,
        dim: int,
        spread: float,
        log_z: float | None,
        constant: float,
        mode_weights: Tensor | None = None,
    ) -> None:
        if dim < 1 or not spread > 0:
            raise ValueError(f"{type(self).__name__} has dim = {dim} and spread = {spread}; expected both positive")
        self.dim, self.spread, self.log_z, self.constant = dim, float(spread), log_z, float(constant)
        self.mode_weights = mode_weights

    @property
    def identity(self) -> str:
        """sha256 of the definition: class, parameters (the constant is one), and the code that the class reaches.

        Equal in every process on one minor version of Python; it changes with any of the three.
        """
        cls = type(self)
        root = cls.__module__ if source.locate(cls.__module__) else cls.__init__.__code__.co_filename
        definition = {
            "class": cls.__qualname__,
            "parameters": self.parameters,
            "code": source.digest(source.fingerprint(root)),
        }
        return hashlib.sha256(json.dumps(definition, sort_keys=True, default=_bytes).encode()).hexdigest()

    def log_prob(self, x: Tensor) -> Tensor:
        """log p, float64 `[...]`, nats, constant included, at points `[..., d]`."""
        return self.value_and_grad(x)[0]

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws of p / Z, float32 `[n, d]`.

        Raises:
            TypeError: where the law has no exact sampler.
        """
        raise TypeError(f"{type(self).__name__} has no exact sampler")

    def mode(self, x: Tensor) -> Tensor:
        """The mode that each point `[..., d]` belongs to, long `[...]`, an index into `mode_weights`.

        Raises:
            TypeError: where `mode_weights` is None.
        """
        raise TypeError(f"{type(self).__name__} declares no modes")

    def to(self, device: str | torch.device) -> "Target":
        """The same target with its tensors on a device; its identity stays."""
        moved = copy.copy(self)
        vars(moved).update({name: v.to(device) for name, v in vars(self).items() if isinstance(v, Tensor)})
        return moved


def _bytes(value: object) -> str:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"a target's parameter is a {type(value).__name__}; expected numbers, strings, lists or tensors"
        )
    content = value.detach().cpu().contiguous()
    return f"{content.dtype} {tuple(content.shape)} {hashlib.sha256(content.numpy().tobytes()).hexdigest()}"

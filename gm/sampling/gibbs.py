"""Block Gibbs sampling of binary units: blocks that are independent given the rest are redrawn at once."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from gm.sampling.kernels import Info


class Units(NamedTuple):
    """Uniform numbers on [0, 1), float64, one tensor `[..., size]` for each block that a sweep visits."""

    u: tuple[Tensor, ...]


class Blocked(Protocol):
    """A path of laws of binary units that a sweep can redraw block by block; its states carry units `x` `[..., d]`.

    Attributes:
        sizes: number of units redrawn at each stop of a sweep, auxiliary units included.
    """

    sizes: tuple[int, ...]

    def init(self, x: Tensor) -> Any:
        """Evaluate what any temperature needs at units `x`."""

    def log_prob(self, state: Any, lam: float | Tensor) -> Tensor:
        """Log mass at temperature `lam`, float64 `[...]`, in nats; normalised at 0."""

    def sweep(self, state: Any, lam: Tensor, noise: Units) -> Any:
        """Redraw each block in turn from its conditional law at `lam` `[..., 1]`, a unit being on where u < p(on)."""


@dataclass(frozen=True, eq=False)
class BlockGibbs:
    r"""One sweep over the blocks of a path, each drawn from its exact conditional law:

        x_B ~ pi_lam(x_B | x_-B).

    Each draw leaves every temperature invariant; nothing is tuned and nothing rejected. A sweep whose order of blocks
    is a palindrome is reversible, and so is one that draws auxiliary units and from them all others.

    Reference: Geman and Geman, Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of images,
    1984.

    Arguments:
        path: a `Blocked` path.
    """

    path: Blocked
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def noise(self, state: Any, *, generator: torch.Generator) -> Units:
        """Draw the uniform numbers of one sweep."""
        return Units(tuple(uniforms((*state.x.shape[:-1], size), state.x, generator) for size in self.path.sizes))

    def __call__(self, state: Any, lam: float | Tensor, noise: Units) -> tuple[Any, Info]:
        """One transition; `evals` counts sweeps, each row counted."""
        lam = torch.as_tensor(lam, dtype=torch.float64, device=state.x.device)[..., None]
        state = self.path.sweep(state, lam, noise)
        accept = torch.ones(state.x.shape[:-1], dtype=torch.float64, device=state.x.device)
        return state, Info(accept, accept.numel(), 0)


def uniforms(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform numbers on [0, 1), float64, drawn where the generator lives and moved to the device of `like`."""
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device).to(like.device)

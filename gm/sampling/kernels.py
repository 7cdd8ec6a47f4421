"""What a Markov kernel is, and the parts that kernels share.

A kernel is frozen: its step is fixed when it is built, and a transition is a pure function of the state, the
temperature and the noise. It counts its own evaluations, and says whether it leaves each temperature invariant.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gm.sampling.path import State


class Noise(NamedTuple):
    """What a transition draws: normal `xi` `[..., d]`; `v` and `s` `[...]`, uniform on [0, 1), float64."""

    xi: Tensor
    v: Tensor
    s: Tensor | None = None


class Info(NamedTuple):
    """What a transition reports.

    Attributes:
        accept: acceptance probability, shape `[...]`.
        evals: gradient evaluations, each row counted.
        divergent: proposals where a density or a gradient was not finite; they are rejected.
        log_ratio: log of pi(x') K(x', x) / (pi(x) K(x, x')), float64 `[...]`, of a `weighted` kernel; None of a kernel
            in detailed balance, whose ratio is one.
    """

    accept: Tensor
    evals: int
    divergent: int
    log_ratio: Tensor | None = None


class Kernel(Protocol):
    """What annealing asks of a kernel; states and noise may be of any type that the kernel's path knows.

    Attributes:
        invariant: every temperature is left invariant.
        weighted: the transition density is known, and `Info.log_ratio` reports it, so that a kernel that is not
            invariant can be corrected by a weight.
        reversible: detailed balance holds at every temperature.
    """

    invariant: bool
    weighted: bool
    reversible: bool

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw what one transition needs."""

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition at temperature `lam`."""


def metropolis(state: State, proposal: State, log_ratio: Tensor, v: Tensor) -> tuple[State, Tensor, int]:
    """Accept each row's proposal with probability min(1, exp(log_ratio)).

    A log ratio that is not finite is a rejection: the chain then targets the density restricted to the points
    where it and its gradient are finite.

    Reference: Metropolis et al., Equation of state calculations by fast computing machines, 1953; Hastings,
    Monte Carlo sampling methods using Markov chains and their applications, 1970.

    Arguments:
        state: where the chains are.
        proposal: where they would go.
        log_ratio: log of target times proposal density, backward over forward, shape `[...]`.
        v: uniform noise, shape `[...]`.

    Returns:
        The next state, the acceptance probability `[...]`, and the number of rows that were not finite.
    """
    finite = torch.isfinite(log_ratio)
    probability = torch.where(finite, log_ratio.clamp(max=0).exp(), 0.0)
    accept = v < probability
    moved = State(
        torch.where(accept[..., None], proposal.x, state.x),
        torch.where(accept[..., None], proposal.u, state.u),
        torch.where(accept[..., None, None], proposal.du, state.du),
    )
    return moved, probability, int((~finite).sum())


def uniform(state: State, generator: torch.Generator) -> Tensor:
    """Uniform noise per row, float64 `[...]`."""
    x = state.x
    return torch.rand(x.shape[:-1], generator=generator, dtype=torch.float64, device=generator.device).to(x.device)


def normal(state: State, generator: torch.Generator) -> Tensor:
    """Standard normal noise per coordinate, `[..., d]`."""
    x = state.x
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)


def column(step: float | Tensor, x: Tensor) -> Tensor:
    """A number, or one per row `[...]`, as something that multiplies `x` `[..., d]`."""
    return torch.as_tensor(step, dtype=x.dtype, device=x.device)[..., None]


def square(xi: Tensor) -> Tensor:
    """Squared norm per row, float64 `[...]`."""
    return xi.double().square().sum(-1)

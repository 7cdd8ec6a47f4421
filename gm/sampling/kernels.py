"""Markov kernels that leave one temperature of a path invariant.

A kernel is frozen: its step is fixed when it is built, and a transition is a pure function of the state, the
temperature and the noise. It counts its own gradient evaluations.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from gm.sampling.path import Geometric, State


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
    """

    accept: Tensor
    evals: int
    divergent: int


class Kernel(Protocol):
    """What annealing asks of a kernel; states and noise may be of any type that the kernel's path knows."""

    invariant: bool

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


def _uniform(state: State, generator: torch.Generator) -> Tensor:
    x = state.x
    return torch.rand(x.shape[:-1], generator=generator, dtype=torch.float64, device=x.device)


def _normal(state: State, generator: torch.Generator) -> Tensor:
    x = state.x
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _column(step: float | Tensor, x: Tensor) -> Tensor:
    return torch.as_tensor(step, dtype=x.dtype, device=x.device)[..., None]


def _square(xi: Tensor) -> Tensor:
    return xi.double().square().sum(-1)


@dataclass(frozen=True, eq=False)
class MALA:
    r"""Metropolis-adjusted Langevin: x' = x + h^2/2 grad log pi_lam(x) + h xi, accepted with probability

        min(1, pi(x') N(x; x' + h^2/2 g', h^2) / pi(x) N(x'; x + h^2/2 g, h^2)).

    Reference: Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
    approximations, 1996; Roberts and Rosenthal, Optimal scaling of discrete approximations to Langevin
    diffusions, 1998 (acceptance 0.574).

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> kernel, state = MALA(path, step=0.5), path.init(torch.zeros(8, 2))
        >>> state, info = kernel(state, 1.0, kernel.noise(state, generator=torch.Generator().manual_seed(0)))
        >>> tuple(state.x.shape), info.evals
        ((8, 2), 8)
    """

    path: Geometric
    step: float | Tensor
    invariant: ClassVar[bool] = True

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the normal and the uniform noise of one transition."""
        return Noise(_normal(state, generator), _uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: one gradient evaluation per row."""
        h = _column(self.step, state.x)
        g = self.path.gradient(state, lam)
        proposal = self.path.init(state.x + h**2 / 2 * g + h * noise.xi)
        # minus the noise that would propose the way back; it replaces a difference of two large squares
        back = noise.xi + h / 2 * (g + self.path.gradient(proposal, lam))
        log_ratio = self.path.log_prob(proposal, lam) - self.path.log_prob(state, lam)
        log_ratio = log_ratio + (_square(noise.xi) - _square(back)) / 2
        state, accept, divergent = metropolis(state, proposal, log_ratio, noise.v)
        return state, Info(accept, accept.numel(), divergent)


@dataclass(frozen=True, eq=False)
class HMC:
    r"""Hamiltonian Monte Carlo: `length` leapfrog steps from a fresh momentum xi, accepted with probability

        min(1, exp(log pi(x') - |p'|^2/2 - log pi(x) + |xi|^2/2)).

    Each row jitters its own step, h (1 + jitter (2 s - 1)), and with it the length of its trajectory, so that
    no row resonates and rows stay independent. A length of 1 without jitter is `MALA`.

    Reference: Neal, MCMC using Hamiltonian dynamics, 2011.

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        length: number of leapfrog steps; best near a quarter period, length * step = pi / 2 standard deviations.
        jitter: half-width of the jitter relative to the step, in [0, 1).
    """

    path: Geometric
    step: float | Tensor
    length: int
    jitter: float = 0.3
    invariant: ClassVar[bool] = True

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the momentum and the two uniform numbers of one transition."""
        return Noise(_normal(state, generator), _uniform(state, generator), _uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: `length` gradient evaluations per row."""
        h = _column(self.step, state.x) * (1 + self.jitter * (2 * noise.s - 1)).to(state.x.dtype)[..., None]
        proposal, p = state, noise.xi
        for _ in range(self.length):
            p = p + h / 2 * self.path.gradient(proposal, lam)
            proposal = self.path.init(proposal.x + h * p)
            p = p + h / 2 * self.path.gradient(proposal, lam)
        log_ratio = self.path.log_prob(proposal, lam) - self.path.log_prob(state, lam)
        log_ratio = log_ratio + (_square(noise.xi) - _square(p)) / 2
        state, accept, divergent = metropolis(state, proposal, log_ratio, noise.v)
        return state, Info(accept, self.length * accept.numel(), divergent)

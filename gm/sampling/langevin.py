"""Random-walk and Langevin kernels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Noise, column, metropolis, normal, square, uniform
from gm.sampling.path import Geometric, State


@dataclass(frozen=True, eq=False)
class RandomWalk:
    r"""Random-walk Metropolis: x' = x + h s xi, accepted with probability min(1, pi(x') / pi(x)).

    Reference: Metropolis et al., Equation of state calculations by fast computing machines, 1953; Roberts, Gelman
    and Gilks, Weak convergence and optimal scaling of random walk Metropolis algorithms, 1997 (acceptance 0.234).

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.
    """

    path: Geometric
    step: float | Tensor
    scale: float | Tensor = 1.0
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the normal and the uniform noise of one transition."""
        return Noise(normal(state, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: one evaluation per row."""
        h = column(self.step, state.x) * self.scale
        proposal = self.path.init(state.x + h * noise.xi)
        log_ratio = self.path.log_prob(proposal, lam) - self.path.log_prob(state, lam)
        state, accept, divergent = metropolis(state, proposal, log_ratio, noise.v)
        return state, Info(accept, accept.numel(), divergent)


@dataclass(frozen=True, eq=False)
class MALA:
    r"""Metropolis-adjusted Langevin: x' = x + (h s)^2/2 grad log pi_lam(x) + h s xi, accepted with probability

        min(1, pi(x') N(x; x' + (h s)^2/2 g', (h s)^2) / pi(x) N(x'; x + (h s)^2/2 g, (h s)^2)).

    Reference: Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
    approximations, 1996; Roberts and Rosenthal, Optimal scaling of discrete approximations to Langevin
    diffusions, 1998 (acceptance 0.574).

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> kernel, state = MALA(path, step=0.5), path.init(torch.zeros(8, 2))
        >>> state, info = kernel(state, 1.0, kernel.noise(state, generator=torch.Generator().manual_seed(0)))
        >>> tuple(state.x.shape), info.evals
        ((8, 2), 8)
    """

    path: Geometric
    step: float | Tensor
    scale: float | Tensor = 1.0
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the normal and the uniform noise of one transition."""
        return Noise(normal(state, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: one gradient evaluation per row."""
        h = column(self.step, state.x) * self.scale
        proposal, log_ratio = _langevin(self.path, state, lam, h, noise.xi)
        state, accept, divergent = metropolis(state, proposal, log_ratio, noise.v)
        return state, Info(accept, accept.numel(), divergent)


@dataclass(frozen=True, eq=False)
class ULA:
    r"""Unadjusted Langevin: x' = x + (h s)^2/2 grad log pi_lam(x) + h s xi, always taken.

    Biased: it does not leave pi invariant. On N(0, sigma^2) with s = 1 its stationary variance is

        sigma^2 / (1 - h^2 / (4 sigma^2)),    h < 2 sigma,

    and it diverges from h = 2 sigma on, or far out under a log density whose gradient grows faster than |x|.
    `Info.log_ratio` is its Jarzynski weight; `Info.accept` is the probability with which `MALA` would have accepted,
    by which a pilot can choose h. Nothing is rejected: a move to a point that is not finite is counted as divergent
    and its log ratio is not finite, so annealing raises instead of weighing a law that was never run.

    Reference: Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete
    approximations, 1996; Jarzynski, Nonequilibrium equality for free energy differences, 1997.

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.
    """

    path: Geometric
    step: float | Tensor
    scale: float | Tensor = 1.0
    invariant: ClassVar[bool] = False
    weighted: ClassVar[bool] = True
    reversible: ClassVar[bool] = False

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the normal noise of one transition, and a uniform that it does not use."""
        return Noise(normal(state, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: one gradient evaluation per row."""
        h = column(self.step, state.x) * self.scale
        return _unadjusted(*_langevin(self.path, state, lam, h, noise.xi, self.drift))

    def drift(self, g: Tensor, h: Tensor) -> Tensor:
        """The gradient, as it is."""
        return g


@dataclass(frozen=True, eq=False)
class TULA(ULA):
    r"""Tamed unadjusted Langevin, coordinate by coordinate: x' = x + (h s)^2/2 T(g) + h s xi, always taken, with

        T(g)_i = g_i / (1 + (h s)^2/2 |g_i|).

    No drift exceeds 1, so that it does not diverge where `ULA` does. Biased as well: on N(0, sigma^2) with s = 1 its
    stationary variance is

        sigma^2 + h^2/4 + sqrt(2 / pi) sigma h^2 + O(h^4),

    wider than that of `ULA`. Weights, acceptance and divergence are reported as by `ULA`; its transition is normal
    too.

    Reference: Brosse, Durmus, Moulines and Sabanis, The tamed unadjusted Langevin algorithm, 2019.

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.
    """

    def drift(self, g: Tensor, h: Tensor) -> Tensor:
        """The tamed gradient."""
        return g / (1 + h**2 / 2 * g.abs())


def _langevin(
    path: Geometric,
    state: State,
    lam: float | Tensor,
    h: Tensor,
    xi: Tensor,
    drift: Callable[[Tensor, Tensor], Tensor] = lambda g, h: g,
) -> tuple[State, Tensor]:
    g = drift(path.gradient(state, lam), h)
    proposal = path.init(state.x + h**2 / 2 * g + h * xi)
    # minus the noise that would propose the way back; it replaces a difference of two large squares
    back = xi + h / 2 * (g + drift(path.gradient(proposal, lam), h))
    log_ratio = path.log_prob(proposal, lam) - path.log_prob(state, lam)
    return proposal, log_ratio + (square(xi) - square(back)) / 2


def _unadjusted(proposal: State, log_ratio: Tensor) -> tuple[State, Info]:
    finite = torch.isfinite(log_ratio)
    accept = torch.where(finite, log_ratio.clamp(max=0).exp(), 0.0)
    return proposal, Info(accept, accept.numel(), int((~finite).sum()), log_ratio)

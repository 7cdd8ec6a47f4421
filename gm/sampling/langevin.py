"""Random-walk and Langevin kernels."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Noise, column, metropolis, normal, square, uniform
from gm.sampling.path import Geometric, State


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

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the normal and the uniform noise of one transition."""
        return Noise(normal(state, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: one gradient evaluation per row."""
        h = column(self.step, state.x) * self.scale
        g = self.path.gradient(state, lam)
        proposal = self.path.init(state.x + h**2 / 2 * g + h * noise.xi)
        # minus the noise that would propose the way back; it replaces a difference of two large squares
        back = noise.xi + h / 2 * (g + self.path.gradient(proposal, lam))
        log_ratio = self.path.log_prob(proposal, lam) - self.path.log_prob(state, lam)
        log_ratio = log_ratio + (square(noise.xi) - square(back)) / 2
        state, accept, divergent = metropolis(state, proposal, log_ratio, noise.v)
        return state, Info(accept, accept.numel(), divergent)

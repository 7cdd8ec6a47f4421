"""Hamiltonian Monte Carlo."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Noise, column, metropolis, normal, square, uniform
from gm.sampling.path import Geometric, State


@dataclass(frozen=True, eq=False)
class HMC:
    r"""Hamiltonian Monte Carlo: `length` leapfrog steps from a fresh momentum p ~ N(0, s^-2), accepted with probability

        min(1, exp(log pi(x') - |s p'|^2/2 - log pi(x) + |s p|^2/2)),

    where s^-2 is the diagonal mass, so that x moves by h s^2 p.

    Each row jitters its own step, h (1 + jitter (2 s - 1)), and with it the length of its trajectory, so that
    no row resonates and rows stay independent. A length of 1 without jitter is `MALA`.

    Reference: Neal, MCMC using Hamiltonian dynamics, 2011.

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        length: number of leapfrog steps; best near a quarter period, length * step = pi / 2 standard deviations.
        jitter: half-width of the jitter relative to the step, in [0, 1).
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.
    """

    path: Geometric
    step: float | Tensor
    length: int
    jitter: float = 0.3
    scale: float | Tensor = 1.0
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the momentum and the two uniform numbers of one transition."""
        return Noise(normal(state, generator), uniform(state, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: `length` gradient evaluations per row."""
        h = column(self.step, state.x) * (1 + self.jitter * (2 * noise.s - 1)).to(state.x.dtype)[..., None]
        drift = h * torch.as_tensor(self.scale, dtype=h.dtype, device=h.device) ** 2
        proposal, p = state, noise.xi / self.scale + h / 2 * self.path.gradient(state, lam)
        for i in range(1, self.length + 1):
            proposal = self.path.init(torch.addcmul(proposal.x, drift, p))
            # two half kicks at one point are a whole one
            p = torch.addcmul(p, h if i < self.length else h / 2, self.path.gradient(proposal, lam))
        log_ratio = self.path.log_prob(proposal, lam) - self.path.log_prob(state, lam)
        log_ratio = log_ratio + (square(noise.xi) - square(self.scale * p)) / 2
        state, accept, divergent = metropolis(state, proposal, log_ratio, noise.v)
        return state, Info(accept, self.length * accept.numel(), divergent)

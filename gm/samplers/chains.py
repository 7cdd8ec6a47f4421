"""Markov chains as contestants: draws alone, or with the global moves of Ex2MCMC."""

from typing import Literal

import torch

from gm.densities.targets.target import Target
from gm.sampler import Draws
from gm.samplers.piloted import Piloted, check
from gm.sampling.isir import Ex2
from gm.sampling.kernels import Kernel
from gm.sampling.logz import LogZ
from gm.sampling.path import Geometric


class Chains(Piloted):
    """Chains at the target from draws of the fitted base. They have no estimate of log Z.

    A random walk, Metropolis-adjusted Langevin, Hamiltonian or microcanonical chain converges to the target; "ula",
    "tula" and "mclmc" are not adjusted and converge to something else, near it for a small step.

    Reference: see the kernels in `gm.sampling.langevin`, `hamiltonian` and `microcanonical`.

    Arguments:
        kernel, length: see `Piloted`.
        chains: chains in a replicate.
        burn: share of the moves that is left out.
    """

    family = "chains"

    def __init__(
        self,
        *,
        kernel: Literal["random walk", "ula", "tula", "mala", "hmc", "mclmc", "mams"] = "mala",
        length: int = 8,
        chains: int = 16,
        burn: float = 0.25,
    ) -> None:
        super().__init__(kernel=kernel, length=length)
        check(chains=chains)
        if not 0 <= burn < 1:
            raise ValueError(f"'burn' is {burn}; expected a share in [0, 1)")
        self.chains, self.burn = chains, burn

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator, moves: int = 8) -> Draws:
        """States of each replicate's chains, `moves` moves apart."""
        path, each = self.path(target), -(-n // self.chains)
        state = path.init(torch.randn(groups, self.chains, target.dim, generator=generator))
        kernel, evals = self.make(path, float(self.steps[-1])), groups * self.chains
        skip, kept = max(int(each * self.burn / (1 - self.burn)), 1), []
        for k in range(each + skip):
            for _ in range(moves):
                state, info = kernel(state, 1.0, kernel.noise(state, generator=generator))
                evals += info.evals
            if k >= skip:
                kept.append(state.x)
        x = torch.stack(kept, 1).flatten(1, 2)[:, :n]
        return Draws(path.target.unwhiten(x), None, evals, chains=True)


class LocalGlobal(Chains):
    """Ex2MCMC: independent proposals of the fitted base, resampled by weight, then Langevin moves.

    Its log Z is that of the importance weights of the same base, for a certified lower end; the upper one is heuristic.

    Reference: Samsonov, Lagutin, Gabrie, Durmus, Naumov and Moulines, Local-global MCMC kernels: the best of both
    worlds, 2022.

    Arguments:
        proposals: points to choose from, the current one among them.
        chains, burn: see `Chains`.
        blocks: independent blocks of weights in a replicate, the R of `gm.sampling.logz.certify`.
        alpha: failure probability of the certified end.
    """

    def __init__(
        self,
        *,
        proposals: int = 8,
        chains: int = 16,
        burn: float = 0.25,
        blocks: int = 16,
        alpha: float = 0.05,
    ) -> None:
        super().__init__(kernel="mala", chains=chains, burn=burn)
        check(2, proposals=proposals, blocks=blocks)
        self.proposals, self.blocks, self.alpha = proposals, blocks, alpha

    def make(self, path: Geometric, step: float) -> Kernel:
        """The kernel at a step."""
        return Ex2(path, step, self.proposals)

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """Importance weights of the fitted base."""
        return self.importance(target, self.blocks, groups=groups, budget=budget, generator=generator)

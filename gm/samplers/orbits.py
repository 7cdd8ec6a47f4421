"""Non-equilibrium importance sampling on orbits as a contestant."""

import torch

from gm.densities.targets.target import Target
from gm.sampler import Draws
from gm.samplers.piloted import Piloted, check
from gm.sampling.anneal import Weights
from gm.sampling.logz import LogZ, one_sided
from gm.sampling.neo import neo_weights


class NEO(Piloted):
    """Orbits of a conformal leapfrog map from draws of the fitted base, one weight per orbit, E[w] = Z.

    The lower end of log Z is certified; the upper one is heuristic.

    Reference: Thin, Janati El Idrissi, Le Corff, Ollion, Moulines, Doucet, Durmus and Robert, NEO: non equilibrium
    sampling on the orbits of a deterministic transform, 2021.

    Arguments:
        length: K, steps of an orbit.
        gamma: friction.
        blocks: independent blocks of orbits in a replicate, the R of `gm.sampling.logz.certify`.
        alpha: failure probability of the certified end.
    """

    family = "importance"

    def __init__(self, *, length: int = 8, gamma: float = 1.0, blocks: int = 16, alpha: float = 0.05) -> None:
        super().__init__(kernel="hmc", length=length, alpha=alpha)
        check(2, blocks=blocks)
        self.gamma, self.blocks = gamma, blocks

    def orbits(self, target: Target, n: int, generator: torch.Generator) -> Weights:
        """Weights and points of `n` orbits."""
        path, step = self.path(target), float(self.steps[-1])
        x0 = torch.randn(n, target.dim, generator=generator)
        return neo_weights(path, x0, step, self.length, self.gamma, generator=generator)

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator) -> Draws:
        """One point of each of `n` orbits, weighted."""
        runs = [self.orbits(target, n, generator) for _ in range(groups)]
        x = torch.stack([self.path(target).target.unwhiten(run.state.x) for run in runs])
        return Draws(x, torch.stack([run.log_w for run in runs]), sum(run.evals for run in runs))

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """As many orbits as the budget pays for."""
        size = max(budget // (1 + 2 * self.length) // self.blocks, 1)
        found = []
        for _ in range(groups):
            # block by block: the orbits of a large budget never stand at once
            runs = [self.orbits(target, size, generator) for _ in range(self.blocks)]
            log_w = torch.stack([run.log_w for run in runs])
            found.append(one_sided(log_w, self.alpha, evals={"gradient": sum(run.evals for run in runs)}))
        return found

"""Waste-free sequential Monte Carlo as a contestant."""

from typing import Literal

import torch

from gm.densities.targets.target import Target
from gm.sampler import Draws
from gm.samplers.piloted import Piloted, check
from gm.sampling.logz import LogZ, one_sided
from gm.sampling.smc import Islands, waste_free


class SMC(Piloted):
    """Tempered particles, resampled at every temperature, all states of the chains kept.

    A replicate has `islands` independent runs. Each run's estimate of Z is unbiased, so that the lower end of log Z is
    certified; the upper one is heuristic.

    Reference: Dau and Chopin, Waste-free sequential Monte Carlo, 2022.

    Arguments:
        kernel, length, alpha: see `Piloted`.
        islands: R, independent runs in a replicate.
        particles: N in each run.
        chains: M, particles resampled at each temperature; divides N.
    """

    def __init__(
        self,
        *,
        kernel: Literal["random walk", "mala", "hmc", "mams"] = "hmc",
        length: int = 8,
        islands: int = 4,
        particles: int = 64,
        chains: int = 8,
        alpha: float = 0.05,
    ) -> None:
        super().__init__(kernel=kernel, length=length, alpha=alpha)
        check(2, islands=islands, chains=chains)
        if particles < 2 * chains or particles % chains:
            raise ValueError(f"'particles' is {particles}; expected a multiple of chains={chains}, at least twice it")
        self.islands, self.particles, self.chains = islands, particles, chains

    def temperatures(self, budget: int) -> int:
        """T such that the islands of a replicate together spend about a budget."""
        moved = (self.particles - self.chains) * self.length
        return max((budget // self.islands - self.particles) // moved + 1, 2)

    def run(self, target: Target, runs: int, particles: int, temperatures: int, generator: torch.Generator) -> Islands:
        """Independent runs in base coordinates."""
        path, (lams, steps) = self.path(target), self.schedule(temperatures)
        x0 = torch.randn(runs, particles, target.dim, generator=generator)
        return waste_free(
            path,
            lambda t: self.make(path, steps[t]),
            lams,
            x0,
            chains=particles // (self.particles // self.chains),
            generator=generator,
        )

    def sample(
        self, target: Target, n: int, *, groups: int, generator: torch.Generator, temperatures: int = 10
    ) -> Draws:
        """One run of `n` particles in each replicate, weighted."""
        runs = self.run(target, groups, n, temperatures, generator)
        return Draws(self.path(target).target.unwhiten(runs.state.x), runs.log_w, runs.evals)

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """The islands' estimates of Z, averaged in each replicate."""
        runs = self.run(target, groups * self.islands, self.particles, self.temperatures(budget), generator)
        evals = {"gradient": runs.evals // groups}
        return [one_sided(log_z[:, None], self.alpha, evals=evals) for log_z in runs.log_z.view(groups, -1)]

"""Non-reversible parallel tempering as a contestant, with three estimators of log Z on its draws."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.model import History, Log
from gm.sampler import Draws
from gm.samplers.piloted import ACCEPT, Piloted
from gm.sampling.bridge import bar, mbar, stepping_stone, thermodynamic_integration, works
from gm.sampling.logz import LogZ
from gm.sampling.tempering import parallel_tempering, tune_ladder


class ParallelTempering(Piloted):
    """Replicas of a ladder of temperatures, with swaps of neighbours in even-odd order.

    log Z comes from V = log target - log base at every rung: by multistate Bennett acceptance ratio, Bennett's ratio
    between neighbours, stepping stones, or thermodynamic integration. The rungs hold chains, not exact draws, so both
    ends are heuristic whatever the estimator.

    Reference: Syed, Bouchard-Cote, Deligiannidis and Doucet, Non-reversible parallel tempering: a scalable highly
    parallel MCMC scheme, 2022; see `gm.sampling.bridge` for the estimators.

    Arguments:
        kernel, length, alpha: see `Piloted`.
        estimator: how log Z is found.
        rungs: T, temperatures above the base.
        replicas: independent ladders in a replicate, at least 2.
        burn: share of the rounds that is left out.
    """

    family = "tempered"

    def __init__(
        self,
        *,
        kernel: Literal["random walk", "mala", "hmc", "mams"] = "hmc",
        length: int = 8,
        estimator: Literal["mbar", "bar", "stepping stone", "thermodynamic integration"] = "mbar",
        rungs: int = 15,
        replicas: int = 4,
        burn: float = 0.25,
        alpha: float = 0.05,
    ) -> None:
        super().__init__(kernel=kernel, length=length, alpha=alpha)
        self.estimator, self.rungs, self.replicas, self.burn = estimator, rungs, replicas, burn

    def fit(
        self,
        target: Target,
        *,
        generator: torch.Generator,
        log: Log,
        population: int = 512,
        rounds: int = 3,
        pilot: int = 16,
    ) -> History:
        """Fit the base as `Piloted` does, then equalise the swaps of `pilot` ladders."""
        history = super().fit(target, generator=generator, log=log, population=population, rounds=rounds)
        ladder = tune_ladder(
            self.path(target),
            partial(self._make, self.kernel),
            torch.randn(pilot, target.dim, generator=generator),
            self.rungs,
            target_accept=ACCEPT[self.kernel],
            generator=generator,
            iterations=4,
        )
        self.lams, self.steps = ladder.lams, ladder.steps
        evals = {"gradient": history.evals["gradient"] + ladder.evals}
        return History(evals=evals, facts={"barrier": ladder.barrier})

    def ladders(
        self, target: Target, count: int, rounds: int, *, keep: int = 1, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, int]:
        """Run ladders from the base: V `[count, rounds, T + 1]`, `keep` states of the last rung, and evaluations."""
        path, x = self.path(target), torch.randn(count, self.rungs + 1, target.dim, generator=generator)
        kernel, V, draws, evals = self.make(path, self.steps), [], [], 0
        for part in torch.full((rounds,), 1).tensor_split(keep):
            run = parallel_tempering(path, kernel, self.lams, x, len(part), generator=generator)
            x, evals = run.state.x, evals + run.evals
            V.append(run.V)
            draws.append(x[:, -1])
        return torch.cat(V, 1), path.target.unwhiten(torch.stack(draws, 1)), evals

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator, moves: int = 1) -> Draws:
        """Each replicate's ladders run together; `n` states of the last rung, `moves` rounds apart."""
        each = -(-n // self.replicas)
        skip = max(int(each * self.burn / (1 - self.burn)), 1)
        _, x, evals = self.ladders(
            target, groups * self.replicas, moves * (each + skip), keep=each + skip, generator=generator
        )
        x = x[:, skip:].reshape(groups, self.replicas, each, -1).transpose(1, 2).flatten(1, 2)[:, :n]
        return Draws(x, None, evals, chains=True)

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """Each replicate from its own ladders."""
        rounds = max(budget // (self.replicas * (self.rungs + 1) * self.length), 4)
        V, _, evals = self.ladders(target, groups * self.replicas, rounds, generator=generator)
        V = V[:, int(rounds * self.burn) :].unflatten(0, (groups, self.replicas))
        return [self._estimate(part, {"gradient": evals // groups}) for part in V]

    def _estimate(self, V: Tensor, evals: dict[str, int]) -> LogZ:
        if self.estimator == "bar":
            return bar(*works(V, self.lams), self.alpha, evals=evals)
        find = {"mbar": mbar, "stepping stone": stepping_stone, "thermodynamic integration": thermodynamic_integration}
        return find[self.estimator](V, self.lams, self.alpha, evals=evals)

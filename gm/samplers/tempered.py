"""Non-reversible parallel tempering as a contestant, with three estimators of log Z on its draws."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.model import History, Log
from gm.sampler import Draws
from gm.samplers.piloted import ACCEPT, Piloted, check
from gm.sampling.bridge import bar, mbar, stepping_stone, thermodynamic_integration, works
from gm.sampling.logz import LogZ
from gm.sampling.path import State
from gm.sampling.tempering import Tempered, parallel_tempering, tune_ladder


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
        check(2, replicas=replicas)
        check(rungs=rungs)
        if not 0 <= burn < 1:
            raise ValueError(f"'burn' is {burn}; expected a share in [0, 1)")
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
        self,
        target: Target,
        count: int,
        rounds: int,
        *,
        watch: Callable[[State], None] | None = None,
        generator: torch.Generator,
    ) -> Tempered:
        """Run `count` ladders from the base, without a break: swaps keep their even-odd order."""
        path, x0 = self.path(target), torch.randn(count, self.rungs + 1, target.dim, generator=generator)
        kernel = self.make(path, self.steps)
        return parallel_tempering(path, kernel, self.lams, x0, rounds, watch=watch, generator=generator)

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator, moves: int = 1) -> Draws:
        """Each replicate's ladders run together; `n` states of the last rung, `moves` rounds apart."""
        each, seen = -(-n // self.replicas), []
        skip = max(int(each * self.burn / (1 - self.burn)), 1)
        run = self.ladders(
            target,
            groups * self.replicas,
            moves * (each + skip),
            watch=lambda state: seen.append(state.x[:, -1]),
            generator=generator,
        )
        x = torch.stack(seen[moves - 1 :: moves][skip:], 1).unflatten(0, (groups, self.replicas))
        x = self.path(target).target.unwhiten(x.transpose(1, 2).flatten(1, 2)[:, :n])
        return Draws(x, None, run.evals, chains=True)

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """Each replicate from its own ladders."""
        rounds = max(budget // (self.replicas * (self.rungs + 1) * self.length), 4)
        run = self.ladders(target, groups * self.replicas, rounds, generator=generator)
        V = run.V[:, int(rounds * self.burn) :].unflatten(0, (groups, self.replicas))
        return [self._estimate(part, {"gradient": run.evals // groups}) for part in V]

    def _estimate(self, V: Tensor, evals: dict[str, int]) -> LogZ:
        if self.estimator == "bar":
            return bar(*works(V, self.lams), self.alpha, evals=evals)
        find = {"mbar": mbar, "stepping stone": stepping_stone, "thermodynamic integration": thermodynamic_integration}
        return find[self.estimator](V, self.lams, self.alpha, evals=evals)

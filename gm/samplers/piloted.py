"""What tuned samplers share: a pilot that fits a base, temperatures and steps, and then freezes them."""

from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.model import History, Log
from gm.sampler import Sampler
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Kernel
from gm.sampling.langevin import MALA, TULA, ULA, RandomWalk
from gm.sampling.logz import LogZ, one_sided
from gm.sampling.microcanonical import MAMS, MCLMC
from gm.sampling.path import Geometric
from gm.sampling.tune import tune
from gm.sampling.whiten import Whitened, explore

KNOTS = 512

# Acceptance that the pilot aims at. A kernel without a test gets the step at which its adjusted counterpart accepts
# almost always, since its bias grows with the step and nothing else bounds it.
ACCEPT = {"random walk": 0.234, "ula": 0.9, "tula": 0.9, "mala": 0.574, "hmc": 0.7, "mclmc": 0.98, "mams": 0.8}
KERNELS = {"random walk": RandomWalk, "ula": ULA, "tula": TULA, "mala": MALA, "hmc": HMC, "mclmc": MCLMC, "mams": MAMS}
ADJUSTED = {"ula": "mala", "tula": "mala", "mclmc": "mams"}
LONG = ("hmc", "mclmc", "mams")


class Piloted(Sampler):
    """A sampler with a base, a schedule of temperatures and a step at each, all from a pilot.

    The pilot first brings a population from N(0, spread^2 I) to the target and fits a normal base to it (`fitted`), or
    stays with N(0, spread^2 I) (`plain`); then `gm.sampling.tune` spaces temperatures between this base and the target.

    Arguments:
        kernel: the local moves, a name in `KERNELS`.
        length: leapfrog steps of a move by "hmc", "mclmc" or "mams".
        base: "fitted" or "plain".
        alpha: failure probability of a certified end.
    """

    family = "annealed"
    serves = ("density",)

    def __init__(
        self,
        *,
        kernel: str = "hmc",
        length: int = 8,
        base: Literal["fitted", "plain"] = "fitted",
        alpha: float = 0.05,
    ) -> None:
        super().__init__()
        if not 0 < alpha < 1:
            raise ValueError(f"'alpha' is {alpha}; expected a failure probability in (0, 1)")
        check(length=length)
        self.kernel, self.base, self.alpha = kernel, base, alpha
        self.length = length if kernel in LONG else 1
        for name in ("mean", "factor"):
            self.register_buffer(name, torch.zeros(0))
        for name in ("lams", "steps"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))

    def fit(
        self,
        target: Target,
        *,
        generator: torch.Generator,
        log: Log,
        population: int = 512,
        rounds: int = 3,
        pilot: int = 64,
    ) -> History:
        """Fit the base to `population` chains after `rounds` of moves; space temperatures with `pilot` runs."""
        d, evals = target.dim, 0
        self.plain(target)
        if self.base == "fitted":
            whitened, _, evals = explore(
                target,
                d,
                float(target.spread),
                generator=generator,
                chains=population,
                rounds=rounds,
                moves=8,
                make=partial(HMC, length=4, jitter=0.5),
            )
            self.mean, self.factor = whitened.mean, whitened.factor
        log(1, 2)
        path = self.path(target)
        kernel = ADJUSTED.get(self.kernel, self.kernel)
        found = tune(
            path,
            partial(self._make, kernel),
            torch.randn(pilot, d, generator=generator),
            KNOTS,
            target_accept=ACCEPT[self.kernel],
            generator=generator,
        )
        self.lams, self.steps = found.lams, torch.tensor(found.steps, dtype=torch.float64)
        log(2, 2)
        return History(evals={"gradient": evals + found.evals}, facts={"barrier": found.barrier})

    def plain(self, target: Target) -> None:
        """Take N(0, spread^2 I) for the base."""
        self.mean, self.factor = torch.zeros(target.dim), torch.full((target.dim,), float(target.spread))

    def path(self, target: Target) -> Geometric:
        """From the base, N(0, I) in its own coordinates, to the target."""
        return Geometric(None, Whitened(target, self.mean, self.factor))

    def make(self, path: Geometric, step: float | Tensor) -> Kernel:
        """The kernel at a step."""
        return self._make(self.kernel, path, step)

    def weigh(self, target: Target, w: Tensor) -> Tensor:
        """Log importance weights, float64 `[...]`, of draws of the base `[..., d]` in its coordinates."""
        path = self.path(target)
        state = path.init(w)
        return path.log_prob(state, 1.0) - path.log_prob(state, 0.0)

    def importance(
        self, target: Target, blocks: int, *, groups: int, budget: int, generator: torch.Generator
    ) -> list[LogZ]:
        """log Z of each replicate from as many weighted draws of the base as the budget has evaluations."""
        size, found = max(budget // blocks, 1), []
        for _ in range(groups):
            # block by block: the draws of a large budget never stand at once
            w = (torch.randn(size, target.dim, generator=generator) for _ in range(blocks))
            log_w = torch.stack([self.weigh(target, block) for block in w])
            found.append(one_sided(log_w, self.alpha, evals={"gradient": log_w.numel()}))
        return found

    def schedule(self, temperatures: int) -> tuple[Tensor, list[float]]:
        """Temperatures `[T + 1]` of equal barrier, and the step at each."""
        at = np.linspace(0, 1, temperatures + 1)
        lams = np.interp(at, np.linspace(0, 1, len(self.lams)), self.lams.numpy())
        return torch.from_numpy(lams), np.interp(lams, self.lams.numpy(), self.steps.numpy()).tolist()

    def _make(self, name: str, path: Geometric, step: float | Tensor) -> Kernel:
        return KERNELS[name](path, step, self.length) if name in LONG else KERNELS[name](path, step)


def check(least: int = 1, **counts: int) -> None:
    """Refuse numbers of things below `least`, by the name of their argument."""
    for name, count in counts.items():
        if count < least:
            raise ValueError(f"'{name}' is {count}; expected at least {least}")

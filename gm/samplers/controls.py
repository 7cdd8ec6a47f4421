"""The controls of the sampling benchmark: the base that all start from, and the exact sampler."""

from typing import Any

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.model import History, Log
from gm.sampler import Draws
from gm.samplers.annealed import AIS, GibbsAIS
from gm.samplers.piloted import Piloted, check
from gm.sampling.anneal import Weights
from gm.sampling.logz import LogZ


class Base(Piloted):
    r"""Importance sampling from the base q = N(0, spread^2 I), without a pilot: w = p(x) / q(x), E[w] = Z.

    Reference: Kahn and Marshall, Methods of reducing sample size in Monte Carlo computations, 1953.

    Arguments:
        blocks: independent blocks of draws in a replicate, the R of `gm.sampling.logz.certify`.
        alpha: failure probability of the certified lower end.
    """

    family = "control"
    serves = ("density",)

    def __init__(self, *, blocks: int = 16, alpha: float = 0.05) -> None:
        super().__init__(base="plain", alpha=alpha)
        check(2, blocks=blocks)
        self.blocks = blocks

    def fit(self, target: Target, *, generator: torch.Generator, log: Log) -> History:
        """Nothing but the base."""
        self.plain(target)
        return History()

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator) -> Draws:
        """Draws of the base with their weights."""
        path, w = self.path(target), torch.randn(groups, n, target.dim, generator=generator)
        return Draws(path.target.unwhiten(w), self.weigh(target, w), groups * n)

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """As many draws as the budget has evaluations."""
        return self.importance(target, self.blocks, groups=groups, budget=budget, generator=generator)


class Truth:
    """Exact draws of the target, also as starts of the reverse runs."""

    def sample(self, target: Target, n: int, *, groups: int, generator: torch.Generator) -> Draws:
        """Independent draws of the target."""
        return Draws(target.sample(groups * n, generator=generator).unflatten(0, (groups, n)), None, 0)

    def ends(
        self, target: Target, path: Any, forward: Weights, temperatures: int, *, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        """Exact draws, which cost no gradient."""
        groups, n = forward.log_w.shape
        x = target.sample(groups * n, generator=generator).unflatten(0, (groups, n))
        return self.enter(path, x), 0


class Exact(Truth, AIS):
    """Exact draws, and annealing from exact draws of either end: both ends of log Z are certified.

    Reference: Grosse, Ghahramani and Adams, Sandwiching the marginal likelihood using bidirectional Monte Carlo, 2015.

    Arguments: see `AIS`.
    """

    family = "control"
    serves = ("density",)
    truth = True

    def enter(self, path: Any, x: Tensor) -> Tensor:
        """The path's coordinates of points of the target."""
        return path.target.whiten(x)


class GibbsExact(Truth, GibbsAIS):
    """Exact draws of discrete units, and annealing from exact draws of either end: both ends of log Z are certified.

    Reference: Grosse, Ghahramani and Adams, Sandwiching the marginal likelihood using bidirectional Monte Carlo, 2015.

    Arguments: see `GibbsAIS`.
    """

    family = "control"
    serves = ("spins",)
    truth = True

    def enter(self, path: Any, x: Tensor) -> Tensor:
        """The points themselves."""
        return x

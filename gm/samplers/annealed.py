"""Annealed importance sampling as a contestant: a pilot fixes the schedule, then forward and reverse runs."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.model import History, Log
from gm.sampler import Draws
from gm.samplers.piloted import Piloted, check
from gm.sampling.anneal import Weights, ais
from gm.sampling.chain import run
from gm.sampling.kernels import Kernel
from gm.sampling.logz import LogZ
from gm.sampling.sandwich import sandwich


class AIS(Piloted):
    """Annealed importance sampling from a normal base, along temperatures of equal barrier.

    Half of a budget goes forward and half back, from ends of the forward runs resampled by weight and moved at the
    target: the lower end of log Z is certified, the upper one heuristic. With the moves "ula" the weights are
    Jarzynski's, which correct the bias of every move.

    Reference: Neal, Annealed importance sampling, 2001; Jarzynski, Nonequilibrium equality for free energy differences,
    1997; see `gm.sampling.sandwich` for the ends.

    Arguments:
        kernel, length, base, alpha: see `Piloted`.
        blocks: independent blocks of runs in a replicate, the R of `gm.sampling.logz.certify`.
        chains: runs averaged in a block.
    """

    family = "annealed"
    serves = ("density",)

    def __init__(
        self,
        *,
        kernel: Literal["random walk", "ula", "tula", "mala", "hmc", "mams"] = "hmc",
        length: int = 8,
        base: Literal["fitted", "plain"] = "fitted",
        blocks: int = 16,
        chains: int = 4,
        alpha: float = 0.05,
    ) -> None:
        super().__init__(kernel=kernel, length=length, base=base, alpha=alpha)
        check(2, blocks=blocks)
        check(chains=chains)
        self.blocks, self.chains = blocks, chains

    def sample(
        self, target: Target, n: int, *, groups: int, generator: torch.Generator, temperatures: int = 16
    ) -> Draws:
        """One annealed run per draw, weighted."""
        path = self.path(target)
        runs = self.anneal(target, path, self.starts(target, groups, n, generator), temperatures, generator=generator)
        return Draws(self.place(path, runs.state.x), runs.log_w, runs.evals)

    def log_z(self, target: Target, *, groups: int, budget: int, generator: torch.Generator) -> list[LogZ]:
        """Forward and reverse annealing, each for about half of the budget."""
        path, temperatures = self.path(target), self.temperatures(budget)
        x0 = self.starts(target, groups, self.blocks * self.chains, generator)
        forward = self.anneal(target, path, x0, temperatures, generator=generator)
        x1, spent = self.ends(target, path, forward, temperatures, generator=generator)
        reverse = self.anneal(target, path, x1, temperatures, reverse=True, generator=generator)
        evals = {"gradient": (forward.evals + spent + reverse.evals) // groups}
        shape = (groups, self.blocks, self.chains)
        pairs = zip(forward.log_w.view(shape), reverse.log_w.view(shape), strict=True)
        return [sandwich(f, r, self.alpha, exact=self.truth, evals=evals) for f, r in pairs]

    def temperatures(self, budget: int) -> int:
        """T whose forward and reverse runs, T / 10 moves at the target between them, spend about the budget."""
        moves = (budget / (self.blocks * self.chains) - 2) / self.length
        return max(int((moves + 2) / 2.1), 2)

    def anneal(
        self,
        target: Target,
        path: Any,
        x0: Tensor,
        temperatures: int,
        *,
        reverse: bool = False,
        generator: torch.Generator,
    ) -> Weights:
        """Annealed runs from `x0`, `[groups, n, d]`."""
        lams, kernel_at = self.kernels(target, path, temperatures)
        return ais(path, kernel_at, lams, x0, generator=generator, reverse=reverse)

    def kernels(self, target: Target, path: Any, temperatures: int) -> tuple[Tensor, Callable[[int], Kernel]]:
        """Temperatures `[T + 1]`, and the frozen kernel at each."""
        lams, steps = self.schedule(temperatures)
        return lams, lambda t: self.make(path, steps[t])

    def starts(self, target: Target, groups: int, n: int, generator: torch.Generator) -> Tensor:
        """Exact draws of the base, `[groups, n, d]`, in the path's coordinates."""
        return torch.randn(groups, n, target.dim, generator=generator)

    def place(self, path: Any, x: Tensor) -> Tensor:
        """The target's own coordinates of points of the path."""
        return path.target.unwhiten(x)

    def ends(
        self, target: Target, path: Any, forward: Weights, temperatures: int, *, generator: torch.Generator
    ) -> tuple[Tensor, int]:
        """Starts of the reverse runs `[groups, n, d]`, and their cost: forward ends, resampled in each replicate."""
        keep = torch.multinomial(forward.log_w.softmax(-1), forward.log_w.shape[-1], True, generator=generator)
        state = path.init(forward.state.x.take_along_dim(keep[..., None], 1))
        kernel = self.kernels(target, path, temperatures)[1](temperatures)
        state, info = run(kernel, state, max(temperatures // 10, 1), generator=generator)
        return state.x, keep.numel() + info.evals


class GibbsAIS(AIS):
    """Annealed importance sampling of discrete units, from independent ones, with exact block Gibbs sweeps.

    There is nothing to tune: one sweep at each of evenly spaced temperatures. A sweep counts as one evaluation.

    Reference: Salakhutdinov and Murray, On the quantitative analysis of deep belief networks, 2008.

    Arguments:
        blocks, chains, alpha: see `AIS`.
    """

    family = "annealed"
    serves = ("spins",)

    def __init__(self, *, blocks: int = 16, chains: int = 4, alpha: float = 0.05) -> None:
        super().__init__(kernel="random walk", base="plain", blocks=blocks, chains=chains, alpha=alpha)

    def fit(self, target: Target, *, generator: torch.Generator, log: Log) -> History:
        """Nothing."""
        return History()

    def path(self, target: Target) -> Any:
        """From independent units to the target."""
        return target.path()

    def kernels(self, target: Target, path: Any, temperatures: int) -> tuple[Tensor, Callable[[int], Kernel]]:
        """Even temperatures, and the target's own sweep."""
        return torch.linspace(0, 1, temperatures + 1, dtype=torch.float64), lambda _: target.kernel(path)

    def starts(self, target: Target, groups: int, n: int, generator: torch.Generator) -> Tensor:
        """Independent units, `[groups, n, d]`."""
        return target.draw_base(groups * n, generator=generator).unflatten(0, (groups, n))

    def place(self, path: Any, x: Tensor) -> Tensor:
        """The points themselves."""
        return x

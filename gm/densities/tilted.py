"""Tilted densities: q0 times exp(-f), the one object behind energy-based and maximum-entropy models."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from gm.densities.copula import Copula, blockwise
from gm.sampling.anneal import ais
from gm.sampling.chain import run
from gm.sampling.hamiltonian import HMC
from gm.sampling.langevin import MALA
from gm.sampling.logz import LogZ
from gm.sampling.path import Geometric
from gm.sampling.sandwich import normaliser
from gm.sampling.smc import systematic, waste_free
from gm.sampling.tune import tune

ROWS = 1024  # evaluated at once


class Tilted(nn.Module):
    """The density p(y) = q0(y) exp(-f(w(y))) / Z on [0, levels)^D, in nats

        log p(y) = log q0(y) - f(w(y)) - log Z,    Z = E_{w ~ N(0, I)} exp(-f(w)),

    with q0 a Gaussian copula and w its whitened coordinates, in which q0 is N(0, I): chains, annealing and Z live
    there. Z is finite if -f grows at most linearly (a smooth network with one-sided linear activations, a linear
    function of bounded or linearly growing features), since a Gaussian has every exponential moment.

    Kinds. Annealing starts from exact draws of q0, so its weights average to Z and `log_z`'s lower end is
    *certified*, by Markov's inequality over independent groups (`gm.sampling.logz.certify`): the upper end of
    log p is certified. No exact draw of p is to be had, so the reverse runs, and with them the upper end of
    log Z and the lower end of log p, are *heuristic*, whatever the diagnostics say.

    References: J. Xie, Y. Lu, S.-C. Zhu and Y. N. Wu, "A theory of generative ConvNet" (2016); R. M. Neal, "Annealed
    importance sampling" (2001); R. Grosse, S. Ancha and D. Roy, "Measuring the reliability of MCMC inference with
    bidirectional Monte Carlo" (2016).

    Arguments:
        reference: q0.
        tilt: f, a module from w `[B, D]` (float32) to `[B]`; the value of a row depends on that row alone.

    Example:
        >>> tilted = Tilted(Copula((1, 1, 2), 3), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)))
        >>> tilted.log_unnormalised(torch.full((4, 1, 1, 2), 0.5)).shape
        torch.Size([4])
    """

    def __init__(self, reference: Copula, tilt: nn.Module) -> None:
        super().__init__()
        self.reference, self.tilt = reference, tilt

    def energy(self, y: Tensor) -> Tensor:
        """f(w(y)) in nats, float64 `[B]`, for rows `[B, *shape]`: minus the log ratio to q0, up to log Z."""
        with torch.no_grad():
            return blockwise(self.tilt, self.reference.whiten(y).float(), ROWS).double()

    def score_norm(self, y: Tensor) -> Tensor:
        """|grad_w log p| = |w + grad f(w)|, float64 `[B]`, at w(y), for rows `[B, *shape]`: Fisher's score in w."""
        path = self.path()

        def norm(w: Tensor) -> Tensor:
            return path.gradient(path.init(w), 1.0).double().norm(dim=1)

        return blockwise(norm, self.reference.whiten(y).float(), ROWS)

    def log_unnormalised(self, y: Tensor) -> Tensor:
        """log q0(y) - f(w(y)) in nats, float64 `[B]`, for rows `[B, *shape]` in [0, levels)."""
        return self.reference.log_prob(y) - self.energy(y)

    def path(self) -> Geometric:
        """From N(0, I) at 0 to N(0, I) exp(-f) at 1, in w `[..., D]`."""
        return Geometric.tilted(lambda w: self.tilt(w.flatten(0, -2)).unflatten(0, w.shape[:-1]))

    def draw_base(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws of q0 in w, float32 `[n, D]`."""
        w = torch.randn(n, self.reference.dim, generator=generator, device=generator.device)
        return w.to(self.reference.factor.device)

    def anneal(
        self,
        n: int,
        *,
        temperatures: int = 200,
        excess: int = 4,
        moves: int = 200,
        resample: Literal["end", "path"] = "end",
        generator: torch.Generator,
        log: Callable[[int, int], None] | None = None,
    ) -> tuple[Tensor, dict[str, int]]:
        """Approximate draws of p in w: anneal draws of q0, resample `n` by weight, move them at p.

        Either `excess * n` chains keep their weights to the `end` (annealed importance sampling), of which few weigh
        anything if log w varies by many nats; or weights act at every temperature of the `path`, where each of `n`
        resampled chains moves `excess` times and all the states are kept (`gm.sampling.smc.waste_free`). Both cost
        `excess * n` gradients a temperature.

        Reference: as above, and N. Gordon, D. Salmond and A. Smith, "Novel approach to nonlinear/non-Gaussian
        Bayesian state estimation" (1993) for the resampling step.

        Arguments:
            n: number of draws.
            temperatures: T of the annealing.
            excess: annealed chains, or moves at every temperature, for each draw; the more, the fewer draws share an
                ancestor.
            moves: Metropolis-adjusted Langevin moves at p after resampling.
            resample: where weights act, "end" or "path".
            generator: source of all noise.
            log: called with (step, total) during the annealing.

        Returns:
            Draws, float32 `[n, D]`, and the counted evaluations.

        Raises:
            FloatingPointError: if a weight is not finite.
            ValueError: if `resample` is another word.
        """
        if resample not in ("end", "path"):
            raise ValueError(f"'resample' is {resample!r}; expected 'end' or 'path'")
        path = self.path()
        pilot = self.draw_base(64, generator=generator)
        plan = tune(path, MALA, pilot, temperatures, target_accept=0.574, generator=generator)

        def kernel_at(t: int) -> MALA:
            return MALA(path, plan.steps[t])

        if resample == "end":
            base = self.draw_base(excess * n, generator=generator)
            runs = ais(path, kernel_at, plan.lams, base, generator=generator, log=log)
            log_w, x = runs.log_w, runs.state.x
        else:
            chains = max(n, 2)
            base = self.draw_base((1 + excess) * chains, generator=generator)[None]
            runs = waste_free(path, kernel_at, plan.lams, base, chains=chains, generator=generator, log=log)
            log_w, x = runs.log_w[0], runs.state.x[0]
        keep = systematic(log_w[None], n, generator=generator)[0]
        if resample == "path":  # the states of a chain lie side by side
            keep = keep[torch.randperm(n, generator=generator, device=generator.device).to(keep.device)]
        kernel, state = MALA(path, plan.steps[-1]), path.init(x[keep])
        state, info = run(kernel, state, moves, generator=generator)
        return state.x, {"gradient": plan.evals + runs.evals + n + info.evals}

    def log_z(
        self,
        starts: Tensor | None = None,
        *,
        chains: int = 256,
        temperatures: int = 280,
        alpha: float = 0.05,
        generator: torch.Generator,
        log: Callable[[int, int], None] | None = None,
    ) -> LogZ:
        """log Z by annealing from q0, lower end certified, upper end heuristic (see the class).

        Transitions are Hamiltonian, of two leapfrog steps.

        Arguments:
            starts: where reverse runs start, w `[n, D]`, from the model's own long chains; None: the forward ends.
            chains: n in each direction, which a pilot splits into groups (`gm.sampling.groups.split`).
            temperatures: T.
            alpha: failure probability of the certified end.
            generator: source of all noise.
            log: called with (step, total).

        Returns:
            The interval (`gm.sampling.logz.LogZ`), nats.

        Raises:
            FloatingPointError: if a weight is not finite.
        """
        pilot = 64
        return normaliser(
            self.path(),
            self.draw_base(chains + pilot, generator=generator),
            starts,
            temperatures=temperatures,
            alpha=alpha,
            generator=generator,
            pilot=pilot,
            make=partial(HMC, length=2),
            target_accept=0.7,
            log=log,
        )

"""Non-reversible parallel tempering: a ladder of temperatures as a batch axis, with deterministic even-odd swaps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from gm.sampling.anneal import increasing
from gm.sampling.kernels import Kernel
from gm.sampling.path import Geometric, State
from gm.sampling.tune import tune


class Tempered(NamedTuple):
    """A run of R independent replicas of a ladder of T + 1 rungs.

    Attributes:
        V: log target - log base at every rung, after each round's move and before its swap, float64
            `[R, rounds, T + 1]`, in nats.
        state: where the ladders ended, `[R, T + 1]` rows.
        swap: mean swap probability of each pair of neighbours, over all rounds, `[T]`.
        accept: mean acceptance probability of the moves at each rung, `[T + 1]`.
        trips: round trips from the base to the target and back to the base, summed over walkers, long `[R]`.
        evals: gradient evaluations, each row counted; swaps cost none.
        divergent: proposals that were not finite, rejected.
    """

    V: Tensor
    state: State
    swap: Tensor
    accept: Tensor
    trips: Tensor
    evals: int
    divergent: int


@dataclass(frozen=True)
class Ladder:
    """What a pilot leaves, frozen.

    Attributes:
        lams: temperatures from 0 to 1, float64, shape `[T + 1]`.
        steps: step size at each, float64, shape `[T + 1]`.
        barrier: communication barrier, the sum of the rejection probabilities of all swaps; the best possible rate
            of round trips is 1 / (2 + 2 barrier) per round.
        x: where the pilot's chains ended, `[R, T + 1, d]`.
        evals: gradient evaluations spent, each row counted.
    """

    lams: Tensor
    steps: Tensor
    barrier: float
    x: Tensor
    evals: int


def parallel_tempering(
    path: Geometric,
    kernel: Kernel,
    lams: Tensor,
    x0: Tensor,
    rounds: int,
    *,
    generator: torch.Generator,
    watch: Callable[[State], None] | None = None,
    log: Callable[[int, int], None] | None = None,
) -> Tempered:
    r"""Alternate one move of every rung with swaps of the pairs (t, t + 1), t even in even rounds and odd in odd ones:

        P(swap x_t and x_{t+1}) = min(1, exp((lam_{t+1} - lam_t) (V(x_t) - V(x_{t+1})))),   V = log p - log q.

    The product of the laws pi_{lam_0}, ..., pi_{lam_T} is invariant. With this order a walker keeps its direction until
    a swap is rejected, so that a finer ladder does not slow it down, as it does when the pairs are drawn at random.
    Replicas share nothing but the generator.

    Reference: Syed, Bouchard-Cote, Deligiannidis and Doucet, Non-reversible parallel tempering: a scalable highly
    parallel MCMC scheme, 2022; Geyer, Markov chain Monte Carlo maximum likelihood, 1991; Okabe, Kawata, Okamoto and
    Mikami, Replica-exchange Monte Carlo method for the isobaric-isothermal ensemble, 2001 (the even-odd order).

    Arguments:
        path: anything with `init(x)` and `log_prob(state, lam)`, whose states are named tuples of tensors with leading
            axes `[R, T + 1]`.
        kernel: a frozen kernel for all rungs at once; its step may be a tensor `[T + 1]`.
        lams: temperatures, increasing from 0 to 1, shape `[T + 1]`.
        x0: starts, `[R, T + 1, d]`.
        rounds: number of rounds.
        generator: source of the noise of moves and swaps.
        watch: called with the states after every round's swaps.
        log: called with (round, rounds) after every round.

    Returns:
        The run.

    Raises:
        ValueError: if `lams` does not increase from 0 to 1, `x0` has another number of rungs, `rounds` is less than 1,
            or the kernel does not leave each temperature invariant.

    Example:
        >>> from gm.sampling.langevin import MALA
        >>> path, lams = Geometric.tilted(lambda x: -x.sum(-1)), torch.linspace(0, 1, 4)
        >>> g = torch.Generator().manual_seed(0)
        >>> run = parallel_tempering(path, MALA(path, 1.0), lams, torch.zeros(8, 4, 2), 20, generator=g)
        >>> tuple(run.V.shape), run.evals
        ((8, 20, 4), 672)
    """
    lams = torch.as_tensor(lams, dtype=torch.float64)
    levels = increasing(lams)
    if x0.ndim < 3 or x0.shape[1] != len(levels):
        raise ValueError(f"starts have shape {tuple(x0.shape)}; expected [replicas, {len(levels)} temperatures, d]")
    if rounds < 1:
        raise ValueError(f"parallel tempering was asked for rounds={rounds}; expected at least 1")
    if not kernel.invariant:
        raise ValueError(
            f"{type(kernel).__name__} says invariant=False, so swaps would not leave the ladder's law invariant; "
            "expected a kernel that leaves each temperature invariant, such as MALA, HMC or an exact Gibbs sweep"
        )
    lams = lams.to(x0.device)
    state, evals, divergent = path.init(x0), x0.shape[0] * len(levels), 0
    pair = torch.arange(len(levels) - 1, device=x0.device)
    V, swap, accept = [], 0.0, 0.0
    # 0: the walker has not yet been at the base; 1: it comes from the base; 2: from the target, after the base
    phase = torch.zeros(x0.shape[:2], dtype=torch.long, device=x0.device)
    trips = torch.zeros(len(x0), dtype=torch.long, device=x0.device)
    phase[:, 0] = 1
    for n in range(rounds):
        state, info = kernel(state, lams, kernel.noise(state, generator=generator))
        evals, divergent, accept = evals + info.evals, divergent + info.divergent, accept + info.accept.mean(0)
        V.append(path.log_prob(state, 1.0) - path.log_prob(state, 0.0))
        probability = swap_probability(V[-1], lams)
        v = torch.rand(probability.shape, generator=generator, dtype=torch.float64, device=generator.device)
        order = exchange((v.to(x0.device) < probability) & (pair % 2 == n % 2))
        state = state._make(_permute(leaf, order) for leaf in state)
        phase = _permute(phase, order)
        trips += phase[:, 0] == 2
        phase[:, 0] = 1
        phase[:, -1] = phase[:, -1].clamp(max=1) * 2
        swap = swap + probability.mean(0)
        if watch is not None:
            watch(state)
        if log is not None:
            log(n + 1, rounds)
    return Tempered(torch.stack(V, 1), state, swap / rounds, accept / rounds, trips, evals, divergent)


def swap_probability(V: Tensor, lams: Tensor) -> Tensor:
    """Probability of each swap of neighbours, zero where V is not finite.

    Arguments:
        V: log target - log base at each rung, `[..., T + 1]`.
        lams: temperatures `[T + 1]`.

    Returns:
        Probabilities `[..., T]`.

    Example:
        >>> round(float(swap_probability(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]))), 4)
        0.3679
    """
    log_ratio = lams.diff() * (V[..., :-1] - V[..., 1:])
    return torch.where(torch.isfinite(log_ratio), log_ratio.clamp(max=0).exp(), 0.0)


def exchange(accepted: Tensor) -> Tensor:
    """The permutation that swaps rungs t and t + 1 where `accepted[..., t]`; no rung is in two pairs.

    Example:
        >>> exchange(torch.tensor([True, False, False])).tolist()
        [1, 0, 2, 3]
    """
    n = accepted.shape[-1] + 1
    moves = accepted.long()
    up, down = torch.nn.functional.pad(moves, (0, 1)), torch.nn.functional.pad(moves, (1, 0))
    return torch.arange(n, device=accepted.device) + up - down


def _permute(leaf: Tensor, order: Tensor) -> Tensor:
    return leaf.take_along_dim(order.reshape(*order.shape, *[1] * (leaf.ndim - 2)), 1)


def tune_ladder(
    path: Geometric,
    make: Callable[[Geometric, float | Tensor], Kernel],
    x0: Tensor,
    temperatures: int,
    *,
    target_accept: float,
    generator: torch.Generator,
    iterations: int = 6,
) -> Ladder:
    r"""Space a ladder so that all swaps are rejected equally often, and fit the steps, on a pilot.

    From the ladder of `tune`, pilot runs of 16, 32, 64, ... rounds measure the rejection probabilities r_t;
    :math:`\Lambda(\lambda_t) = \sum_{s<t} r_s` is interpolated monotonically, and the next ladder divides it into equal
    parts, which maximises the rate of round trips. Each rung's step follows log h <- log h + mean acceptance - target.

    The estimate must share no noise with the pilot.

    Reference: Syed, Bouchard-Cote, Deligiannidis and Doucet, Non-reversible parallel tempering: a scalable highly
    parallel MCMC scheme, 2022.

    Arguments:
        path: a `Geometric` path.
        make: builds a kernel from the path and a step, a number or a tensor `[T + 1]`: `MALA`, or
            `partial(HMC, length=10)`.
        x0: draws of the base for the pilot alone, shape `[R, d]`; R is the number of replicas.
        temperatures: T.
        target_accept: mean acceptance to aim at: 0.574 for MALA, about 0.7 for HMC.
        generator: the pilot's own stream.
        iterations: number of pilot runs; the last one measures the barrier.

    Returns:
        The frozen ladder.

    Raises:
        FloatingPointError: if V is not finite at some pilot state.
    """
    plan = tune(path, make, x0, temperatures, target_accept=target_accept, generator=generator)
    lams, log_h, evals = plan.lams.numpy(), np.log(np.array([float(h) for h in plan.steps])), plan.evals
    x = x0[:, None].expand(-1, temperatures + 1, *x0.shape[1:])
    for k in range(iterations):
        kernel = make(path, torch.from_numpy(np.exp(log_h)).to(x0.device))
        run = parallel_tempering(path, kernel, torch.from_numpy(lams), x, 16 * 2**k, generator=generator)
        x, evals = run.state.x, evals + run.evals
        reject = 1 - run.swap.cpu().numpy()
        log_h = log_h + run.accept.double().cpu().numpy() - target_accept
        # a hundredth of the mean everywhere, so that a pair that is never rejected still has a place
        total = np.concatenate([[0.0], np.cumsum(reject + 0.01 * reject.mean() + 1e-12)])
        spaced = PchipInterpolator(total, lams)(np.linspace(0, total[-1], temperatures + 1))
        spaced[0], spaced[-1] = 0.0, 1.0
        log_h = np.interp(spaced, lams, log_h)
        lams = spaced
    return Ladder(torch.from_numpy(lams), torch.from_numpy(np.exp(log_h)), float(reject.sum()), x, evals)

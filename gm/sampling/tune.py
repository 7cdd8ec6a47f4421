"""A pilot that chooses step sizes and temperatures, which are then frozen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gm.sampling.kernels import Kernel
from gm.sampling.path import Geometric, State

Make = Callable[[Geometric, float], Kernel]


@dataclass(frozen=True)
class Schedule:
    """What a pilot leaves.

    Attributes:
        lams: temperatures from 0 to 1, float64, shape `[T + 1]`.
        steps: step size at each, shape `[T + 1]`.
        barrier: int_0^1 sd_lam(V) dlam with V = log target - log base; AIS wants T well above its square.
        evals: gradient evaluations spent, each row counted.
        scales: the diagonal metric at each, shape `[T + 1, d]`; None if none was asked for.
    """

    lams: Tensor
    steps: tuple[float, ...]
    barrier: float
    evals: int
    scales: Tensor | None = None


def tune(
    path: Geometric,
    make: Make,
    x0: Tensor,
    temperatures: int,
    *,
    target_accept: float,
    generator: torch.Generator,
    levels: int = 40,
    moves: int = 16,
    metric: bool = False,
) -> Schedule:
    r"""Anneal a pilot batch; fit each level's step to an acceptance, and space temperatures by equal barrier.

    At each level the step follows log h <- log h + k^-0.6 (mean acceptance - target). Levels are about 1 /
    sd(V) apart. The frozen temperatures then divide Lambda(lam) = int_0^lam sd(V) dlam' into equal parts,
    which minimises the gap between forward and reverse annealing under perfect moves; steps are interpolated
    between the levels. A metric is the standard deviation per coordinate across the batch, `shrunk_scale`, after as
    many moves more at each level.

    The estimate must share neither starts nor noise with the pilot.

    Reference: Robbins and Monro, A stochastic approximation method, 1951; Gelman and Meng, Simulating
    normalizing constants, 1998 (the optimal path density is proportional to the standard deviation of V).

    Arguments:
        path: a `Geometric` path.
        make: builds a kernel from the path and a step: `MALA`, or `partial(HMC, length=10)`; with a metric it is
            called with the keyword `scale` as well.
        x0: draws of the base for the pilot alone, shape `[P, d]`.
        temperatures: T.
        target_accept: mean acceptance to aim at: 0.574 for MALA, about 0.7 for HMC.
        generator: the pilot's own stream.
        levels: pilot temperatures, at most.
        moves: transitions at each (four times as many at the base).
        metric: fit a diagonal metric too.

    Returns:
        The frozen schedule.

    Raises:
        FloatingPointError: if V is not finite at some pilot state.
    """
    rungs, _, evals = climb(path, make, x0, target_accept, generator, levels, moves, metric)
    knots = np.array([rung.lam for rung in rungs])
    lams, barrier = _equal_barrier(knots, np.array([rung.sd for rung in rungs]), temperatures)
    steps = np.exp(np.interp(lams, knots, [rung.log_h for rung in rungs]))
    scales = None
    if metric:
        logs = torch.stack([rung.scale for rung in rungs]).log().cpu().numpy()
        columns = [np.exp(np.interp(lams, knots, column)) for column in logs.T]
        scales = torch.from_numpy(np.stack(columns, -1)).to(x0)
    return Schedule(torch.from_numpy(lams), tuple(steps.tolist()), barrier, evals, scales)


class Rung(NamedTuple):
    lam: float
    sd: float
    log_h: float
    scale: Tensor | None


def climb(
    path: Geometric,
    make: Make,
    x0: Tensor,
    target_accept: float,
    generator: torch.Generator,
    levels: int = 40,
    moves: int = 16,
    metric: bool = False,
) -> tuple[list[Rung], State, int]:
    """Move a batch from the base to the target by levels about 1 / sd(V) apart: the levels, the end, evaluations."""
    state = path.init(x0)
    lam, log_h, evals = 0.0, first_log_step(x0), len(x0)
    rungs: list[Rung] = []
    while True:
        scale, fixed = None, make
        if metric:
            before = partial(make, scale=shrunk_scale(state.x))
            state, log_h, _, spent = settle(path, before, state, lam, log_h, moves, target_accept, generator)
            scale, evals = shrunk_scale(state.x), evals + spent
            fixed = partial(make, scale=scale)
        state, log_h, values, spent = settle(
            path, fixed, state, lam, log_h, moves if rungs else 4 * moves, target_accept, generator
        )
        evals += spent
        sd = float(values.std())
        if not math.isfinite(sd):
            raise FloatingPointError(f"log target - log base is not finite in the pilot at temperature {lam:.4g}")
        rungs.append(Rung(lam, sd, log_h, scale))
        if lam == 1.0:
            return rungs, state, evals
        remaining = max(levels - len(rungs), 1)
        gap = max(min(1 / max(sd, 1e-12), 1 / 8), (1 - lam) / remaining)
        lam = 1.0 if lam + gap > 1 - 1e-9 else lam + gap


class Length(NamedTuple):
    """A trajectory's length, its step, the criterion per gradient of each length tried, and evaluations spent."""

    length: int
    step: float
    jumps: tuple[float, ...]
    evals: int


def choose_length(
    path: Geometric,
    make: Callable[[Geometric, float, int], Kernel],
    state: State,
    lengths: Sequence[int],
    *,
    target_accept: float,
    generator: torch.Generator,
    moves: int = 16,
    lam: float = 1.0,
) -> Length:
    r"""Choose among trajectory lengths by the expected squared jump of the squared radius per gradient,

        mean over chains of (|x' - m|^2 - |x - m|^2)^2 / (4 length),

    each length at the step of its own acceptance. A jump of |x - m|^2 is blind to a turn round m that a jump of x
    would reward, and the widest directions dominate it. m is the mean over the chains.

    Reference: Hoffman, Radul and Sountsov, An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian
    Monte Carlo, 2021 (the jump); division by the gradients spent is what compares lengths here.

    Arguments:
        path: a `Geometric` path.
        make: builds a kernel from the path, a step and a length: `HMC`.
        state: a pilot population at `lam`, rows `[n]`.
        lengths: candidates.
        target_accept: mean acceptance to aim at.
        generator: the pilot's own stream.
        moves: transitions that fit the step of each candidate; as many again measure its jumps.
        lam: temperature.

    Returns:
        The choice.

    Raises:
        ValueError: if there is no candidate.
    """
    if not lengths:
        raise ValueError(f"lengths are {tuple(lengths)}; expected at least one number of leapfrog steps")
    steps, jumps, evals, log_h = [], [], 0, first_log_step(state.x)
    for length in lengths:
        fixed = partial(_of_length, make, length)
        moved, log_h, _, spent = settle(path, fixed, state, lam, log_h, moves, target_accept, generator)
        kernel, jump, evals = make(path, math.exp(log_h), length), 0.0, evals + spent
        for _ in range(moves):
            before = _radius(moved.x)
            moved, info = kernel(moved, lam, kernel.noise(moved, generator=generator))
            jump, evals = jump + float((_radius(moved.x) - before).square().mean()), evals + info.evals
        steps.append(math.exp(log_h))
        jumps.append(jump / (4 * moves * length))
    best = int(np.argmax(jumps))
    return Length(lengths[best], steps[best], tuple(jumps), evals)


def _of_length(make: Callable[[Geometric, float, int], Kernel], length: int, path: Geometric, step: float) -> Kernel:
    return make(path, step, length)


def _radius(x: Tensor) -> Tensor:
    return (x - x.mean(0)).double().square().sum(-1)


def first_log_step(x: Tensor) -> float:
    """Where the search for a step starts: MALA's optimum for N(0, I), log 1.65 - log(d) / 6."""
    return math.log(1.65) - math.log(x.shape[-1]) / 6


def shrunk_scale(x: Tensor) -> Tensor:
    """Standard deviation per coordinate over n rows, `[d]`; log variances shrink to their mean by n / (n + 5).

    A mean of logs, because widths may differ by orders of magnitude and the narrowest must not be overstated.

    Example:
        >>> [round(s, 4) for s in shrunk_scale(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])).tolist()]
        [1.8114, 2.2082]
    """
    n, log_variance = len(x), x.double().var(0).log()
    return ((n * log_variance + 5 * log_variance.mean()) / (n + 5) / 2).exp().to(x.dtype)


def settle(
    path: Geometric,
    make: Make,
    state: State,
    lam: float,
    log_h: float,
    moves: int,
    target_accept: float,
    generator: torch.Generator,
) -> tuple[State, float, Tensor, int]:
    """Adapt a step while moving: the state, the mean log step and V over the second half, and the evaluations."""
    trace, values, evals = [], [], 0
    for k in range(1, moves + 1):
        kernel = make(path, math.exp(log_h))
        state, info = kernel(state, lam, kernel.noise(state, generator=generator))
        evals += info.evals
        log_h += k**-0.6 * (float(info.accept.mean()) - target_accept)
        trace.append(log_h)
        values.append(path.log_prob(state, 1.0) - path.log_prob(state, 0.0))
    half = moves // 2
    return state, float(np.mean(trace[half:])), torch.stack(values[half:]), evals


def _equal_barrier(knots: np.ndarray, sd: np.ndarray, temperatures: int) -> tuple[np.ndarray, float]:
    width = np.diff(knots)
    barrier = float((width * (sd[1:] + sd[:-1]) / 2).sum())
    # a tenth of the mean everywhere, so that no stretch is left bare where the pilot saw no variance
    density = sd + 0.1 * barrier + 1e-12
    total = np.concatenate([[0.0], np.cumsum(width * (density[1:] + density[:-1]) / 2)])
    lams = np.interp(np.linspace(0, total[-1], temperatures + 1), total, knots)
    lams[0], lams[-1] = 0.0, 1.0
    return lams, barrier

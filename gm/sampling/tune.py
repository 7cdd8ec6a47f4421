"""A pilot that chooses step sizes and temperatures, which are then frozen."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gm.sampling.kernels import Kernel
from gm.sampling.path import Geometric


@dataclass(frozen=True)
class Schedule:
    """What a pilot leaves.

    Attributes:
        lams: temperatures from 0 to 1, float64, shape `[T + 1]`.
        steps: step size at each, shape `[T + 1]`.
        barrier: int_0^1 sd_lam(V) dlam with V = log target - log base; AIS wants T well above its square.
        evals: gradient evaluations spent, each row counted.
    """

    lams: Tensor
    steps: tuple[float, ...]
    barrier: float
    evals: int


def tune(
    path: Geometric,
    make: Callable[[Geometric, float], Kernel],
    x0: Tensor,
    temperatures: int,
    *,
    target_accept: float,
    generator: torch.Generator,
    levels: int = 40,
    moves: int = 16,
) -> Schedule:
    r"""Anneal a pilot batch; fit each level's step to an acceptance, and space temperatures by equal barrier.

    At each level the step follows log h <- log h + k^-0.6 (mean acceptance - target). Levels are about 1 /
    sd(V) apart. The frozen temperatures then divide Lambda(lam) = int_0^lam sd(V) dlam' into equal parts,
    which minimises the gap between forward and reverse annealing under perfect moves; steps are interpolated
    between the levels.

    The estimate must share neither starts nor noise with the pilot.

    Reference: Robbins and Monro, A stochastic approximation method, 1951; Gelman and Meng, Simulating
    normalizing constants, 1998 (the optimal path density is proportional to the standard deviation of V).

    Arguments:
        path: a `Geometric` path.
        make: builds a kernel from the path and a step: `MALA`, or `partial(HMC, length=10)`.
        x0: draws of the base for the pilot alone, shape `[P, d]`.
        temperatures: T.
        target_accept: mean acceptance to aim at: 0.574 for MALA, about 0.7 for HMC.
        generator: the pilot's own stream.
        levels: pilot temperatures, at most.
        moves: transitions at each (four times as many at the base).

    Returns:
        The frozen schedule.

    Raises:
        FloatingPointError: if V is not finite at some pilot state.
    """
    state = path.init(x0)
    lam, log_h, evals = 0.0, math.log(1.65) - math.log(x0.shape[-1]) / 6, len(x0)
    knots, spread, log_steps = [], [], []
    while True:
        n = moves if knots else 4 * moves
        trace, values = [], []
        for k in range(1, n + 1):
            kernel = make(path, math.exp(log_h))
            state, info = kernel(state, lam, kernel.noise(state, generator=generator))
            evals += info.evals
            log_h += k**-0.6 * (float(info.accept.mean()) - target_accept)
            trace.append(log_h)
            values.append(path.log_prob(state, 1.0) - path.log_prob(state, 0.0))
        log_h = float(np.mean(trace[n // 2 :]))
        sd = float(torch.stack(values[n // 2 :]).std())
        if not math.isfinite(sd):
            raise FloatingPointError(f"log target - log base is not finite in the pilot at temperature {lam:.4g}")
        knots, spread, log_steps = [*knots, lam], [*spread, sd], [*log_steps, log_h]
        if lam == 1.0:
            break
        remaining = max(levels - len(knots), 1)
        gap = max(min(1 / max(sd, 1e-12), 1 / 8), (1 - lam) / remaining)
        lam = 1.0 if lam + gap > 1 - 1e-9 else lam + gap
    lams, barrier = _equal_barrier(np.array(knots), np.array(spread), temperatures)
    steps = np.exp(np.interp(lams, knots, log_steps))
    return Schedule(torch.from_numpy(lams), tuple(steps.tolist()), barrier, evals)


def _equal_barrier(knots: np.ndarray, sd: np.ndarray, temperatures: int) -> tuple[np.ndarray, float]:
    width = np.diff(knots)
    barrier = float((width * (sd[1:] + sd[:-1]) / 2).sum())
    # a tenth of the mean everywhere, so that no stretch is left bare where the pilot saw no variance
    density = sd + 0.1 * barrier + 1e-12
    total = np.concatenate([[0.0], np.cumsum(width * (density[1:] + density[:-1]) / 2)])
    lams = np.interp(np.linspace(0, total[-1], temperatures + 1), total, knots)
    lams[0], lams[-1] = 0.0, 1.0
    return lams, barrier

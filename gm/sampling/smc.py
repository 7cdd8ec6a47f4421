"""Waste-free sequential Monte Carlo along a path, with frozen kernels and temperatures."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from gm.sampling.anneal import finite, increasing
from gm.sampling.kernels import Kernel
from gm.sampling.logz import effective_size, log_mean
from gm.sampling.path import Geometric, State
from gm.sampling.tune import Make, Schedule, first_log_step, settle


class Islands(NamedTuple):
    """R independent runs of N particles each.

    Attributes:
        log_z: log of the estimate of Z / Z_0, float64, shape `[R]`, in nats.
        se: standard error of each `log_z`, estimated from its own run, shape `[R]`.
        state: the particles, `[R, N]` rows; weighted by `log_w` they stand for the last temperature.
        log_w: log weights of the last step, float64, shape `[R, N]`.
        ess: effective size of each of the T weightings, a fraction in (0, 1], mean over islands.
        accept: mean acceptance probability at each of the `T - 1` temperatures where particles moved.
        evals: gradient evaluations, each row counted.
        divergent: proposals that were not finite, rejected.
    """

    log_z: Tensor
    se: Tensor
    state: State
    log_w: Tensor
    ess: list[float]
    accept: list[float]
    evals: int
    divergent: int


def waste_free(
    path: Geometric,
    kernel_at: Callable[[int], Kernel],
    lams: Tensor,
    x0: Tensor,
    *,
    chains: int,
    generator: torch.Generator,
    log: Callable[[int, int], None] | None = None,
) -> Islands:
    r"""Weigh, resample M of N = M P particles, move each P - 1 times and keep all M P states, at each temperature:

        Zhat = prod_{t=1..T} mean_n w_t(x_{t-1,n}),    w_t(x) = pi_t(x) / pi_{t-1}(x).

    From exact draws of the base, E[Zhat] = Z / Z_0 for any M, P and T, because temperatures and kernels were fixed
    beforehand and each K_t leaves pi_t invariant; so `certify(log_z[:, None], alpha)` is a lower end of log Z. Islands
    share nothing. As in `ais` none moves at the last temperature. The M chains of a step are treated as independent,
    and steps too, which P -> infinity makes true:

        se^2 = sum_t var_m( mean_p w_t(x_mp) / mean_n w_t ) / M.

    Reference: Dau and Chopin, Waste-free sequential Monte Carlo, 2022 (the estimate, its unbiasedness, and its variance
    from the chains of one run); Kitagawa, Monte Carlo filter and smoother for non-Gaussian nonlinear state space
    models, 1996 (systematic resampling).

    Arguments:
        path: anything with `init(x)` and `log_prob(state, lam) -> [R, N]`.
        kernel_at: the frozen kernel at index t of `lams`, 0 < t < T.
        lams: temperatures, increasing from 0 to 1, shape `[T + 1]`.
        x0: independent draws of the base, shape `[R, N, d]`.
        chains: M, at least 2; N is a multiple of it, at least 2 M.
        generator: source of all noise.
        log: called with (step, T) after every temperature.

    Returns:
        The islands.

    Raises:
        ValueError: if `lams` does not increase from 0 to 1, if N is no multiple of `chains`, or if a kernel does not
            leave its temperature invariant.
        FloatingPointError: if a weight is not finite.

    Example:
        >>> from gm.sampling.langevin import MALA
        >>> path = Geometric.tilted(lambda x: 0.1 * x.sum(-1))
        >>> lams, g = torch.linspace(0, 1, 4, dtype=torch.float64), torch.Generator().manual_seed(0)
        >>> x0 = torch.randn(4, 64, 2, generator=g)
        >>> islands = waste_free(path, lambda t: MALA(path, 1.0), lams, x0, chains=8, generator=g)
        >>> bool((islands.log_z - 0.01).abs().max() < 0.1), islands.evals == 4 * (64 + 2 * 8 * 7)
        (True, True)
    """
    levels = increasing(lams)
    R, N = x0.shape[:2]
    if chains < 2 or N % chains or 2 * chains > N:
        raise ValueError(f"{N} particles in {chains} chains; expected at least 2 chains of at least 2 states each")
    state, evals, divergent = path.init(x0), R * N, 0
    log_z = variance = torch.zeros(R, dtype=torch.float64, device=x0.device)
    ess, accept, independent = [], [], N
    for t, (previous, lam) in enumerate(pairwise(levels), 1):
        log_w = finite(path.log_prob(state, lam) - path.log_prob(state, previous), lam)
        log_z = log_z + log_mean(log_w)
        ratio = (log_mean(log_w.unflatten(1, (independent, -1))) - log_mean(log_w)[:, None]).exp()
        variance = variance + ratio.var(1) / independent
        ess.append(float((2 * log_mean(log_w) - log_mean(2 * log_w)).exp().mean()))
        if lam != levels[-1]:
            kernel, rates = _invariant(kernel_at(t), lam), []
            kept = [_pick(state, systematic(log_w, chains, generator=generator))]
            for _ in range(N // chains - 1):
                moved, info = kernel(kept[-1], lam, kernel.noise(kept[-1], generator=generator))
                kept.append(moved)
                rates.append(float(info.accept.mean()))
                evals, divergent = evals + info.evals, divergent + info.divergent
            state = type(state)(*(torch.stack(field, 2).flatten(1, 2) for field in zip(*kept, strict=True)))
            accept.append(sum(rates) / len(rates))
            independent = chains
        if log is not None:
            log(t, len(levels) - 1)
    return Islands(log_z, variance.sqrt(), state, log_w, ess, accept, evals, divergent)


def systematic(log_w: Tensor, n: int, *, generator: torch.Generator) -> Tensor:
    """`n` indices per row of `log_w` `[R, N]`, shape `[R, n]`: one uniform per row shifts a regular grid.

    Index i appears floor or ceil of n w_i / sum(w) times, and that many times on average.

    Reference: Kitagawa, Monte Carlo filter and smoother for non-Gaussian nonlinear state space models, 1996.

    Example:
        >>> systematic(torch.tensor([[0.5, 0.0, 0.5]]).log(), 4, generator=torch.Generator().manual_seed(0)).tolist()
        [[0, 0, 2, 2]]
    """
    edges = log_w.double().softmax(1).cumsum(1)
    shift = torch.rand(len(log_w), 1, generator=generator, dtype=edges.dtype, device=generator.device).to(edges.device)
    grid = (torch.arange(n, device=edges.device) + shift) / n * edges[:, -1:]
    return torch.searchsorted(edges, grid, right=True).clamp(max=log_w.shape[1] - 1)


def ess_schedule(
    path: Geometric,
    make: Make,
    x0: Tensor,
    *,
    target_accept: float,
    generator: torch.Generator,
    ess: float = 0.5,
    moves: int = 16,
) -> Schedule:
    r"""A pilot for `waste_free`: temperatures at which the weights keep a given effective size, found by bisection,

        lam_t = max { lam <= 1 : ESS( pi_lam / pi_{t-1} ) >= ess },

    with a step fitted at each by `settle`. It adapts, so it shares neither starts nor noise with the estimate.

    Reference: Jasra, Stephens, Doucet and Tsagaris, Inference for Lévy-driven stochastic volatility models via adaptive
    sequential Monte Carlo, 2011.

    Arguments:
        path: a `Geometric` path.
        make: builds a kernel from the path and a step.
        x0: draws of the base for the pilot alone, shape `[P, d]`.
        target_accept: mean acceptance to aim at.
        generator: the pilot's own stream.
        ess: effective size to keep at each step, a fraction in (0, 1).
        moves: transitions at each temperature.

    Returns:
        The frozen schedule.

    Raises:
        ValueError: if `ess` is not in (0, 1), or if no step forward keeps that size.
    """
    if not 0 < ess < 1:
        raise ValueError(f"effective size {ess}; expected a fraction in (0, 1)")
    state, evals, barrier = path.init(x0), len(x0), 0.0
    lams, logs = [0.0], [first_log_step(x0)]
    while lams[-1] < 1:
        here = path.log_prob(state, lams[-1])

        def log_w(lam: float, state: State = state, here: Tensor = here) -> Tensor:
            return path.log_prob(state, lam) - here

        low, high = lams[-1], 1.0
        if effective_size(log_w(high)) < ess:
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (middle, high) if effective_size(log_w(middle)) >= ess else (low, middle)
            high = low
        if high - lams[-1] < 1e-9:
            raise ValueError(f"no step from temperature {lams[-1]:.4g} keeps an effective size of {ess} of {len(x0)}")
        barrier += float(log_w(high).std())
        keep = systematic(log_w(high)[None], len(x0), generator=generator)[0]
        state = type(state)(*(field[keep] for field in state))
        state, log_h, _, spent = settle(path, make, state, high, logs[-1], moves, target_accept, generator)
        lams, logs, evals = [*lams, high], [*logs, log_h], evals + spent
    steps = torch.tensor(logs, dtype=torch.float64).exp()
    return Schedule(torch.tensor(lams, dtype=torch.float64), tuple(steps.tolist()), barrier, evals)


def _pick(state: State, keep: Tensor) -> State:
    """Rows `keep` `[R, M]` of every field `[R, N, ...]`."""
    island = torch.arange(len(keep), device=keep.device)[:, None]
    return type(state)(*(field[island, keep] for field in state))


def _invariant(kernel: Kernel, lam: float) -> Kernel:
    if not kernel.invariant:
        raise ValueError(
            f"{type(kernel).__name__} at temperature {lam:.4g} says invariant=False, so the mean estimate would not be "
            "Z / Z_0 and no bound on log Z would hold; expected a kernel that leaves each temperature invariant, such "
            "as MALA, HMC or an exact Gibbs sweep (annealing with weights, `ais`, can correct one with a known density)"
        )
    return kernel

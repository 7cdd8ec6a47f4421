"""Annealed importance sampling with frozen kernels, forward and reverse."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from gm.sampling.kernels import Kernel
from gm.sampling.path import Geometric, State


class Weights(NamedTuple):
    """Annealed runs.

    Attributes:
        log_w: log weights, float64, shape `[n]`, in nats.
        state: where the runs ended; weighted by `log_w` they stand for the last temperature.
        accept: mean acceptance probability of each of the `T - 1` moves, in their order.
        evals: gradient evaluations, each row counted.
        divergent: proposals that were not finite, rejected.
    """

    log_w: Tensor
    state: State
    accept: list[float]
    evals: int
    divergent: int


def ais(
    path: Geometric,
    kernel_at: Callable[[int], Kernel],
    lams: Tensor,
    x0: Tensor,
    *,
    generator: torch.Generator,
    reverse: bool = False,
    log: Callable[[int, int], None] | None = None,
) -> Weights:
    r"""Anneal from one end of a path to the other, and weigh the runs:

        w = prod_{t=1..T} pi_t(x_{t-1}) / pi_{t-1}(x_{t-1}),    x_t ~ K_t(x_{t-1}, .) for t = 1..T-1.

    From exact draws x_0 of the base, E[w] = Z / Z_0 whatever the number of moves, because each K_t leaves
    pi_t invariant and was fixed beforehand. A K_t that does not, but whose transition density is known, adds the factor

        pi_t(x_t) K_t(x_t, x_{t-1}) / (pi_t(x_{t-1}) K_t(x_{t-1}, x_t)),

    which restores the equality (with unadjusted Langevin moves these are Jarzynski's weights). No run moves at the
    last temperature, since that changes no weight; so the reverse run (reweight from T to T-1, move at T-1, ...,
    move at 1, reweight from 1 to 0) is the exact time reversal of the forward one, and from exact draws of the
    *target* E[w'] = Z_0 / Z.

    Reference: Neal, Annealed importance sampling, 2001; Jarzynski, Nonequilibrium equality for free energy
    differences, 1997; Grosse, Ghahramani and Adams, Sandwiching the marginal likelihood using bidirectional Monte
    Carlo, 2015.

    Arguments:
        path: anything with `init(x)` and `log_prob(state, lam) -> [n]`.
        kernel_at: the frozen kernel at index t of `lams`, 0 < t < T (kernels reversible, if `reverse`, for
            the time reversal to be exact; invariance alone makes the weights unbiased).
        lams: temperatures, increasing from 0 to 1, shape `[T + 1]`.
        x0: independent starts `[n, d]`: draws of the base, or of the target if `reverse`.
        generator: source of the moves' noise.
        reverse: go from 1 down to 0.
        log: called with (step, T) after every temperature.

    Returns:
        The weights.

    Raises:
        ValueError: if `lams` does not increase from 0 to 1, or a kernel neither leaves its temperature invariant nor
            knows its transition density.
        FloatingPointError: if a weight is not finite.

    Example:
        >>> from gm.sampling.langevin import MALA
        >>> path = Geometric.tilted(lambda x: 0.1 * x.sum(-1))
        >>> lams = torch.linspace(0, 1, 11, dtype=torch.float64)
        >>> g = torch.Generator().manual_seed(0)
        >>> runs = ais(path, lambda t: MALA(path, 1.0), lams, torch.randn(64, 2, generator=g), generator=g)
        >>> bool((runs.log_w.exp().mean().log() - 0.01).abs() < 0.05)
        True
    """
    levels = increasing(lams)
    order = list(range(len(levels)))[:: -1 if reverse else 1]
    state = path.init(x0)
    log_w = torch.zeros_like(path.log_prob(state, levels[order[0]]), dtype=torch.float64)
    accept, evals, divergent = [], log_w.numel(), 0
    for step, (previous, t) in enumerate(pairwise(order), 1):
        log_w = finite(log_w + path.log_prob(state, levels[t]) - path.log_prob(state, levels[previous]), levels[t])
        if t != order[-1]:
            kernel = _weighable(kernel_at(t), levels[t])
            state, info = kernel(state, levels[t], kernel.noise(state, generator=generator))
            if info.log_ratio is not None:
                log_w = log_w + info.log_ratio
            accept.append(float(info.accept.mean()))
            evals, divergent = evals + info.evals, divergent + info.divergent
        if log is not None:
            log(step, len(levels) - 1)
    return Weights(log_w, state, accept, evals, divergent)


def increasing(lams: Tensor) -> list[float]:
    """The temperatures as numbers, refused unless they increase from 0 to 1."""
    levels = torch.as_tensor(lams).tolist()
    if levels[0] != 0 or levels[-1] != 1 or any(b <= a for a, b in pairwise(levels)):
        raise ValueError(f"temperatures run from {levels[0]} to {levels[-1]}; expected an increase from 0 to 1")
    return levels


def finite(log_w: Tensor, lam: float) -> Tensor:
    """The log weights, refused if one is not finite."""
    if not torch.isfinite(log_w).all():
        raise FloatingPointError(
            f"{int((~torch.isfinite(log_w)).sum())} of {log_w.numel()} annealing weights are not finite "
            f"at temperature {lam:.4g}; expected a log density that is finite at every start"
        )
    return log_w


def _weighable(kernel: Kernel, lam: float) -> Kernel:
    if not (kernel.invariant or kernel.weighted):
        raise ValueError(
            f"{type(kernel).__name__} at temperature {lam:.4g} says invariant=False and weighted=False, so the mean "
            "weight would not be Z / Z_0 and no bound on log Z would hold; expected a kernel that leaves each "
            "temperature invariant, such as MALA, HMC or an exact Gibbs sweep, or one that reports the ratio of its "
            "transition densities, such as ULA"
        )
    return kernel

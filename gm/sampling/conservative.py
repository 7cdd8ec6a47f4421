"""RAISE: the density of an annealed sampler at given points, estimated by running it backward."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gm.sampling.anneal import ais
from gm.sampling.kernels import Kernel
from gm.sampling.logz import log_mean, slack
from gm.sampling.path import Geometric

KINDS = {"annealed": "certified", "model": "heuristic"}


class Raise(NamedTuple):
    """Log densities of the annealed sampler, in nats.

    Attributes:
        log_p: log of the unbiased estimate of p_ann(x), float64, shape `[n]`; low by Jensen's inequality.
        lower: lower end of log p_ann(x), each failing with probability at most alpha, shape `[n]`.
        kinds: kind of `lower` as an end for log p_ann(x) (`annealed`) and for the model's own log p(x) (`model`).
        alpha: failure probability of each lower end.
        evals: gradient evaluations, each row counted.
    """

    log_p: Tensor
    lower: Tensor
    kinds: dict[str, str]
    alpha: float
    evals: int


def raise_log_density(
    path: Geometric,
    kernel_at: Callable[[int], Kernel],
    lams: Tensor,
    x: Tensor,
    *,
    runs: int = 32,
    alpha: float = 0.05,
    generator: torch.Generator,
) -> Raise:
    r"""Run the reversed transitions from x, and weigh:

        phat(x) = pi_T(x) mean_r prod_{t=T..1} pi_{t-1}(x_rt) / pi_t(x_rt),    x_rT = x, x_{r,t} ~ K_t(x_{r,t+1}, .).

    The sampler draws x_0 from the normalised base and moves by K_1, ..., K_{T-1}; p_ann is the density of where it
    ends. For reversible kernels E[phat(x)] = p_ann(x) whatever T, so phat is a stochastic lower bound of log p_ann(x),
    and `lower` = mean_r log phat_r(x) - ln(1 / alpha) / R is a certified one. For the *model* pi_T / Z it is heuristic:
    where the sampler puts more mass than the model, log p_ann(x) exceeds log p(x), and no run from x shows it. It needs
    neither Z nor a draw of the model. The mean of `log_p` over N points of independent noise, less ln(1 / alpha) / N,
    is a certified lower end of the mean log p_ann too, and a tighter one.

    Reference: Burda, Grosse and Salakhutdinov, Accurate and conservative estimates of MRF log-likelihood using
    reverse annealing, 2015.

    Arguments:
        path: anything with `init(x)` and `log_prob(state, lam) -> [n]`, whose base is normalised.
        kernel_at: the frozen reversible kernel at index t of `lams`, 0 < t < T.
        lams: temperatures, increasing from 0 to 1, shape `[T + 1]`.
        x: points, shape `[n, d]`.
        runs: R, reverse runs from each point.
        alpha: failure probability of each lower end, in (0, 1).
        generator: source of the moves' noise.

    Returns:
        The estimates.

    Raises:
        ValueError: as `ais` does, if a kernel is not reversible, or if `alpha` is not in (0, 1).
        FloatingPointError: if a weight is not finite.

    Example:
        >>> from gm.sampling.langevin import MALA
        >>> path = Geometric.tilted(lambda x: 0 * x.sum(-1))
        >>> lams, g = torch.linspace(0, 1, 4), torch.Generator().manual_seed(0)
        >>> flat = raise_log_density(path, lambda t: MALA(path, 1.0), lams, torch.zeros(1, 2), generator=g)
        >>> [round(value, 4) for value in flat.log_p.tolist()], flat.kinds["model"]
        ([-1.8379], 'heuristic')
    """
    cost = slack(alpha, runs)
    for t in range(1, len(lams) - 1):
        if not kernel_at(t).reversible:
            raise ValueError(
                f"{type(kernel_at(t)).__name__} says reversible=False, so the runs back would have the density of "
                "another sampler; expected a kernel in detailed balance, such as MALA, HMC or a Gibbs sweep"
            )
    back = ais(path, kernel_at, lams, x.repeat_interleave(runs, 0), generator=generator, reverse=True)
    log_f = path.log_prob(path.init(x), 1.0).double()
    log_p = log_f[:, None] + back.log_w.view(len(x), runs)
    return Raise(log_mean(log_p), log_p.mean(1) - cost, dict(KINDS), alpha, back.evals + len(x))

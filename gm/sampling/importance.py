"""Importance-weighted bounds on log p(x) = log of the integral of p(x, z) over z, from a Gaussian proposal.

A lower end comes from draws of the proposal q alone, because W = mean of p(x, z_k) / q(z_k) is unbiased for p(x). An
upper end comes from K draws of which one follows the posterior: under that law the mean weight has density W / p(x)
relative to the first, so E log W is p's log plus a divergence. Both close as K grows.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Importance(NamedTuple):
    """Bounds per row, float64, in nats, each `[*batch]`.

    Attributes:
        lower: sizes K in increasing order, 1 first, to L_K; the mean over disjoint groups of K of the same draws.
        upper: the posterior-seeded mean weight's log, never below the last lower end.
        ess: effective sample size of the largest group, (sum w)^2 / sum w^2, between 1 and K.
        evals: evaluations of the joint density.
    """

    lower: dict[int, Tensor]
    upper: Tensor
    ess: Tensor
    evals: int


def importance_bounds(
    log_joint: Callable[[Tensor], Tensor],
    mean: Tensor,
    std: Tensor,
    *,
    sizes: Sequence[int] = (10, 100, 500),
    generator: torch.Generator,
) -> Importance:
    r"""Bound log p(x) on both sides with weights w_k = p(x, z_k) / q(z_k), z_k ~ q = N(mean, std^2).

    .. math:: L_K = E \log \frac{1}{K} \sum_{k=1}^K w_k \le \log p(x) \le
        E \log \frac{1}{K} \Big( w(z^*) + \sum_{k=2}^K w_k \Big), \qquad z^* \sim p(z | x)

    L_1 is the evidence lower bound. The draws of the lower end are unbiased before the logarithm, :math:`E[W] = p(x)`,
    so that by Markov's inequality the mean of the lower ends over N rows of independent noise, less
    :math:`\ln(1/\alpha) / N`, exceeds the mean of :math:`\log p` with probability at most :math:`\alpha`. In the upper
    end z* is resampled from the K draws of the lower end, which follows the posterior only as K grows: it is
    heuristic, and the other K - 1 draws are fresh.

    References:
        Importance Weighted Autoencoders (Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, 2016);
        Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Roger Grosse, Zoubin Ghahramani and Ryan
        P. Adams, 2015); Measuring the Reliability of MCMC Inference with Bidirectional Monte Carlo (Roger Grosse,
        Siddharth Ancha and Daniel M. Roy, 2016)

    Arguments:
        log_joint: maps z `[K, *batch, d]` to log p(x, z) `[K, *batch]`, in nats.
        mean: the proposal's mean, `[*batch, d]`.
        std: the proposal's standard deviation, `[*batch, d]`.
        sizes: values of K to report; each divides the largest, which is the number of draws.
        generator: source of the noise.

    Returns:
        The bounds.

    Raises:
        ValueError: a size does not divide the largest.

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> found = importance_bounds(lambda z: normal.log_prob(z).sum(-1), torch.zeros(3), torch.ones(3),
        ...                           sizes=(2, 8), generator=torch.Generator().manual_seed(0))
        >>> [round(float(value), 6) + 0.0 for value in (*found.lower.values(), found.upper)]
        [0.0, 0.0, 0.0, 0.0]
    """
    K = max(sizes)
    if any(size < 1 or K % size for size in sizes):
        raise ValueError(f"'sizes' is {list(sizes)}; expected divisors of the largest, {K}")

    def draw() -> Tensor:
        noise = torch.randn(K, *mean.shape, generator=generator, device=generator.device).to(mean)
        return log_weight(log_joint, mean, std, mean + std * noise)

    log_w = draw()
    lower = {size: log_mean(log_w.unflatten(0, (-1, size)), 1).mean(0) for size in sorted({1, *sizes})}
    ess = (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()

    # The posterior draw is one of the K, so its weight is known already.
    u = torch.rand(mean.shape[:-1], generator=generator, dtype=torch.float64, device=generator.device).to(log_w)
    index = (log_w.softmax(0).cumsum(0) < u).sum(0, keepdim=True).clamp(max=K - 1)
    upper = log_mean(torch.cat([log_w.gather(0, index), draw()[1:]]), 0)
    return Importance(lower, torch.maximum(upper, lower[K]), ess, 2 * log_w.numel())


def log_mean(log_w: Tensor, dim: int) -> Tensor:
    """Log of the mean of exp(log_w) along `dim`, in nats."""
    return log_w.logsumexp(dim) - math.log(log_w.shape[dim])


def log_weight(log_joint: Callable[[Tensor], Tensor], mean: Tensor, std: Tensor, z: Tensor) -> Tensor:
    """log p(x, z) - log N(z; mean, std^2) in float64, `[K, *batch]` for z `[K, *batch, d]`."""
    log_q = -0.5 * ((z - mean) / std).double().square().sum(-1) - std.double().log().sum(-1)
    return log_joint(z).double() - log_q + 0.5 * z.shape[-1] * math.log(2 * math.pi)

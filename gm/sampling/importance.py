"""Importance-weighted bounds on log p(x) = log of the integral of p(x, z) over z, from a Gaussian proposal.

A lower end comes from draws of the proposal q alone, because W = mean of p(x, z_k) / q(z_k) is unbiased for p(x). An
upper end comes from K draws of which one follows the posterior: under that law the mean weight has density W / p(x)
relative to the first, so E log W is p's log plus a divergence. Both close as K grows, the sooner the nearer q is to the
posterior: `fit` brings it there.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gm.sampling.logz import log_mean


class Gaussian(NamedTuple):
    """N(m, L L'): the mean m `[*batch, d]`, and L `[*batch, d, d]`, lower triangles with positive diagonals."""

    mean: Tensor
    factor: Tensor

    def at(self, eps: Tensor) -> Tensor:
        """z = m + L eps, for eps `[K, *batch, d]`."""
        return self.mean + (eps[..., None, :] @ self.factor.mT)[..., 0, :]

    def log_weight(self, log_joint: Callable[[Tensor], Tensor], eps: Tensor) -> Tensor:
        """log p(x, z) - log N(z; m, L L') at z = m + L eps, float64 `[K, *batch]`."""
        log_det = self.factor.diagonal(dim1=-2, dim2=-1).double().log().sum(-1)
        log_normal = -0.5 * (eps.double().square().sum(-1) + eps.shape[-1] * math.log(2 * math.pi)) - log_det
        return log_joint(self.at(eps)).double() - log_normal


class Design(NamedTuple):
    """Where a quadratic is fitted: points eps `[K, d]`, and what maps values there to its coefficients, `[p, K]`."""

    eps: Tensor
    solve: Tensor


def design(d: int, *, excess: float = 3.0, generator: torch.Generator) -> Design:
    """Pairs of opposite standard normal points, `excess` for each of the p = 1 + d + d (d + 1) / 2 coefficients.

    Arguments:
        d: dimension of z.
        excess: points per coefficient, above 2 (opposite points see one even coefficient, not two); at least 64.
        generator: source of the points.

    Raises:
        ValueError: there are too few points for the coefficients.

    Example:
        >>> points = design(2, generator=torch.Generator().manual_seed(0))
        >>> tuple(points.eps.shape), tuple(points.solve.shape)
        ((64, 2), (6, 64))
    """
    if excess <= 2:
        raise ValueError(f"'excess' is {excess}; expected more than 2 points per coefficient")
    pairs = max(32, math.ceil(excess * (1 + d + d * (d + 1) // 2) / 2))
    eps = torch.randn(pairs, d, generator=generator, dtype=torch.float64, device=generator.device)
    eps = torch.cat([eps, -eps])
    i, j = torch.triu_indices(d, d, device=eps.device)
    return Design(eps, torch.linalg.pinv(torch.cat([torch.ones_like(eps[:, :1]), eps, eps[:, i] * eps[:, j]], 1)))


def fit(log_joint: Callable[[Tensor], Tensor], q: Gaussian, points: Design) -> tuple[Gaussian, Tensor]:
    r"""Move a Gaussian towards the posterior, by least squares on its log weights in its own coordinates eps:

    .. math:: \log w(m + L \epsilon) \approx c + b' \epsilon - \tfrac12 \epsilon' B \epsilon, \qquad
        m \leftarrow m + L A^{-1} b, \quad L L' \leftarrow L A^{-1} L', \quad A = I + B.

    It is exact in one step for a Gaussian posterior. Elsewhere the quadratic holds where the points are, so that no
    step more than doubles a width (the eigenvalues of A are at least 1/4) or moves the mean farther than the points
    lie, :math:`|A^{-1} b| \le \sqrt d`. A proposal only has to be fixed before the draws that it weighs: the points
    must not be among them.

    Reference:
        Fixed-Form Variational Posterior Approximation through Stochastic Linear Regression (Tim Salimans and David
        A. Knowles, 2013)

    Arguments:
        log_joint: maps z `[K, *batch, d]`, float64, to log p(x, z) `[K, *batch]`, in nats.
        q: the Gaussian, in float64.
        points: shared by the batch.

    Returns:
        The next Gaussian, and the log weights of this one at the points, `[K, *batch]`, whose mean is its evidence
        lower bound.

    Raises:
        FloatingPointError: a log weight is not finite.

    Example:
        >>> log_joint = lambda z: -0.5 * ((z - 3) / 2).square().sum(-1)
        >>> q = Gaussian(torch.zeros(1).double(), torch.eye(1).double())
        >>> for _ in range(4):
        ...     q, _ = fit(log_joint, q, design(1, generator=torch.Generator().manual_seed(0)))
        >>> round(q.mean.item(), 6), round(q.factor.item(), 6)
        (3.0, 2.0)
    """
    d = q.mean.shape[-1]
    log_w = q.log_weight(log_joint, points.eps.reshape(-1, *(1,) * (q.mean.ndim - 1), d))
    if not torch.isfinite(log_w).all():
        raise FloatingPointError(
            f"{int((~torch.isfinite(log_w)).sum())} of {log_w.numel()} log weights are not finite; expected a log "
            "density that is finite everywhere"
        )
    _, b, curvature = torch.tensordot(points.solve, log_w, 1).movedim(0, -1).split([1, d, d * (d + 1) // 2], -1)
    i, j = torch.triu_indices(d, d, device=b.device)
    B = torch.zeros_like(q.factor)
    B[..., i, j] = -curvature
    values, axes = torch.linalg.eigh(B + B.mT + torch.eye(d, dtype=B.dtype, device=B.device))
    values = values.clamp(min=0.25)
    step = (axes @ ((b[..., None, :] @ axes) / values[..., None, :]).mT)[..., 0]
    step = step * (math.sqrt(d) / step.norm(dim=-1, keepdim=True).clamp(min=math.sqrt(d)))
    root = q.factor @ (axes * values.rsqrt()[..., None, :])
    return Gaussian(q.at(step), torch.linalg.cholesky(root @ root.mT)), log_w


def adapt(
    log_joint: Callable[[Tensor], Tensor], q: Gaussian, points: Design, *, rounds: int
) -> tuple[Gaussian, list[Tensor], int]:
    """Rounds of `fit`, until one's mean weight at the points is a nat below the one before, which is then kept.

    Arguments:
        log_joint: maps z `[K, d]`, float64, to log p(x, z) `[K]`, in nats.
        q: the Gaussian to start from, in float64.
        points: those of each round.
        rounds: at most; 0 keeps the Gaussian.

    Returns:
        The Gaussian; the evidence lower bounds at the points of those that were weighed there, the first at its
        start; and the evaluations spent.
    """
    best, elbos, evals = None, [], 0
    for _ in range(rounds):
        following, log_w = fit(log_joint, q, points)
        evals += len(log_w)
        elbos.append(log_w.mean(0))
        value = log_mean(log_w, 0)
        if best is not None and value < best[1] - 1:
            # far from the data a quadratic can mislead, by many nats; less is noise
            return best[0], elbos, evals
        q, best = following, (q, value)
    return q, elbos, evals


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
    q: Gaussian,
    *,
    sizes: Sequence[int] = (10, 50, 200),
    exact: Tensor | None = None,
    generator: torch.Generator,
) -> Importance:
    r"""Bound log p(x) on both sides with weights w_k = p(x, z_k) / q(z_k), z_k ~ q.

    .. math:: L_K = E \log \frac{1}{K} \sum_{k=1}^K w_k \le \log p(x) \le
        E \log \frac{1}{K} \Big( w(z^*) + \sum_{k=2}^K w_k \Big), \qquad z^* \sim p(z | x)

    L_1 is the evidence lower bound of q. The draws of the lower end are unbiased before the logarithm,
    :math:`E[W] = p(x)`, so that by Markov's inequality the mean of the lower ends over N rows of independent noise,
    less :math:`\ln(1/\alpha) / N`, exceeds the mean of :math:`\log p` with probability at most :math:`\alpha`. With
    z* exact the mean weight W' of the upper end has :math:`E[1 / W'] = 1 / p(x)`, and the mean of upper ends is
    certified alike; an exact z* is had where x was simulated with it. Otherwise z* is resampled from the K draws of the
    lower end, which follows the posterior only as K grows: the upper end is heuristic. The other K - 1 draws are fresh.

    References:
        Importance Weighted Autoencoders (Yuri Burda, Roger Grosse and Ruslan Salakhutdinov, 2016);
        Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Roger Grosse, Zoubin Ghahramani and Ryan
        P. Adams, 2015); Measuring the Reliability of MCMC Inference with Bidirectional Monte Carlo (Roger Grosse,
        Siddharth Ancha and Daniel M. Roy, 2016)

    Arguments:
        log_joint: maps z `[K, *batch, d]`, float64, to log p(x, z) `[K, *batch]`, in nats.
        q: the proposal, in float64.
        sizes: values of K to report; each divides the largest, which is the number of draws.
        exact: z*, posterior draws `[*batch, d]` independent of all else, float64; None: resampled.
        generator: source of the noise.

    Returns:
        The bounds.

    Raises:
        ValueError: a size does not divide the largest.

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> q = Gaussian(torch.zeros(3, 1).double(), torch.eye(1).double().expand(3, 1, 1))
        >>> found = importance_bounds(lambda z: normal.log_prob(z).sum(-1), q,
        ...                           sizes=(2, 8), generator=torch.Generator().manual_seed(0))
        >>> [round(float(value.sum()), 6) + 0.0 for value in (*found.lower.values(), found.upper)]
        [0.0, 0.0, 0.0, 0.0]
    """
    K = max(sizes)
    if any(size < 1 or K % size for size in sizes):
        raise ValueError(f"'sizes' is {list(sizes)}; expected divisors of the largest, {K}")

    def draw(n: int) -> Tensor:
        eps = torch.randn(n, *q.mean.shape, generator=generator, dtype=torch.float64, device=generator.device)
        return q.log_weight(log_joint, eps.to(q.mean))

    log_w = draw(K)
    lower = {size: log_mean(log_w.unflatten(0, (-1, size)), 1).mean(0) for size in sorted({1, *sizes})}
    ess = (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()
    if exact is None:
        # the posterior draw is one of the K, so its weight is known already
        u = torch.rand(q.mean.shape[:-1], generator=generator, dtype=torch.float64, device=generator.device).to(log_w)
        index = (log_w.softmax(0).cumsum(0) < u).sum(0, keepdim=True).clamp(max=K - 1)
        seed = log_w.gather(0, index)
    else:
        eps = torch.linalg.solve_triangular(q.factor, (exact - q.mean)[..., None], upper=False)[..., 0]
        seed = q.log_weight(log_joint, eps[None])
    upper = log_mean(torch.cat([seed, draw(K - 1)]), 0)
    evals = (2 * K - 1 + (exact is not None)) * seed.numel()
    return Importance(lower, torch.maximum(upper, lower[K]), ess, evals)

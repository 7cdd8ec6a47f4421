"""Exponential tilts of N(0, I): the statistics, a fitter (SOUL) and a certificate."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gm.nets.steps import resumable
from gm.sampling.chain import run
from gm.sampling.langevin import MALA
from gm.sampling.path import Geometric

CLIP = 3.0


class Exponential(nn.Module):
    """The tilt f(w) = lambda . T(w) of bounded statistics, a maximum-entropy model relative to N(0, I):

        p(w) = N(w; 0, I) exp(-lambda . T(w)) / Z(lambda),    T(w) = B' [c tanh((S(w) - m) / (c s)) - t].

    S are raw statistics, m and s their mean and standard deviation on the data, c = 3, t the data mean of the clipped
    statistics, and B whitens them on the data (leading principal axes), so that there T has mean 0 and covariance I.
    |T| is bounded, so Z is finite for every lambda whatever S is, the tails of p are those of the reference, and no
    mode can hide far from the data, where an unbounded tilt would put one. The lambda with E_lambda T = 0 maximises
    entropy relative to the reference among laws with the data's moments, and the likelihood among these tilts.

    Reference: E. T. Jaynes, "Information theory and statistical mechanics" (1957); M. Wainwright and M. Jordan,
    "Graphical models, exponential families, and variational inference" (2008).

    Arguments:
        raw: S, a module from w `[B, D]` to `[B, P]`.

    Example:
        >>> tilt = Exponential(nn.Identity()).estimate(torch.randn(50, 3), moments=2)
        >>> tilt.moments(torch.zeros(4, 3)).shape, tilt(torch.zeros(4, 3)).tolist()
        (torch.Size([4, 2]), [0.0, 0.0, 0.0, 0.0])
    """

    def __init__(self, raw: nn.Module) -> None:
        super().__init__()
        self.raw = raw
        for name in ("center", "scale", "target", "multiplier"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("basis", torch.zeros(0, 0))

    def estimate(self, w: Tensor, *, moments: int, floor: float = 1e-4) -> "Exponential":
        """Set center, scale, target and basis from data `[N, D]`, and lambda to 0.

        Arguments:
            w: data in the coordinates of the reference.
            moments: p, principal axes kept, at most.
            floor: axes with an eigenvalue below `floor` times the largest are dropped.

        Returns:
            The tilt itself.
        """
        with torch.no_grad():
            raw = torch.cat([self.raw(rows) for rows in w.split(500)])
            self.center, self.scale = raw.mean(0), raw.std(0).clamp(min=1e-6)
            clipped = self._clipped(raw).double()
            target = clipped.mean(0)
            values, axes = torch.linalg.eigh((clipped - target).T @ (clipped - target) / len(w))
            keep = (values > floor * values[-1]).nonzero().flatten().flip(0)[:moments]
            self.basis = (axes[:, keep] / values[keep].sqrt()).to(w.dtype)
            self.target = target.to(w.dtype)
            self.multiplier = w.new_zeros(len(keep))
        return self

    def moments(self, w: Tensor) -> Tensor:
        """T(w), `[B, D]` to `[B, p]`."""
        return (self._clipped(self.raw(w)) - self.target) @ self.basis

    def forward(self, w: Tensor) -> Tensor:
        """f(w) = lambda . T(w) in nats, `[B, D]` to `[B]`."""
        return (self._clipped(self.raw(w)) - self.target) @ (self.basis @ self.multiplier)

    def _clipped(self, raw: Tensor) -> Tensor:
        return CLIP * torch.tanh((raw - self.center) / (CLIP * self.scale))


class Chains(NamedTuple):
    """Where a fit leaves its chains: points `[n, D]`, the kernel's step size h, gradient evaluations, and rows."""

    w: Tensor
    step: float
    evals: int
    rows: list[dict[str, float]]


def soul(
    tilt: Exponential,
    w: Tensor,
    *,
    steps: int,
    moves: int = 1,
    rate: float = 0.15,
    radius: float = 20.0,
    every: int = 20,
    generator: torch.Generator,
    log: Callable[[int, int], None] = lambda step, steps: None,
) -> Chains:
    r"""Stochastic optimisation by persistent chains (SOUL), the chains adjusted by Metropolis:

        lambda_{n+1} = Proj_{|lambda| <= radius} [ lambda_n + delta_n mean T(W_n) ],
        delta_n = rate (1 + n / 400)^-0.7,

    where W_n are chains moved `moves` times at lambda_n from where they were. `tilt.multiplier` becomes the average of
    the second half of the iterates. The adjustment removes the bias of unadjusted steps, and the step size h follows
    the acceptance 0.574 along the way.

    References: V. De Bortoli, A. Durmus, M. Pereyra and A. Vidal, "Efficient stochastic optimisation by unadjusted
    Langevin Monte Carlo" (2021); B. Polyak and A. Juditsky, "Acceleration of stochastic approximation by
    averaging" (1992).

    Arguments:
        tilt: starts from its `multiplier`, whose value it changes.
        w: starts of the chains `[n, D]`.
        steps: updates of lambda.
        moves: moves between updates.
        rate: delta_0.
        radius: of the ball that keeps lambda in a compact set.
        every: updates between rows: the root mean square of mean T, |lambda|, and the acceptance.
        generator: source of the moves.
        log: told of every update; a fit that was cut off goes on (`gm.nets.steps.resumable`).

    Returns:
        The chains.

    Raises:
        FloatingPointError: if lambda is not finite.
    """
    at = {"w": w, "log_h": math.log(1.65) - math.log(w.shape[1]) / 6, "trace": [], "evals": 0, "rows": []}
    at |= {"multiplier": tilt.multiplier, "average": torch.zeros_like(tilt.multiplier)}
    for step in resumable(steps, log, at, generator):
        n, tilt.multiplier = step - 1, at["multiplier"]
        path = Geometric.tilted(tilt)
        state, info = run(MALA(path, math.exp(at["log_h"])), path.init(at["w"]), moves, generator=generator)
        at["w"], accept = state.x, float(info.accept.mean())
        at["evals"] += len(state.x) + info.evals
        at["log_h"] += 0.5 * (1 + n) ** -0.6 * (accept - 0.574)
        with torch.no_grad():
            residual = tilt.moments(state.x).mean(0)
        multiplier = tilt.multiplier + rate * (1 + n / 400) ** -0.7 * residual
        at["multiplier"] = multiplier = multiplier * (radius / multiplier.norm()).clamp(max=1)
        if not torch.isfinite(multiplier).all():
            raise FloatingPointError(f"the multiplier is not finite after {step} of {steps} updates")
        if n >= steps // 2:
            at["trace"].append(at["log_h"])
            at["average"] += (multiplier - at["average"]) / len(at["trace"])
        if step % every == 0 or step == steps:
            row = {"step": step, "moment_residual": float(residual.square().mean().sqrt())}
            at["rows"].append(row | {"multiplier_norm": float(multiplier.norm()), "accept": accept})
    tilt.multiplier = at["average"]
    return Chains(at["w"], math.exp(sum(at["trace"]) / len(at["trace"])), at["evals"], at["rows"])


def draw_moments(
    tilt: Exponential, w: Tensor, step: float, *, burn: int, draws: int, thin: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, int]:
    """Run fresh chains at a fixed lambda and step.

    Arguments:
        tilt: the tilt, at the multiplier to look at.
        w: starts `[n, D]`, one a chain.
        step: h of the moves, frozen.
        burn: moves before the first look.
        draws: looks.
        thin: moves between two looks.
        generator: source of the moves.

    Returns:
        T at every look `[draws, n, p]`, where the chains end `[n, D]`, and gradient evaluations.
    """
    path = Geometric.tilted(tilt)
    kernel, state, kept = MALA(path, step), path.init(w), []
    state, info = run(kernel, state, burn, generator=generator)
    evals = len(w) + info.evals
    for _ in range(draws):
        state, info = run(kernel, state, thin, generator=generator)
        evals += info.evals
        with torch.no_grad():
            kept.append(tilt.moments(state.x))
    return torch.stack(kept), state.x, evals


class Certificate(NamedTuple):
    """How far a multiplier is from its optimum.

    `residual_z` is the root mean square of the moment residuals, each in units of its Monte-Carlo error: 1 is all
    noise. `gap` is the likelihood left to the optimum in nats, noise floor taken off: negative values are noise.
    `covariance` is that of T under the model, `[p, p]`.
    """

    residual_z: float
    gap: float
    gap_se: float
    covariance: Tensor


def certificate(moments: Tensor) -> Certificate:
    r"""Moment residual and optimisation gap of a tilt whose moments should vanish, from draws at that tilt.

    With r the mean of T and C its covariance, half the squared Newton decrement approximates the divergence from the
    optimum p* (exactly so for a Gaussian family with fixed covariance), KL(p* | p) = r' C^-1 r / 2. Noise alone makes
    it tr(C^-1 S / n) / 2 = p / (2 N_eff), S the covariance of the n chains' means, which autocorrelation is part of;

        gap = r' C^-1 r / 2 - tr(C^-1 S / n) / 2,
        variance = r' C^-1 (S / n) C^-1 r + tr((C^-1 S / n)^2) / 2, without the noise that is in r and S.

    C comes from one half of the chains, r and S from the other, both ways, averaged: noise that C shared with r would
    not leave with the floor. The inverse of a noisy C is too large on average, by tr(C^-1 C') / p with C' that of the
    other half, and is divided by that. The variance takes C as known: its error is a factor on a gap that should be 0.

    Heuristic: chains that have not reached the model certify what they see, and a decrement is of second order only.

    References: S. Boyd and L. Vandenberghe, "Convex optimization" (2004), section 9.5 (the Newton decrement); Z. Bai
    and H. Saranadasa, "Effect of high dimension: by an example of a two sample problem" (1996), for tr(S^2) at p > n.

    Arguments:
        moments: T, `[draws, n, p]`, of n independent chains; draws x n at least 2 (p + 2), better several times that.

    Raises:
        ValueError: if there are fewer than six chains, or too few draws for half of them to determine C.
        FloatingPointError: if C is not finite and positive definite.
    """
    moments = moments.double()
    draws, n, p = moments.shape
    if n < 6 or draws * (n // 2) < p + 2:
        need = f"at least 6 chains, and {p + 2} draws in half of them"
        raise ValueError(f"found {draws} draws of {n} chains for {p} moments; expected {need}")
    means = moments.mean(0)
    noise = torch.cov(means.T).reshape(p, p).diagonal() / n
    z = (means.mean(0).square() / noise).mean().sqrt()
    even, odd = moments[:, 0::2], moments[:, 1::2]
    gap, product, square = (sum(pair) / 2 for pair in zip(_decrement(even, odd), _decrement(odd, even), strict=True))
    variance = (max(product, 0.0) + square / 2) / 2
    return Certificate(float(z), gap, math.sqrt(variance), _covariance(moments))


def _decrement(other: Tensor, half: Tensor) -> tuple[float, float, float]:
    """From C of one half and r, S of the other: gap, r' C^-1 (S / k) C^-1 r, tr((C^-1 S / k)^2), all unbiased."""
    factor, failed = torch.linalg.cholesky_ex(_covariance(other))
    white = torch.linalg.solve_triangular(factor, half.flatten(0, 1).T, upper=False).T
    if failed or not torch.isfinite(white).all():
        raise FloatingPointError("the moments of half the chains have no finite, positive definite covariance")
    white = white / white.var(0).mean().sqrt()
    means = white.reshape(half.shape).mean(0)
    k, residual = len(means), means.mean(0)
    noise = torch.cov(means.T).reshape(len(residual), -1) / k
    trace = noise.trace()
    square = (k - 1) ** 2 / ((k + 1) * (k - 2)) * (noise.square().sum() - trace**2 / (k - 1))
    product = residual @ noise @ residual - square
    return float(residual @ residual - trace) / 2, float(product), float(square)


def _covariance(moments: Tensor) -> Tensor:
    """Of `[draws, n, p]`, all draws of all chains together: `[p, p]`."""
    return torch.cov(moments.flatten(0, 1).T).reshape(moments.shape[2], -1)

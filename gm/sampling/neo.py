"""Importance sampling and MCMC on the orbits of a damped Hamiltonian map."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gm.sampling.anneal import Weights
from gm.sampling.isir import categorical, check_fresh, finite, fresh, join, log_odds, per_candidate, pick
from gm.sampling.kernels import Info, column, normal, square
from gm.sampling.path import Geometric, State


class Orbit(NamedTuple):
    """Seeds moved by T^k, k = 0..K.

    Attributes:
        state: T^k(y), positions `[..., K + 1, d]` with their densities.
        log_w: log of w_k(y) L(T^k(y)), float64 `[..., K + 1]`, in nats; minus infinity where the map is not finite.
    """

    state: State
    log_w: Tensor


class Seeds(NamedTuple):
    """What NEO-MCMC draws.

    Attributes:
        p: momentum at the current point, `[..., d]`.
        x: fresh seeds from the base, `[..., n - 1, d]`.
        px: their momenta, `[..., n - 1, d]`.
        v: uniform on [0, 1), float64 `[..., 3]`.
    """

    p: Tensor
    x: Tensor
    px: Tensor
    v: Tensor


def conformal_leapfrog(
    path: Geometric, state: State, p: Tensor, lam: float | Tensor, h: float | Tensor, gamma: float
) -> tuple[State, Tensor]:
    r"""One step of Hamiltonian dynamics with friction, x' = p and p' = grad log pi_lam(x) - gamma p:

        p <- e^(-gamma h / 2) p + h/2 grad log pi(x),   x <- x + h p,   p <- e^(-gamma h / 2) (p + h/2 grad log pi(x)).

    Its Jacobian is exp(-gamma h d) everywhere, and the step -h is its exact inverse.

    Reference: França, Sulam, Robinson and Vidal, Conformal symplectic and relativistic optimization, 2020.

    Arguments:
        path: a `Geometric` path.
        state: positions `[..., d]`.
        p: momenta `[..., d]`.
        lam: temperature, a number or a tensor that broadcasts over the rows `[...]`.
        h: step, a number or `[..., 1]`; negative goes back.
        gamma: friction, of either sign.

    Returns:
        Positions and momenta after the step.
    """
    damp = torch.exp(-gamma / 2 * torch.as_tensor(h, dtype=p.dtype, device=p.device))
    p = damp * p + h / 2 * path.gradient(state, lam)
    state = path.init(state.x + h * p)
    return state, damp * (p + h / 2 * path.gradient(state, lam))


def orbit(
    path: Geometric, state: State, p: Tensor, lam: float | Tensor, step: float | Tensor, length: int, gamma: float
) -> Orbit:
    r"""Weigh the forward orbit of each seed y = (x, p), with T the damped leapfrog and rho = q(x) N(p; 0, I):

        w_k(y) = rho(T^k y) / sum_{i=0..K} rho_i(T^k y) = r_k / sum_{i=0..K} r_{k-i},   r_j = rho(T^j y) |det T^j(y)|,

    where rho_i(y) = rho(T^-i y) |det T^-i(y)| is the law of T^i applied to a draw of rho. Points of the orbit are
    weighed as importance samples of the even mixture of rho_0..rho_K, so the orbit is followed to both sides, to
    -K..K, although only its forward half is sampled.

    Reference: Thin, Janati El Idrissi, Le Corff, Ollion, Moulines, Doucet, Durmus and Robert, NEO: non equilibrium
    sampling on the orbits of a deterministic transform, 2021.

    Arguments:
        path: a `Geometric` path, its base normalised.
        state: seeds `[..., d]`.
        p: their momenta `[..., d]`.
        lam: temperature, a number or a tensor that broadcasts over the rows `[...]`; L = (p / q)^lam.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        length: K, at least 0; 2 K gradient evaluations per row.
        gamma: friction.

    Returns:
        The orbit; E sum_k w_k(y) L(T^k y) = Z / Z_0 over draws y of rho.
    """
    h = column(step, state.x)
    ahead, behind = [(state, p)], []
    for points, sign in ((ahead, 1), (behind, -1)):
        here = state, p
        for _ in range(length):
            here = conformal_leapfrog(path, *here, lam, sign * h, gamma)
            points.append(here)
    log_det = -gamma * state.x.shape[-1] * h[..., 0].double()
    log_r = torch.stack(
        [
            path.log_prob(at, 0.0) - square(q) / 2 + j * log_det
            for j, (at, q) in enumerate([*reversed(behind), *ahead], -length)
        ],
        -1,
    )
    log_r = torch.where(torch.isfinite(log_r), log_r, -torch.inf)
    # window k runs over r_{k-K}..r_k
    log_w = log_r[..., length:] - log_r.unfold(-1, length + 1, 1).logsumexp(-1)
    x, u, du = zip(*(at for at, _ in ahead), strict=True)
    points = State(torch.stack(x, -2), torch.stack(u, -2), torch.stack(du, -3))
    usable = finite(points) & torch.isfinite(log_r[..., length:])
    return Orbit(points, torch.where(usable, log_w + per_candidate(lam, log_w) * log_odds(points), -torch.inf))


def neo_weights(
    path: Geometric,
    x0: Tensor,
    step: float | Tensor,
    length: int,
    gamma: float,
    *,
    lam: float = 1.0,
    generator: torch.Generator,
) -> Weights:
    r"""NEO importance sampling: one weight per orbit, and one of the orbit's points,

        W = sum_{k=0..K} w_k(y) L(T^k y),    y = (x_0, p), p ~ N(0, I),

    with E[W] = Z / Z_0 for any step, length and friction that were fixed beforehand, and W bounded if p / q is. The
    point is T^k y with probability w_k L / W, so that weighted by W the points stand for pi_lam.

    Reference: Thin, Janati El Idrissi, Le Corff, Ollion, Moulines, Doucet, Durmus and Robert, NEO: non equilibrium
    sampling on the orbits of a deterministic transform, 2021; Rotskoff and Vanden-Eijnden, Dynamical computation of the
    density of states and Bayes factors using nonequilibrium importance sampling, 2019.

    Arguments:
        path: a `Geometric` path, its base normalised.
        x0: independent exact draws of the base, `[n, d]`.
        step: h, a number or a tensor `[n]`.
        length: K, at least 0; 0 is importance sampling from the base.
        gamma: friction; above 0 the orbit falls into a mode, below 0 it leaves one.
        lam: temperature, 1 for the target.
        generator: source of the momenta and of the points' choice.

    Returns:
        The weights `[n]`, with the points; nothing is accepted or rejected, and `divergent` counts the points of
        orbits that were not finite, whose weight is zero.

    Raises:
        ValueError: if `length` is negative.

    Example:
        >>> path, g = Geometric.tilted(lambda x: x.square().sum(-1)), torch.Generator().manual_seed(0)
        >>> runs = neo_weights(path, torch.randn(512, 2, generator=g), 0.3, 4, 1.0, generator=g)
        >>> round(runs.log_w.exp().mean().item() * 3, 1), runs.evals
        (1.0, 4608)
    """
    check_length(length)
    start = path.init(x0)
    seeds = orbit(path, start, normal(start, generator), lam, step, length, gamma)
    log_w = seeds.log_w.logsumexp(-1)
    v = torch.rand(log_w.shape, generator=generator, dtype=torch.float64, device=generator.device).to(log_w.device)
    end = pick(seeds.state, categorical(seeds.log_w, v))
    return Weights(log_w, end, [], (1 + 2 * length) * log_w.numel(), int(torch.isneginf(seeds.log_w).sum()))


@dataclass(frozen=True, eq=False)
class NEO:
    r"""NEO-MCMC: iterated sampling importance resampling among n orbits, seen at one point of the chosen orbit.

    From x: a momentum p ~ N(0, I); the seed y_1 = T^-k(x, p), with probability proportional to rho_k(x, p); n - 1 fresh
    seeds from rho; one of the n orbits, with probability proportional to W(y_i) = sum_k w_k(y_i) L(T^k y_i); and on it
    the point T^k y, with probability proportional to w_k(y) L(T^k y).

    The first two steps draw the seed from its law given the point, where seed and index have the joint law
    rho(y) w_k(y) L(T^k y) / Z; the third leaves the law rho(y) W(y) of seeds invariant; the last draws the index given
    the seed. So pi_lam is left invariant, reversibly.

    Reference: Thin, Janati El Idrissi, Le Corff, Ollion, Moulines, Doucet, Durmus and Robert, NEO: non equilibrium
    sampling on the orbits of a deterministic transform, 2021.

    Arguments:
        path: a `Geometric` path.
        step: h, a number or a tensor that broadcasts over the rows `[...]`.
        length: K, at least 0; 0 is `ISIR`.
        gamma: friction.
        n: orbits to choose from, the current one among them; at least 2.
        draw: draws the base, `draw(m, generator=...) -> [m, d]`; None is for the base N(0, I).

    Raises:
        ValueError: if `n` is less than 2, `length` is negative, or the base is not N(0, I) and `draw` is missing.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> kernel, state = NEO(path, step=0.3, length=4, gamma=1.0, n=5), path.init(torch.zeros(8, 2))
        >>> state, info = kernel(state, 1.0, kernel.noise(state, generator=torch.Generator().manual_seed(0)))
        >>> tuple(state.x.shape), info.evals
        ((8, 2), 384)
    """

    path: Geometric
    step: float | Tensor
    length: int
    gamma: float
    n: int = 10
    draw: Callable[..., Tensor] | None = None
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fresh(self.path, self.n, self.draw)
        check_length(self.length)

    def noise(self, state: State, *, generator: torch.Generator) -> Seeds:
        """Draw the momenta, the fresh seeds, and the three uniform numbers that choose."""
        x = fresh(state, self.n - 1, self.draw, generator)
        momentum = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)
        shape = (*state.x.shape[:-1], 3)
        v = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device).to(x.device)
        return Seeds(normal(state, generator), x, momentum, v)

    def __call__(self, state: State, lam: float | Tensor, noise: Seeds) -> tuple[State, Info]:
        """One transition: K + (n - 1) + 2 n K gradient evaluations per row. `Info.accept` is the probability of
        leaving the orbit.
        """
        seed, p = self.seed(state, lam, noise)
        others = self.path.init(noise.x)
        lam, step = per_candidate(lam, state.u), per_candidate(self.step, state.x)
        momenta = torch.cat((p[..., None, :], noise.px), -2)
        orbits = orbit(self.path, join(seed, others), momenta, lam, step, self.length, self.gamma)
        log_w = orbits.log_w.logsumexp(-1)
        i = categorical(log_w, noise.v[..., 1])
        here = orbits.log_w.take_along_dim(i[..., None, None], -2).squeeze(-2)
        flat = i * (self.length + 1) + categorical(here, noise.v[..., 2])
        x, u, du = orbits.state
        moved = pick(State(x.flatten(-3, -2), u.flatten(-3, -2), du.flatten(-4, -3)), flat)
        accept = 1 - log_w.softmax(-1)[..., 0]
        evals = (self.length + self.n - 1 + 2 * self.n * self.length) * accept.numel()
        return moved, Info(accept, evals, int(torch.isneginf(orbits.log_w).sum()))

    def seed(self, state: State, lam: float | Tensor, noise: Seeds) -> tuple[State, Tensor]:
        """The seed of an orbit through each point, drawn from its law given the point: position and momentum."""
        h = column(self.step, state.x)
        log_det = self.gamma * state.x.shape[-1] * h[..., 0].double()
        points = [(state, noise.p)]
        for _ in range(self.length):
            points.append(conformal_leapfrog(self.path, *points[-1], lam, -h, self.gamma))
        log_rho = torch.stack(
            [self.path.log_prob(at, 0.0) - square(q) / 2 + k * log_det for k, (at, q) in enumerate(points)], -1
        )
        k = categorical(torch.where(torch.isfinite(log_rho), log_rho, -torch.inf), noise.v[..., 0])
        x, u, du = zip(*(at for at, _ in points), strict=True)
        seed = pick(State(torch.stack(x, -2), torch.stack(u, -2), torch.stack(du, -3)), k)
        p = torch.stack([q for _, q in points], -2).take_along_dim(k[..., None, None], -2).squeeze(-2)
        return seed, p


def check_length(length: int) -> None:
    """Refuse an orbit of a negative number of steps."""
    if length < 0:
        raise ValueError(f"an orbit of length={length} steps; expected at least 0")

"""Global moves: iterated sampling importance resampling, alone and with a local kernel after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Kernel, uniform
from gm.sampling.langevin import MALA
from gm.sampling.path import Geometric, StandardNormal, State


class Proposals(NamedTuple):
    """What i-SIR draws: `x` `[..., n - 1, d]` from the base, and `v` `[...]`, uniform on [0, 1), float64."""

    x: Tensor
    v: Tensor


class Ex2Noise(NamedTuple):
    """What Ex2MCMC draws: the noise of its global step, and that of its local one."""

    isir: Proposals
    local: Any


@dataclass(frozen=True, eq=False)
class ISIR:
    r"""Iterated sampling importance resampling: among the current point x_1 and n - 1 fresh draws x_2..x_n of the base
    q, the next point is x_i with probability

        w(x_i) / sum_j w(x_j),    w = pi_lam / q = (p / q)^lam.

    It is reversible for pi_lam, and as good as independent draws once n is large beside the largest w over its mean,
    which grows exponentially with the dimension.

    Reference: Andrieu, Doucet and Holenstein, Particle Markov chain Monte Carlo methods, 2010; Andrieu, Lee and Vihola,
    Uniform ergodicity of the iterated conditional SMC and geometric ergodicity of particle Gibbs samplers, 2018.

    Arguments:
        path: a `Geometric` path.
        n: points to choose from, the current one among them; at least 2.
        draw: draws the base, `draw(m, generator=...) -> [m, d]`; None is for the base N(0, I).

    Raises:
        ValueError: if `n` is less than 2, or the base is not N(0, I) and `draw` is missing.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> kernel, state = ISIR(path, n=5), path.init(torch.zeros(8, 2))
        >>> state, info = kernel(state, 1.0, kernel.noise(state, generator=torch.Generator().manual_seed(0)))
        >>> tuple(state.x.shape), info.evals
        ((8, 2), 32)
    """

    path: Geometric
    n: int
    draw: Callable[..., Tensor] | None = None
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fresh(self.path, self.n, self.draw)

    def noise(self, state: State, *, generator: torch.Generator) -> Proposals:
        """Draw the n - 1 proposals of every row, and the uniform number that chooses."""
        return Proposals(fresh(state, self.n - 1, self.draw, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Proposals) -> tuple[State, Info]:
        """One transition: n - 1 gradient evaluations per row. `Info.accept` is the probability of moving."""
        proposals = self.path.init(noise.x)
        candidates = join(state, proposals)
        usable = finite(candidates)
        log_w = torch.where(usable, per_candidate(lam, candidates.u) * log_odds(candidates), -torch.inf)
        moved = pick(candidates, categorical(log_w, noise.v))
        accept = 1 - log_w.softmax(-1)[..., 0]
        return moved, Info(accept, proposals.u[..., 0].numel(), int((~usable).sum()))


@dataclass(frozen=True, eq=False)
class Ex2:
    r"""Explore-exploit MCMC: one step of `ISIR`, then one of a local kernel from wherever that led:

        P = P_isir P_local.

    The local step uses the densities and gradients of the point that the global step chose. Both leave pi_lam
    invariant, and so does P, which is not reversible. It is `invariant` and `weighted` as its local kernel is.

    Reference: Samsonov, Lagutin, Gabrié, Durmus, Naumov and Moulines, Local-global MCMC kernels: the best of both
    worlds, 2022.

    Arguments:
        path: a `Geometric` path.
        step: step of the local kernel.
        n: points that the global step chooses from; at least 2.
        draw: draws the base, as for `ISIR`.
        local: builds the local kernel from the path and the step: `MALA`, or `partial(HMC, length=10)`.

    Raises:
        ValueError: if `n` is less than 2, or the base is not N(0, I) and `draw` is missing.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> kernel, state = Ex2(path, 0.5, n=5), path.init(torch.zeros(8, 2))
        >>> state, info = kernel(state, 1.0, kernel.noise(state, generator=torch.Generator().manual_seed(0)))
        >>> tuple(state.x.shape), info.evals
        ((8, 2), 40)
    """

    path: Geometric
    step: float | Tensor
    n: int = 10
    draw: Callable[..., Tensor] | None = None
    local: Callable[[Geometric, float | Tensor], Kernel] = MALA
    reversible: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fresh(self.path, self.n, self.draw)

    @property
    def kernels(self) -> tuple[ISIR, Kernel]:
        """The global kernel and the local one."""
        return ISIR(self.path, self.n, self.draw), self.local(self.path, self.step)

    @property
    def invariant(self) -> bool:
        """The local kernel is."""
        return self.kernels[1].invariant

    @property
    def weighted(self) -> bool:
        """The local kernel is."""
        return self.kernels[1].weighted

    def noise(self, state: State, *, generator: torch.Generator) -> Ex2Noise:
        """Draw the noise of both steps."""
        return Ex2Noise(*(kernel.noise(state, generator=generator) for kernel in self.kernels))

    def __call__(self, state: State, lam: float | Tensor, noise: Ex2Noise) -> tuple[State, Info]:
        """One transition. `Info.accept` is that of the local step, so that a pilot can tune the step."""
        isir, local = self.kernels
        state, jump = isir(state, lam, noise.isir)
        state, info = local(state, lam, noise.local)
        return state, info._replace(evals=jump.evals + info.evals, divergent=jump.divergent + info.divergent)


def check_fresh(path: Geometric, n: int, draw: Callable[..., Tensor] | None) -> None:
    """Refuse a choice among fewer than two points, or among draws of a base that nobody said how to draw."""
    if n < 2:
        raise ValueError(f"a choice among n={n} points; expected at least 2, the current one and a fresh draw")
    if draw is None and not isinstance(path.base, StandardNormal):
        raise ValueError(
            f"the path's base is {path.base!r} and draw=None, which draws N(0, I); "
            "expected draw(m, generator=...) -> [m, d], exact draws of that base"
        )


def fresh(state: State, m: int, draw: Callable[..., Tensor] | None, generator: torch.Generator) -> Tensor:
    """`m` exact draws of the base for each row of `state`, `[..., m, d]`."""
    x = state.x
    shape = (*x.shape[:-1], m, x.shape[-1])
    if draw is None:
        return torch.randn(shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)
    return draw(m * x[..., 0].numel(), generator=generator).to(x).reshape(shape)


def log_odds(state: State) -> Tensor:
    """log p - log q per point, float64 `[...]`."""
    return state.u[..., 1] - state.u[..., 0]


def finite(state: State) -> Tensor:
    """Whether both densities and both gradients are finite, per point `[...]`; no other point is entered."""
    return torch.isfinite(state.u).all(-1) & torch.isfinite(state.du).flatten(-2).all(-1)


def per_candidate(value: float | Tensor, like: Tensor) -> Tensor:
    """A number, or one per row `[...]`, as something that broadcasts over the rows' candidates `[..., n]`."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)[..., None]


def join(state: State, others: State) -> State:
    """Points `[..., d]` and their rivals `[..., m, d]` as candidates `[..., 1 + m, d]`, the points first."""
    return State(
        torch.cat((state.x[..., None, :], others.x), -2),
        torch.cat((state.u[..., None, :], others.u), -2),
        torch.cat((state.du[..., None, :, :], others.du), -3),
    )


def pick(candidates: State, index: Tensor) -> State:
    """The candidate that `index` `[...]` names in each row, with its densities and gradients: `[..., d]`."""
    i = index[..., None, None]
    return State(
        candidates.x.take_along_dim(i, -2).squeeze(-2),
        candidates.u.take_along_dim(i, -2).squeeze(-2),
        candidates.du.take_along_dim(i[..., None], -3).squeeze(-3),
    )


def categorical(log_w: Tensor, v: Tensor) -> Tensor:
    """Index i with probability exp(log_w_i) / sum_j exp(log_w_j), by inversion of uniform `v` `[...]`.

    A weight of zero is never chosen.

    Example:
        >>> categorical(torch.tensor([-torch.inf, 0.0, 0.0, -torch.inf]).expand(3, 4), torch.tensor([0, 0.4, 0.999]))
        tensor([1, 1, 2])
    """
    total = log_w.softmax(-1).cumsum(-1)
    # a share of the sum as it was rounded, so that the last index cannot be reached by rounding alone
    return (total <= v[..., None] * total[..., -1:]).sum(-1)

"""Microcanonical kernels: a velocity of fixed length, turned by the gradient; unadjusted, and Metropolis-adjusted."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Noise, column, metropolis, normal, uniform
from gm.sampling.path import Geometric, State

LEAPFROG = (0.5, 1.0, 0.5)
_LAMBDA = 0.1931833275037836  # (1/2) - (36 + 2 sqrt(326))^(1/3)/12 + 1/(6 (36 + 2 sqrt(326))^(1/3))
MINIMAL_NORM = (_LAMBDA, 0.5, 1 - 2 * _LAMBDA, 0.5, _LAMBDA)


@dataclass(frozen=True, eq=False)
class MCLMC:
    r"""Microcanonical Langevin Monte Carlo, unadjusted: `length` steps of the isokinetic flow

        dx = s u dt,    du = (I - u u') (s grad log pi_lam) / (d - 1) dt,    |u| = 1,

    from a velocity uniform on the sphere; before every further step the velocity forgets a little,
    u <- (u + nu z) / |u + nu z| with z ~ N(0, I) and nu^2 = (exp(2 h / L) - 1) / d.

    The exact flow leaves pi_lam(x) times the uniform law of u invariant; the discrete one does not, and its bias stays
    however long the chain is. So annealing refuses this kernel. Where a point is not finite the row stays.

    Reference: Robnik, De Luca, Silverstein and Seljak, Microcanonical Hamiltonian Monte Carlo, 2023; Robnik and Seljak,
    Fluctuation without dissipation: microcanonical Langevin Monte Carlo, 2024.

    Arguments:
        path: a `Geometric` path, in at least 2 dimensions.
        step: h, the root mean square move of a coordinate in a step, in units of its scale (a time of h sqrt(d)); a
            number or a tensor that broadcasts over the rows `[...]`.
        length: number of integrator steps.
        decoherence: L, in the units of h: over it the velocity is forgotten; infinity for none within a transition.
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.
        scheme: shares of h, of velocity and position in turn: `LEAPFROG`, or `MINIMAL_NORM` of two gradients a step.
    """

    path: Geometric
    step: float | Tensor
    length: int
    decoherence: float = math.inf
    scale: float | Tensor = 1.0
    scheme: tuple[float, ...] = LEAPFROG
    invariant: ClassVar[bool] = False
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = False

    def noise(self, state: State, *, generator: torch.Generator) -> Tensor:
        """Draw one normal vector per step, `[..., length, d]`."""
        x = state.x
        shape = (*x.shape[:-1], self.length, x.shape[-1])
        return torch.randn(shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)

    def __call__(self, state: State, lam: float | Tensor, noise: Tensor) -> tuple[State, Info]:
        """One transition: `length` gradient evaluations per row, twice as many by `MINIMAL_NORM`."""
        h, d = column(self.step, state.x), state.x.shape[-1]
        nu = (torch.expm1(2 * h / self.decoherence) / d).sqrt()
        end, u = state, direction(noise[..., 0, :])
        for k in range(self.length):
            if k > 0:
                u = direction(u + nu * noise[..., k, :])
            end, u, _ = isokinetic(self.path, end, u, lam, h * math.sqrt(d), self.scale, self.scheme)
        finite = torch.isfinite(self.path.log_prob(end, lam)) & torch.isfinite(u).all(-1)
        log_ratio = torch.where(finite, 0.0, torch.nan)
        state, accept, divergent = metropolis(state, end, log_ratio, torch.zeros_like(log_ratio))
        return state, Info(accept, self.length * (len(self.scheme) // 2) * accept.numel(), divergent)


@dataclass(frozen=True, eq=False)
class MAMS:
    r"""Metropolis-adjusted microcanonical sampling: `length` isokinetic steps from a velocity uniform on the sphere,
    accepted with probability

        min(1, exp(-W)),    W = -log pi(x') + log pi(x) + sum over velocity updates of
                                (d - 1) log(cosh delta + e'u sinh delta),

    where e = s g / |s g| and delta = eps |s g| / (d - 1) for an update of duration eps under the gradient g. The sum is
    minus the log of the map's Jacobian on the positions times the sphere, so that pi_lam is left invariant.

    Each row jitters its own step, h (1 + jitter (2 s - 1)), and with it the length of its trajectory.

    Reference: Robnik, Cohn-Gordon and Seljak, Metropolis adjusted microcanonical Hamiltonian Monte Carlo, 2025.

    Arguments:
        path: a `Geometric` path, in at least 2 dimensions.
        step: h, the root mean square move of a coordinate in a step, in units of its scale (a time of h sqrt(d)), so
            that steps compare with those of `HMC`; a number or a tensor that broadcasts over the rows `[...]`.
        length: number of integrator steps.
        jitter: half-width of the jitter relative to the step, in [0, 1).
        scale: s, a standard deviation per coordinate `[d]` (a diagonal metric), or a number.
        scheme: shares of h, of velocity and position in turn: `LEAPFROG`, or `MINIMAL_NORM` of two gradients a step.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> kernel, state = MAMS(path, step=0.5, length=3), path.init(torch.zeros(8, 2))
        >>> state, info = kernel(state, 1.0, kernel.noise(state, generator=torch.Generator().manual_seed(0)))
        >>> tuple(state.x.shape), info.evals
        ((8, 2), 24)
    """

    path: Geometric
    step: float | Tensor
    length: int
    jitter: float = 0.3
    scale: float | Tensor = 1.0
    scheme: tuple[float, ...] = LEAPFROG
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def noise(self, state: State, *, generator: torch.Generator) -> Noise:
        """Draw the velocity's direction and the two uniform numbers of one transition."""
        return Noise(normal(state, generator), uniform(state, generator), uniform(state, generator))

    def __call__(self, state: State, lam: float | Tensor, noise: Noise) -> tuple[State, Info]:
        """One transition: `length` gradient evaluations per row, twice as many by `MINIMAL_NORM`."""
        h = column(self.step, state.x) * math.sqrt(state.x.shape[-1])
        h = h * (1 + self.jitter * (2 * noise.s - 1)).to(h.dtype)[..., None]
        proposal, u, kinetic = state, direction(noise.xi), 0.0
        for _ in range(self.length):
            proposal, u, change = isokinetic(self.path, proposal, u, lam, h, self.scale, self.scheme)
            kinetic = kinetic + change
        W = self.path.log_prob(state, lam) - self.path.log_prob(proposal, lam) + kinetic
        state, accept, divergent = metropolis(state, proposal, -W, noise.v)
        return state, Info(accept, self.length * (len(self.scheme) // 2) * accept.numel(), divergent)


def direction(xi: Tensor) -> Tensor:
    """Unit vector along `xi` `[..., d]`; uniform on the sphere for normal `xi`.

    Raises:
        ValueError: if d is 1, where the sphere is two points between which nothing turns.
    """
    if (d := xi.shape[-1]) < 2:
        raise ValueError(f"points have d={d} dimension; expected d >= 2, where a velocity of fixed length can turn")
    return xi / xi.norm(dim=-1, keepdim=True)


def isokinetic(
    path: Geometric,
    state: State,
    u: Tensor,
    lam: float | Tensor,
    h: float | Tensor,
    scale: float | Tensor = 1.0,
    scheme: tuple[float, ...] = LEAPFROG,
) -> tuple[State, Tensor, Tensor]:
    r"""One step of the isokinetic flow: velocity, position, velocity, ... in the shares of h that `scheme` lists.

    Reversed by the opposite velocity, as the scheme is a palindrome.

    Reference: Omelyan, Mryglod and Folk, Symplectic analytically integrable decomposition algorithms, 2003 (the
    minimal-norm shares).

    Arguments:
        path: a `Geometric` path.
        state: points `[..., d]`.
        u: unit velocities `[..., d]`.
        lam: temperature.
        h: step, a number or `[..., 1]`.
        scale: s, `[d]` or a number.
        scheme: shares of h.

    Returns:
        The points and velocities after the step, and the kinetic energy gained, float64 `[...]`, in nats.
    """
    kinetic = torch.zeros_like(state.u[..., 0])
    for k, share in enumerate(scheme):
        if k % 2:
            state = path.init(state.x + share * h * scale * u)
        else:
            u, change = turn(u, scale * path.gradient(state, lam), share * h)
            kinetic = kinetic + change
    return state, u, kinetic


def turn(u: Tensor, g: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
    r"""Solve du/dt = (I - u u') g / (d - 1) for a time h under a constant g:

        u' = (u + e (sinh delta + e'u (cosh delta - 1))) / (cosh delta + e'u sinh delta),
        delta = h |g| / (d - 1),    e = g / |g|.

    The map contracts the sphere by (cosh delta + e'u sinh delta)^(d - 1), whose log is returned as the kinetic energy.

    Reference: Ver Steeg and Galstyan, Hamiltonian dynamics with non-Newtonian momentum for rapid sampling, 2021;
    Robnik, De Luca, Silverstein and Seljak, Microcanonical Hamiltonian Monte Carlo, 2023.

    Arguments:
        u: unit vectors `[..., d]`.
        g: gradients `[..., d]`, zero allowed.
        h: duration, a number or `[..., 1]`; not negative.

    Returns:
        u' `[..., d]`, and the kinetic energy gained, float64 `[...]`, in nats.

    Example:
        >>> u, gain = turn(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 100.0]), 1.0)
        >>> [round(c, 3) for c in u.tolist()], round(gain.item(), 3)
        ([0.0, 1.0], 99.307)
    """
    d = u.shape[-1]
    norm = g.norm(dim=-1, keepdim=True)
    e = g / norm.clamp_min(torch.finfo(g.dtype).tiny)
    delta, along = h * norm / (d - 1), (e * u).sum(-1, keepdim=True).clamp(-1, 1)
    # numerator and denominator times 2 exp(-delta), which neither overflows nor changes the direction
    decay = torch.exp(-delta)
    turned = 2 * decay * u + e * ((1 - decay**2) + along * (1 - decay) ** 2)
    delta, along = delta[..., 0].double(), along[..., 0].double()
    gain = delta + torch.log((1 + along) / 2 + (1 - along) / 2 * torch.exp(-2 * delta))
    return direction(turned), (d - 1) * gain

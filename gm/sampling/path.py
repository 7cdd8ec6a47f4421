"""Geometric paths from a base to a target; states carry both log densities and their gradients."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


class State(NamedTuple):
    """Points with everything that a move, a reweighting or a swap needs, so that none costs an evaluation.

    Attributes:
        x: points, shape `[..., d]`.
        u: log base and log target, float64, shape `[..., 2]`, in nats.
        du: their gradients, shape `[..., 2, d]`.
    """

    x: Tensor
    u: Tensor
    du: Tensor


class Analytic(ABC):
    """A log density whose gradient is known in closed form: a path asks it instead of differentiating."""

    @abstractmethod
    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]` and gradients `[..., d]` at `x` of shape `[..., d]`."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.value_and_grad(x)[0]


class StandardNormal(Analytic):
    """N(0, I): log q(x) = -|x|^2 / 2 - d log(2 pi) / 2.

    Example:
        >>> round(StandardNormal()(torch.zeros(3, 2))[0].item(), 4)
        -1.8379
    """

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients `-x`."""
        return -0.5 * (x.double().square().sum(-1) + x.shape[-1] * math.log(2 * math.pi)), -x


def value_and_grad(log_density: LogDensity, x: Tensor) -> tuple[Tensor, Tensor]:
    """Values and gradients of a row-wise callable, by one evaluation.

    Arguments:
        log_density: maps `[..., d]` to `[...]`; a row's value depends on that row alone.
        x: points, shape `[..., d]`.

    Returns:
        Values `[...]` in float64 and gradients `[..., d]` in the dtype of `x`, both detached.

    Raises:
        ValueError: if the values are not one per row.
    """
    if isinstance(log_density, Analytic):
        value, grad = log_density.value_and_grad(x)
    else:
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            value = log_density(x)
            if value.shape != x.shape[:-1]:
                raise ValueError(
                    f"log density returned shape {tuple(value.shape)} for points of shape {tuple(x.shape)}; "
                    f"expected one value per row, {tuple(x.shape[:-1])}"
                )
            (grad,) = torch.autograd.grad(value.sum(), x)
    return value.detach().double(), grad.detach()


class Geometric:
    r"""The geometric path log pi_lam(x) = (1 - lam) log q(x) + lam log p(x), up to a constant.

    Both ends must be finite wherever the base has mass; a point where either is not is never entered.

    Reference: Gelman and Meng, Simulating normalizing constants, 1998.

    Arguments:
        base: log q, row-wise `[..., d] -> [...]`; None is N(0, I) in closed form.
        target: log p, row-wise, unnormalised; kept as an attribute, None of a tilted path.

    Example:
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> state = path.init(torch.zeros(3, 2))
        >>> path.gradient(state, 0.5)[0].tolist()
        [0.5, 0.5]
    """

    def __init__(self, base: LogDensity | None, target: LogDensity) -> None:
        self.base = StandardNormal() if base is None else base
        self.target = self._other = target
        self._tilted = False

    @classmethod
    def tilted(cls, tilt: LogDensity, base: LogDensity | None = None) -> "Geometric":
        """The path from `base` to log p = log q - f, given the tilt f; the base is evaluated once."""
        path = cls(base, tilt)
        path._tilted, path.target = True, None
        return path

    def init(self, x: Tensor) -> State:
        """Both ends and their gradients at `x`, shape `[..., d]`: one gradient evaluation per row."""
        x = x.detach()
        u, du = value_and_grad(self.base, x)
        v, dv = value_and_grad(self._other, x)
        if self._tilted:
            v, dv = u - v, du - dv
        return State(x, torch.stack((u, v), -1), torch.stack((du, dv), -2))

    def log_prob(self, state: State, lam: float | Tensor) -> Tensor:
        """log pi_lam per row, float64, shape `[...]`; `lam` is a number or broadcasts over the rows."""
        return (1 - lam) * state.u[..., 0] + lam * state.u[..., 1]

    def gradient(self, state: State, lam: float | Tensor) -> Tensor:
        """Gradient of log pi_lam per row, shape `[..., d]`."""
        lam = torch.as_tensor(lam, dtype=state.du.dtype, device=state.du.device)[..., None]
        return torch.lerp(state.du[..., 0, :], state.du[..., 1, :], lam)


class Single:
    """One density alone, for chains at the target: half the work of a path, whose `lam` has no effect here.

    States carry one log density, `u` of shape `[..., 1]` and `du` `[..., 1, d]`.

    Arguments:
        target: log p, row-wise `[..., d] -> [...]`, unnormalised.

    Example:
        >>> path = Single(StandardNormal())
        >>> state = path.init(torch.ones(3, 2))
        >>> path.gradient(state, 1.0)[0].tolist()
        [-1.0, -1.0]
    """

    def __init__(self, target: LogDensity) -> None:
        self.target = target

    def init(self, x: Tensor) -> State:
        """The log density and its gradient at `x`, shape `[..., d]`: one gradient evaluation per row."""
        x = x.detach()
        u, du = value_and_grad(self.target, x)
        return State(x, u[..., None], du[..., None, :])

    def log_prob(self, state: State, lam: float | Tensor) -> Tensor:
        """log p per row, float64, shape `[...]`."""
        return state.u[..., 0]

    def gradient(self, state: State, lam: float | Tensor) -> Tensor:
        """Gradient of log p per row, shape `[..., d]`."""
        return state.du[..., 0, :]

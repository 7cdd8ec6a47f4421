"""Triangular targets x_i = mu_i(x_<i) + s_i(x_<i) z_i: funnel, banana, Rosenbrock."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from gm.densities.targets.target import Target


class Triangular(Target):
    r"""The law of x_i = mu_i(x_<i) + s_i(x_<i) z_i with z ~ N(0, I), times exp(constant):

        log p(x) = constant - sum_i [z_i^2 / 2 + log s_i(x_<i) + log(2 pi) / 2],    log Z = constant,
        grad log p = -z / s + J_mu' (z / s) + J_log s' (z^2 - 1).

    A subclass gives mu and log s, and the product of their Jacobians with two cotangents. Draws solve the equations
    by repeated substitution, exact after `depth` rounds, the longest chain of dependence.
    """

    depth = 2

    @abstractmethod
    def conditionals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log s, `[..., d]` each (or broadcasting to it), at float64 points `[..., d]`."""

    @abstractmethod
    def pullback(self, x: Tensor, d_mu: Tensor, d_log_s: Tensor) -> Tensor:
        """J_mu' d_mu + J_log s' d_log_s, `[..., d]`, both cotangents `[..., d]`."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients `[..., d]` in the type of `x`."""
        y = x.double()
        mu, log_s = self.conditionals(y)
        log_s = log_s.expand_as(y)
        inverse = torch.exp(-log_s)
        z = (y - mu) * inverse
        value = self.constant - (z * z / 2 + log_s).sum(-1) - self.dim * math.log(2 * math.pi) / 2
        grad = self.pullback(y, z * inverse, z * z - 1) - z * inverse
        return value, grad.to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws, float32 `[n, d]`."""
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        x = torch.zeros_like(z)
        for _ in range(self.depth):
            mu, log_s = self.conditionals(x)
            x = mu + torch.exp(log_s) * z
        return x.float()


class Funnel(Triangular):
    r"""x_1 ~ N(0, sd^2), and x_i ~ N(0, exp(x_1)) for i > 1, given x_1.

    The law has sd = 3 in most papers and sd = 1 in some under the same name; their difficulties have little in common.
    Log weights from a Gaussian base are heavy-tailed.

    Reference: R. M. Neal, "Slice sampling" (2003), with sd = 3 and d = 10.

    Arguments:
        dim: d, at least 2.
        sd: of the first coordinate, which is half the log variance of the others.
        constant: log Z, nats.

    Example:
        >>> round(Funnel(dim=10)(torch.zeros(1, 10)).item() + 5 * math.log(2 * math.pi) + math.log(3), 6)
        1.5
    """

    def __init__(self, *, dim: int = 10, sd: float = 3.0, constant: float = 1.5) -> None:
        _check(dim >= 2 and sd > 0, f"found dim = {dim} and sd = {sd}; expected dim >= 2 and sd > 0")
        super().__init__(dim=dim, spread=max(sd, 1.0), log_z=float(constant), constant=constant)
        self.log_sd = math.log(sd)

    def conditionals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu = 0, log s = (log sd, x_1 / 2, ..., x_1 / 2)."""
        log_s = (x[..., :1] / 2).repeat_interleave(self.dim, -1)
        log_s[..., 0] = self.log_sd
        return torch.zeros_like(x), log_s

    def pullback(self, x: Tensor, d_mu: Tensor, d_log_s: Tensor) -> Tensor:
        """Half the sum of the cotangents of log s after the first, at x_1."""
        grad = torch.zeros_like(x)
        grad[..., 0] = d_log_s[..., 1:].sum(-1) / 2
        return grad


class Banana(Triangular):
    r"""x_1 ~ N(0, sd^2), x_2 ~ N(bend (sd^2 - x_1^2), 1) given x_1, and x_i ~ N(0, 1) for i > 2.

    Reference: H. Haario, E. Saksman and J. Tamminen, "Adaptive proposal distribution for random walk Metropolis
    algorithm" (1999), with sd = 10 and bend = 0.03 or 0.1.

    Arguments:
        dim: d, at least 2.
        bend: curvature.
        sd: of the first coordinate.
        constant: log Z, nats.

    Example:
        >>> Banana(dim=3).conditionals(torch.tensor([[10.0, 5.0, 7.0]]))[0].tolist()
        [[0.0, 0.0, 0.0]]
    """

    def __init__(self, *, dim: int = 10, bend: float = 0.03, sd: float = 10.0, constant: float = 1.5) -> None:
        _check(dim >= 2 and sd > 0, f"found dim = {dim} and sd = {sd}; expected dim >= 2 and sd > 0")
        square = sd**2 + 1 + 2 * (bend * sd**2) ** 2 + dim - 2
        super().__init__(dim=dim, spread=math.sqrt(square / dim), log_z=float(constant), constant=constant)
        self.bend, self.sd = bend, sd
        self.log_s = torch.zeros(dim, dtype=torch.float64)
        self.log_s[0] = math.log(sd)

    def conditionals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu = (0, bend (sd^2 - x_1^2), 0, ...), log s = (log sd, 0, ...)."""
        mu = torch.zeros_like(x)
        mu[..., 1] = self.bend * (self.sd**2 - x[..., 0] ** 2)
        return mu, self.log_s

    def pullback(self, x: Tensor, d_mu: Tensor, d_log_s: Tensor) -> Tensor:
        """-2 bend x_1 d_mu_2, at x_1."""
        grad = torch.zeros_like(x)
        grad[..., 0] = -2 * self.bend * x[..., 0] * d_mu[..., 1]
        return grad


class Rosenbrock(Triangular):
    r"""d/2 independent pairs of neighbours (u, v), u ~ N(1, 1 / (2 a)) and v ~ N(u^2, 1 / (2 b)) given u:

        log p = constant - sum_pairs [a (u - 1)^2 + b (v - u^2)^2] + (d / 4) log(a b / pi^2).

    In this even form every pair has the known law; a chain of squares through all coordinates would have no
    moments to speak of.

    Reference: H. H. Rosenbrock, "An automatic method for finding the greatest or least value of a function" (1960);
    F. Pagani, M. Wiegand and S. Nadarajah, "An n-dimensional Rosenbrock distribution for Markov chain Monte
    Carlo testing" (2022).

    Arguments:
        dim: d, even.
        a: half the precision of u, positive.
        b: half the precision of v given u, positive.
        constant: log Z, nats.

    Example:
        >>> target = Rosenbrock(dim=2, a=0.5, b=0.5)
        >>> abs(target(torch.ones(1, 2)).item() - 1.5 + math.log(2 * math.pi)) < 1e-12
        True
    """

    def __init__(self, *, dim: int = 36, a: float = 0.5, b: float = 5.0, constant: float = 1.5) -> None:
        found = f"found dim = {dim}, a = {a}, b = {b}; expected dim even, a > 0, b > 0"
        _check(dim >= 2 and dim % 2 == 0 and a > 0 and b > 0, found)
        variance = 1 / (2 * a)
        square = 1 + variance + 1 + 6 * variance + 3 * variance**2 + 1 / (2 * b)
        super().__init__(dim=dim, spread=math.sqrt(square / 2), log_z=float(constant), constant=constant)
        self.log_s = -torch.tensor([2 * a, 2 * b], dtype=torch.float64).log().repeat(dim // 2) / 2

    def conditionals(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu = (1, u^2) and log s = -(log 2a, log 2b) / 2 for every pair."""
        u = x[..., 0::2]
        return torch.stack((torch.ones_like(u), u * u), -1).flatten(-2), self.log_s

    def pullback(self, x: Tensor, d_mu: Tensor, d_log_s: Tensor) -> Tensor:
        """2 u d_mu_v, at u."""
        grad = torch.zeros_like(x)
        grad[..., 0::2] = 2 * x[..., 0::2] * d_mu[..., 1::2]
        return grad


def _check(right: bool, found: str) -> None:
    if not right:
        raise ValueError(found)

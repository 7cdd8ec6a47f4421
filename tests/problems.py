"""Distributions with a known normalising constant and exact samples, for tests of what estimates them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def z_score(values: Tensor, expected: float | Tensor = 0.0) -> Tensor:
    """(mean - expected) / standard error, over the first axis."""
    values = values.double()
    return (values.mean(0) - expected) / (values.std(0) / math.sqrt(len(values)))


@dataclass(frozen=True)
class LinearTilt:
    """N(0, I) times exp(a'x): log Z = |a|^2 / 2, and the normalised law is N(a, I)."""

    a: Tensor

    def tilt(self, x: Tensor) -> Tensor:
        return -(x @ self.a)

    @property
    def log_z(self) -> float:
        return float(self.a.double().square().sum() / 2)

    def sample(self, n: int, lam: float = 1.0, *, generator: torch.Generator) -> Tensor:
        return lam * self.a + torch.randn(n, len(self.a), generator=generator)


@dataclass(frozen=True)
class QuadraticTilt:
    """N(0, I) times exp(-sum_i c_i x_i^2 / 2), c_i > -1: log Z = -sum_i log(1 + c_i) / 2.

    Forward weights are bounded where c >= 0, reverse ones where c <= 0.
    """

    c: Tensor

    def tilt(self, x: Tensor) -> Tensor:
        return (self.c * x * x).sum(-1) / 2

    @property
    def log_z(self) -> float:
        return float(-torch.log1p(self.c.double()).sum() / 2)

    def sample(self, n: int, lam: float = 1.0, *, generator: torch.Generator) -> Tensor:
        return torch.randn(n, len(self.c), generator=generator) / (1 + lam * self.c).sqrt()


@dataclass(frozen=True)
class Mixture:
    """exp(log_z) sum_k weight_k N(mean_k, scale_k^2 I)."""

    weights: Tensor
    means: Tensor
    scales: Tensor
    log_z: float = 0.0

    def log_prob(self, x: Tensor) -> Tensor:
        """Unnormalised, `[..., d]` to `[...]`."""
        d = self.means.shape[-1]
        square = (x[..., None, :] - self.means).square().sum(-1) / self.scales**2
        terms = self.weights.log() - square / 2 - d * (self.scales.log() + math.log(2 * math.pi) / 2)
        return terms.logsumexp(-1) + self.log_z

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return self.means[k] + self.scales[k, None] * torch.randn(n, self.means.shape[-1], generator=generator)


@dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, I), x | z ~ N(W z + b, s^2 I): p(x) = N(b, W W' + s^2 I), and the posterior is Gaussian."""

    W: Tensor
    b: Tensor
    s: float

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), for x `[..., D]` and z `[..., d]`."""
        residual = (x - z @ self.W.T - self.b) / self.s
        return -residual.square().sum(-1) / 2 - len(self.b) * (math.log(self.s) + math.log(2 * math.pi) / 2)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact, float64."""
        W = self.W.double()
        covariance = W @ W.T + self.s**2 * torch.eye(len(W), dtype=torch.float64)
        return torch.distributions.MultivariateNormal(self.b.double(), covariance).log_prob(x.double())

    def posterior(self, x: Tensor) -> torch.distributions.MultivariateNormal:
        """p(z | x), float64."""
        W = self.W.double()
        precision = torch.eye(W.shape[1], dtype=torch.float64) + W.T @ W / self.s**2
        mean = (x.double() - self.b.double()) @ W @ torch.linalg.inv(precision) / self.s**2
        return torch.distributions.MultivariateNormal(mean, precision_matrix=precision)

    def sample(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Joint draws (z, x); z is an exact draw of the posterior given x."""
        z = torch.randn(n, self.W.shape[1], generator=generator)
        noise = torch.randn(n, len(self.b), generator=generator)
        return z, z @ self.W.T + self.b + self.s * noise


@dataclass(frozen=True)
class EnumeratedRBM:
    """Bernoulli RBM p(v) = exp(b'v + sum_j log(1 + exp(c_j + W_j'v))) / Z, summed over its 2^H hidden states.

    `W` is `[H, D]`, `b` `[D]`, `c` `[H]`; keep H small.
    """

    W: Tensor
    b: Tensor
    c: Tensor

    def log_unnormalised(self, v: Tensor) -> Tensor:
        """Log density of visible rows `[..., D]`, up to log Z."""
        return v @ self.b + torch.nn.functional.softplus(v @ self.W.T + self.c).sum(-1)

    def _hidden(self) -> tuple[Tensor, Tensor]:
        H = len(self.c)
        h = (torch.arange(2**H)[:, None] >> torch.arange(H) & 1).double()
        fields = h @ self.W.double() + self.b.double()
        return h, h @ self.c.double() + torch.nn.functional.softplus(fields).sum(-1)

    @property
    def log_z(self) -> float:
        return float(self._hidden()[1].logsumexp(0))

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact visible draws, `[n, D]` of zeros and ones."""
        h, log_mass = self._hidden()
        k = torch.multinomial(log_mass.softmax(0), n, replacement=True, generator=generator)
        p = (h[k] @ self.W.double() + self.b.double()).sigmoid()
        return (torch.rand(p.shape, generator=generator, dtype=p.dtype) < p).to(self.W.dtype)

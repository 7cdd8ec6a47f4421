"""Log-Gaussian Cox process on a grid, which has no exact truth, and its twin with a Gaussian likelihood, which has."""

import math

import torch
from torch import Tensor

from gm.densities.targets.linear_gaussian import LOG_2PI, Posterior
from gm.densities.targets.target import Target
from gm.rng import stream

EXPECTED, VARIANCE, LENGTH = 126.0, 1.91, 1 / 33
MEAN = math.log(EXPECTED) - VARIANCE / 2


class Cox(Target):
    r"""The latent field of a log-Gaussian Cox process on n x n cells of area A = 1/n^2, in whitened coordinates.

    .. math:: z \sim N(0, I), \quad f = \mu + L z, \quad y_i \mid f_i \sim \text{Poisson}(A e^{f_i}), \quad
        (L L^T)_{ij} = \sigma^2 e^{-|r_i - r_j| / \beta}

    .. math:: \log p(z) = \text{constant} + \log N(z; 0, I) + \sum_i \left[ y_i (f_i + \ln A) - A e^{f_i} - \ln y_i!
        \right]

    r_i are the centres of the cells of the unit square, sigma^2 = 1.91, beta = 1/33 and mu = ln 126 - sigma^2/2, which
    are values fitted to a pattern of 126 pine saplings. The counts here are not that pattern: they are drawn from the
    model by the seed, so values of log Z are not those published for the pines, where ln y! and A^y are moreover
    often left out. log Z is the evidence of the counts and has no closed form; there are no exact draws.

    Reference: Moller, Syversveen and Waagepetersen, Log Gaussian Cox processes, 1998 (the model and its parameters);
    Heng, Bishop, Deligiannidis and Doucet, Controlled sequential Monte Carlo, 2020 (as a target).

    Arguments:
        grid: n; d = n^2.
        seed: of the field and of the counts.
        constant: declared shift of log p, in nats.

    Example:
        >>> cox = Cox(grid=4)
        >>> cox.dim, cox.log_z is None
        (16, True)
    """

    def __init__(self, *, grid: int = 40, seed: int = 0, constant: float = 3.0) -> None:
        super().__init__(dim=grid**2, spread=1.0, log_z=None, constant=constant)
        self.area = 1 / grid**2
        self.factor = prior_factor(grid)
        self.single = self.factor.float()
        rate = self.area * (MEAN + self.factor @ latent(grid, seed)).exp()
        self.counts = torch.poisson(rate, generator=stream(seed, "counts"))
        self.offset = float((self.counts * math.log(self.area) - torch.lgamma(self.counts + 1)).sum())

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p, float64 `[...]`, and its gradient `[..., d]`, at whitened points."""
        L = self.single if x.dtype == torch.float32 else self.factor
        f = MEAN + x @ L.T
        rate, y = self.area * f.exp(), self.counts.to(x)
        likelihood = (y * f - rate).double().sum(-1) + self.offset
        prior = -0.5 * (x.double().square().sum(-1) + self.dim * LOG_2PI)
        return self.constant + prior + likelihood, (y - rate) @ L - x


class CoxTwin(Posterior):
    r"""The field of `Cox`, observed with Gaussian noise instead of counts: log Z and draws are exact.

    .. math:: z \sim N(0, I), \quad f = \mu + L z, \quad g_i \mid f_i \sim N(f_i, s^2), \quad s^2 = n^2 / 126

    A count's Fisher information about f_i is A e^{f_i}, whose prior mean 126 / n^2 is the precision 1/s^2 here: a cell
    says as much about the field, on average, as in `Cox` of the same grid and seed, whose field this one shares.

    Arguments:
        grid: n; d = n^2.
        seed: of the field and of its observations.
        constant: declared shift of log p, in nats.
    """

    def __init__(self, *, grid: int = 40, seed: int = 0, constant: float = 3.0) -> None:
        L, noise = prior_factor(grid), grid / math.sqrt(EXPECTED)
        error = torch.randn(grid**2, generator=stream(seed, "error"), dtype=torch.float64)
        super().__init__(weight=L, x=L @ latent(grid, seed) + noise * error, noise=noise, constant=constant)


def prior_factor(grid: int) -> Tensor:
    """L, lower triangular `[n^2, n^2]`: the Cholesky factor of the field's prior covariance."""
    r = (torch.cartesian_prod(*[torch.arange(grid, dtype=torch.float64)] * 2) + 0.5) / grid
    return torch.linalg.cholesky(VARIANCE * torch.exp(-torch.cdist(r, r) / LENGTH))


def latent(grid: int, seed: int) -> Tensor:
    """The whitened field that both targets observe, `[n^2]`."""
    return torch.randn(grid**2, generator=stream(seed, "field"), dtype=torch.float64)

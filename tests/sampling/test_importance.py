"""A linear-Gaussian decoder, x = W z + b + s e, has a known log p(x) and a known Gaussian posterior."""

import math
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from gm.sampling.importance import Importance, importance_bounds, log_mean, log_weight

ROWS, D, LATENT, NOISE = 400, 6, 2, 0.8


class Linear(NamedTuple):
    """Data `[ROWS, D]` of a linear-Gaussian decoder, its exact log density, and its exact (diagonal) posterior."""

    x: Tensor
    weight: Tensor
    exact: Tensor
    mean: Tensor
    std: Tensor

    def log_joint(self, z: Tensor) -> Tensor:
        residual = (self.x - z @ self.weight.T) / NOISE
        constant = (D + LATENT) * math.log(2 * math.pi) / 2 + D * math.log(NOISE)
        return -0.5 * (residual.square().sum(-1) + z.square().sum(-1)) - constant


@pytest.fixture(scope="module")
def linear() -> Linear:
    generator = torch.Generator().manual_seed(3)
    # Orthogonal columns make the exact posterior diagonal.
    basis, _ = torch.linalg.qr(torch.randn(D, LATENT, generator=generator, dtype=torch.float64))
    weight = basis * torch.tensor([1.5, 0.7], dtype=torch.float64)
    covariance = weight @ weight.T + NOISE**2 * torch.eye(D, dtype=torch.float64)
    law = MultivariateNormal(torch.zeros(D, dtype=torch.float64), covariance)
    x = torch.randn(ROWS, D, generator=generator, dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
    precision = 1 + (weight.T @ weight).diagonal() / NOISE**2
    return Linear(x, weight, law.log_prob(x), x @ weight / NOISE**2 / precision, precision.rsqrt().expand(ROWS, -1))


def bounds(linear: Linear, seed: int, *, shift: float, stretch: float, sizes: tuple[int, ...]) -> Importance:
    generator = torch.Generator().manual_seed(seed)
    return importance_bounds(
        linear.log_joint, linear.mean + shift, linear.std * stretch, sizes=sizes, generator=generator
    )


def standard_error(values: Tensor) -> Tensor:
    return values.std() / math.sqrt(len(values))


def test_exact_posterior_has_no_variance(linear: Linear) -> None:
    found = bounds(linear, 0, shift=0.0, stretch=1.0, sizes=(2, 8))
    for end in (*found.lower.values(), found.upper):
        torch.testing.assert_close(end, linear.exact, rtol=0, atol=1e-10)
    torch.testing.assert_close(found.ess, torch.full_like(found.ess, 8.0))


def test_lower_ends_rise_to_the_truth(linear: Linear) -> None:
    """Means over 400 rows; each of the comparisons with the truth is wrong with probability 1e-3 at most."""
    found = bounds(linear, 1, shift=0.4, stretch=1.3, sizes=(10, 100, 500))
    gaps = [found.lower[size] - linear.exact for size in (1, 10, 100, 500)]
    for gap in gaps:
        assert gap.mean() <= 3 * standard_error(gap)
    means = [float(gap.mean()) for gap in gaps]
    assert means == sorted(means) and means[0] < -0.2 and means[-1] > -0.01
    # Groups are nested, so Jensen's inequality holds row by row as well.
    assert all((high >= low - 1e-9).all() for low, high in pairwise(gaps))


@pytest.mark.parametrize("size", [1, 10])
def test_weights_are_unbiased(linear: Linear, size: int) -> None:
    """E[W] = p(x) over 400 x 100 replicates; two-sided at 4 standard errors, 6e-5."""
    generator = torch.Generator().manual_seed(2)
    mean, std = (part.expand(100, ROWS, LATENT) for part in (linear.mean + 0.3, 1.3 * linear.std))
    found = importance_bounds(linear.log_joint, mean, std, sizes=(size,), generator=generator)
    ratio = (found.lower[size] - linear.exact).exp().flatten()
    assert abs(ratio.mean() - 1) < 4 * standard_error(ratio)


def test_certified_ends_cover() -> None:
    """Mean lower ends over 5 rows, less ln(1/alpha)/5, exceed the truth in at most alpha of 400 replicates.

    The proposal is poor, so that the slack is at work. Seeing more failures than the 0.9999 quantile of a binomial
    of 400 trials at 0.05, which is 38, has probability below 1e-4.
    """
    generator, alpha, rows = torch.Generator().manual_seed(4), 0.05, 5
    x = 2.0 + torch.randn(400, rows, 1, generator=generator, dtype=torch.float64)

    def log_joint(z: Tensor) -> Tensor:
        return -0.5 * (z.square() + (x - z).square()).squeeze(-1) - math.log(2 * math.pi)

    exact = (-0.25 * x.square()).squeeze(-1) - 0.5 * math.log(4 * math.pi)
    mean, std = torch.zeros_like(x), torch.full_like(x, 0.8)
    found = importance_bounds(log_joint, mean, std, sizes=(10,), generator=generator)
    certified = found.lower[10].mean(1) - math.log(1 / alpha) / rows
    assert int((certified > exact.mean(1)).sum()) <= 38


def test_upper_end_is_above_the_truth(linear: Linear) -> None:
    """With enough draws z* is a posterior draw: the mean over rows is not below the truth by 3 standard errors."""
    for seed in range(3):
        found = bounds(linear, 10 + seed, shift=0.5, stretch=1.4, sizes=(20, 1000))
        gap = found.upper - linear.exact
        assert gap.mean() >= -3 * standard_error(gap)
        assert (found.upper >= found.lower[1000]).all()


def test_upper_end_with_exact_posterior_draws(linear: Linear) -> None:
    """E log mean weight of K draws, one from the exact posterior, falls to log p from above as K grows.

    Means over 400 x 200 replicates; each comparison with the truth is wrong with probability 1e-3 at most.
    """
    generator = torch.Generator().manual_seed(5)
    mean, std = linear.mean + 0.4, 1.2 * linear.std
    noise = torch.randn(2, 10, 200, ROWS, LATENT, generator=generator, dtype=torch.float64)
    log_w = log_weight(linear.log_joint, mean, std, mean + std * noise[0])
    star = log_weight(linear.log_joint, mean, std, linear.mean + linear.std * noise[1, :1])
    means = []
    for size in (1, 3, 10):
        gap = (log_mean(torch.cat([star, log_w[1:size]]), 0) - linear.exact).flatten()
        assert gap.mean() >= -3 * standard_error(gap)
        means.append(float(gap.mean()))
    assert means == sorted(means, reverse=True) and means[0] > 0.1


def test_sizes_must_divide(linear: Linear) -> None:
    with pytest.raises(ValueError, match="divisors of the largest, 10"):
        bounds(linear, 0, shift=0.0, stretch=1.0, sizes=(3, 10))

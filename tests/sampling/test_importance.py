"""A linear-Gaussian decoder, x = W z + b + s e, has a known log p(x) and a known Gaussian posterior."""

import math
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from problems import LinearGaussian, generator
from torch import Tensor
from torch.distributions import MultivariateNormal

from gm.sampling.importance import Gaussian, Importance, design, fit, importance_bounds
from gm.sampling.logz import log_mean

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
    q = diagonal(linear.mean + shift, linear.std * stretch)
    return importance_bounds(linear.log_joint, q, sizes=sizes, generator=generator)


def diagonal(mean: Tensor, std: Tensor) -> Gaussian:
    return Gaussian(mean, torch.diag_embed(std))


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
    found = importance_bounds(linear.log_joint, diagonal(mean, std), sizes=(size,), generator=generator)
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
    found = importance_bounds(log_joint, diagonal(mean, std), sizes=(10,), generator=generator)
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
    q = diagonal(mean, std)
    log_w = q.log_weight(linear.log_joint, noise[0])
    star = q.log_weight(linear.log_joint, (linear.mean + linear.std * noise[1, :1] - mean) / std)
    means = []
    for size in (1, 3, 10):
        gap = (log_mean(torch.cat([star, log_w[1:size]]), 0) - linear.exact).flatten()
        assert gap.mean() >= -3 * standard_error(gap)
        means.append(float(gap.mean()))
    assert means == sorted(means, reverse=True) and means[0] > 0.1


def test_sizes_must_divide(linear: Linear) -> None:
    with pytest.raises(ValueError, match="divisors of the largest, 10"):
        bounds(linear, 0, shift=0.0, stretch=1.0, sizes=(3, 10))


@pytest.fixture(scope="module")
def correlated() -> tuple[LinearGaussian, Tensor, Tensor, Tensor]:
    """A decoder whose posterior is correlated; rows z, x simulated from it, and log p(x)."""
    g = generator(7)
    single = LinearGaussian(torch.randn(5, 3, generator=g), torch.randn(5, generator=g), 0.5)
    z, x = single.sample(200, generator=g)
    problem = LinearGaussian(single.W.double(), single.b.double(), single.s)
    return problem, z.double(), x.double(), problem.log_prob(x)


def joint(problem: LinearGaussian, x: Tensor):
    return lambda z: problem.log_likelihood(x, z) - 0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))


def encoder(x: Tensor) -> Gaussian:
    """A poor start: the prior, narrowed."""
    return diagonal(torch.zeros(len(x), 3).double(), torch.full((len(x), 3), 0.7).double())


def fitted_to(problem: LinearGaussian, x: Tensor, rounds: int) -> Gaussian:
    q, points = encoder(x), design(3, generator=generator(8))
    for _ in range(rounds):
        q, _ = fit(joint(problem, x), q, points)
    return q


def test_fit_finds_a_gaussian_posterior(correlated) -> None:
    """The posterior's mean and covariance, to rounding, once no step is cut; then each weight is p(x)."""
    problem, _, x, exact = correlated
    q = fitted_to(problem, x, 12)
    posterior = problem.posterior(x)
    torch.testing.assert_close(q.mean, posterior.mean)
    torch.testing.assert_close(q.factor @ q.factor.mT, posterior.covariance_matrix.expand(len(x), 3, 3))
    found = importance_bounds(joint(problem, x), q, sizes=(5,), generator=generator(9))
    torch.testing.assert_close(found.lower[5], exact)
    torch.testing.assert_close(found.upper, exact)


def test_a_step_of_the_fit_is_bounded(correlated) -> None:
    """No width more than doubles and no mean moves farther than sqrt(d) of the old widths, however far the posterior;
    also where the log density curves upwards, so that no Gaussian has its curvature."""
    problem, _, x, _ = correlated
    q = encoder(x)
    for log_joint in (joint(problem, x + 100), lambda z: z.square().sum(-1)):
        new, _ = fit(log_joint, q, design(3, generator=generator(8)))
        assert ((new.mean - q.mean) / 0.7).norm(dim=-1).max() <= math.sqrt(3) + 1e-9
        assert torch.linalg.matrix_norm(new.factor, 2).max() <= 2 * 0.7 + 1e-9


def test_log_weights_of_the_fit_are_those_of_its_start(correlated) -> None:
    """Their mean is the start's evidence lower bound, below log p in the mean over 200 rows, by no sampling error."""
    problem, _, x, exact = correlated
    _, log_w = fit(joint(problem, x), encoder(x), design(3, generator=generator(8)))
    assert log_w.shape == (64, 200) and log_w.mean() < exact.mean() - 1


def test_weights_of_a_full_gaussian_are_unbiased(correlated) -> None:
    """E[W] = p(x) from a correlated proposal beside the posterior; 200 x 100 replicates, 4 standard errors (6e-5)."""
    problem, _, x, exact = correlated
    near = fitted_to(problem, x, 12)
    q = Gaussian((near.mean + 0.1).expand(100, 200, 3), (1.2 * near.factor).expand(100, 200, 3, 3))
    found = importance_bounds(joint(problem, x), q, sizes=(2,), generator=generator(10))
    ratio = (found.lower[2] - exact).exp().mean(1)
    assert abs(ratio.mean() - 1) < 4 * standard_error(ratio) < 0.05


def test_both_ends_are_certified_on_simulated_rows(correlated) -> None:
    """Of 300 replicates each end, slack taken, crosses the mean of log p in at most the 0.9999 quantile of a binomial
    at 0.05, 31 (false-alarm rate 1e-4 each); and E[1 / W'] = 1 / p(x) within 4 standard errors (6e-5)."""
    problem, z, x, exact = correlated
    q = diagonal(z.new_zeros(300, 4, 3), z.new_full((300, 4, 3), 0.9))
    g = generator(11)
    rows = torch.randint(200, (300, 4), generator=g)
    found = importance_bounds(joint(problem, x[rows]), q, sizes=(40,), exact=z[rows], generator=g)
    slack = math.log(20) / 4
    assert int((found.lower[40].mean(1) - slack > exact[rows].mean(1)).sum()) <= 31
    assert int((found.upper.mean(1) + slack < exact[rows].mean(1)).sum()) <= 31


def test_upper_weights_of_exact_draws_are_unbiased(correlated) -> None:
    """E[1 / W'] = 1 / p(x) with one exact posterior draw a replicate: 20000 of them, 4 standard errors (6e-5)."""
    problem, _, x, exact = correlated
    posterior = problem.posterior(x)
    g = generator(12)
    eps = torch.randn(100, 200, 3, generator=g, dtype=torch.float64)
    star = posterior.mean + (posterior.scale_tril @ eps[..., None])[..., 0]
    q = Gaussian(posterior.mean.expand(100, 200, 3) + 0.1, 1.3 * posterior.scale_tril.expand(100, 200, 3, 3))
    log_joint = joint(problem, x)
    eps = torch.linalg.solve_triangular(q.factor, (star - q.mean)[..., None], upper=False)[..., 0]
    fresh = torch.randn(3, *q.mean.shape, generator=g, dtype=torch.float64)
    log_w = torch.cat([q.log_weight(log_joint, eps[None]), q.log_weight(log_joint, fresh)])
    ratio = (exact - log_mean(log_w, 0)).exp().mean(1)
    assert abs(ratio.mean() - 1) < 4 * standard_error(ratio)
    found = importance_bounds(log_joint, q, sizes=(4,), exact=star, generator=g)
    high = (found.upper - exact).mean(1)
    assert high.mean() > 3 * standard_error(high)
    one = importance_bounds(log_joint, q, sizes=(1,), exact=star, generator=g)
    direct = log_joint(star) - MultivariateNormal(q.mean, scale_tril=q.factor).log_prob(star)
    torch.testing.assert_close(one.upper, torch.maximum(direct, one.lower[1]))


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 2"):
        design(3, excess=2, generator=generator(0))


def test_a_density_that_is_not_finite_is_refused(correlated) -> None:
    _, _, x, _ = correlated
    with pytest.raises(FloatingPointError, match="not finite"):
        fit(lambda z: z.sum(-1) / 0, encoder(x), design(3, generator=generator(0)))

import math

import pytest
import torch
from problems import generator, z_score
from torch.distributions import MultivariateNormal, Normal, Poisson

from gm.densities.targets.cox import Cox, CoxTwin, latent, prior_factor


def covariance(grid: int) -> torch.Tensor:
    centre = [((i + 0.5) / grid, (j + 0.5) / grid) for i in range(grid) for j in range(grid)]
    table = [[1.91 * math.exp(-33 * math.dist(r, s)) for s in centre] for r in centre]
    return torch.tensor(table, dtype=torch.float64)


def test_prior() -> None:
    L = prior_factor(5)
    torch.testing.assert_close(L @ L.T, covariance(5))
    assert (L.triu(1) == 0).all()


def test_density_and_gradient() -> None:
    cox = Cox(grid=4, seed=3, constant=0.7)
    z = torch.randn(2, 5, 16, generator=generator(0), dtype=torch.float64, requires_grad=True)
    f = math.log(126) - 1.91 / 2 + z @ torch.linalg.cholesky(covariance(4)).T
    likelihood = Poisson(f.exp() / 16).log_prob(cox.counts).sum(-1)
    value = 0.7 + Normal(0.0, 1.0).log_prob(z).sum(-1) + likelihood
    found = cox.value_and_grad(z.detach())
    torch.testing.assert_close(found[0], value.detach())
    torch.testing.assert_close(found[1], torch.autograd.grad(value.sum(), z)[0])
    single = cox.value_and_grad(z.detach().float())
    assert single[0].dtype == torch.float64 and single[1].dtype == torch.float32
    torch.testing.assert_close(single[0], found[0], rtol=1e-5, atol=1e-4)


def test_counts_come_from_the_model() -> None:
    """The total's mean over 400 seeds is 126 whatever the grid; |z| < 4: false alarm 6e-5."""
    totals = torch.stack([Cox(grid=6, seed=seed).counts.sum() for seed in range(400)])
    assert z_score(totals, 126.0).abs() < 4
    cox = Cox(grid=6, seed=1)
    assert (cox.counts == cox.counts.round()).all() and torch.equal(cox.counts, Cox(grid=6, seed=1).counts)


def test_cox_has_no_truth() -> None:
    cox = Cox(grid=3)
    assert cox.log_z is None and cox.mode_weights is None and cox.dim == 9
    with pytest.raises(TypeError, match="no exact sampler"):
        cox.sample(1, generator=generator(0))


def test_twin_has_the_evidence_of_dense_algebra() -> None:
    twin = CoxTwin(grid=5, seed=2, constant=0.4)
    noise = 25 / 126
    law = MultivariateNormal(torch.zeros(25).double(), covariance(5) + noise * torch.eye(25, dtype=torch.float64))
    assert twin.log_z == pytest.approx(0.4 + float(law.log_prob(twin.observed)), abs=1e-10)
    # the field is that of Cox; its observation is off by noise alone: chi-squared with 25 degrees of freedom in 5..70
    residual = twin.observed - prior_factor(5) @ latent(5, 2)
    assert 5 < float(residual.square().sum() / noise) < 70


def test_twin_draws() -> None:
    """log p - log Z of a draw is the log density of a Gaussian: its mean is minus its entropy; |z| < 4: 6e-5."""
    twin = CoxTwin(grid=4)
    z = twin.sample(20_000, generator=generator(1))
    white = torch.linalg.cholesky(covariance(4))
    precision = torch.eye(16, dtype=torch.float64) + white.T @ white * 126 / 16
    entropy = 8 * math.log(2 * math.pi * math.e) - 0.5 * torch.logdet(precision)
    assert z_score(twin.log_prob(z) - twin.log_z, -entropy).abs() < 4
    mean = torch.linalg.solve(precision, white.T @ twin.observed * 126 / 16)
    # 16 z-scores below 4.6: 7e-5
    assert z_score(z, mean).abs().max() < 4.6


def test_twin_has_as_much_information_as_the_counts() -> None:
    """Prior mean of the Fisher information A exp(f_i) of a count, by the mean of a log-normal law."""
    grid = 7
    fisher = math.exp(math.log(126) - 1.91 / 2 + 1.91 / 2) / grid**2
    assert 1 / CoxTwin(grid=grid).noise ** 2 == pytest.approx(fisher)


@pytest.mark.slow
def test_the_full_grid() -> None:
    cox, twin = Cox(), CoxTwin()
    z = twin.sample(4, generator=generator(2))
    assert cox.dim == twin.dim == 1600
    assert torch.isfinite(cox.log_prob(z)).all() and math.isfinite(twin.log_z)

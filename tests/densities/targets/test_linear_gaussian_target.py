import pytest
import torch
from problems import generator, z_score
from torch.distributions import MultivariateNormal, Normal

from gm.densities.targets.linear_gaussian import LinearGaussian, Posterior


def double(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("observed, dim", [(9, 4), (3, 6), (1, 1)])
def test_log_z_is_the_evidence(observed: int, dim: int) -> None:
    W, x, s = double(observed, dim, seed=0), double(observed, seed=1), 0.4
    target = Posterior(weight=W, x=x, noise=s, constant=0.9)
    covariance = W @ W.T + s**2 * torch.eye(observed, dtype=torch.float64)
    evidence = MultivariateNormal(torch.zeros(observed, dtype=torch.float64), covariance).log_prob(x)
    assert target.log_z == pytest.approx(0.9 + float(evidence), abs=1e-10)


def test_density_gradient_and_posterior() -> None:
    W, x, s = double(9, 4, seed=0), double(9, seed=1), 0.4
    target = Posterior(weight=W, x=x, noise=s, constant=0.9)
    z = double(2, 5, 4, seed=2).requires_grad_()
    value = 0.9 + Normal(0.0, 1.0).log_prob(z).sum(-1) + Normal(z @ W.T, s).log_prob(x).sum(-1)
    found = target.value_and_grad(z.detach())
    torch.testing.assert_close(found[0], value.detach())
    torch.testing.assert_close(found[1], torch.autograd.grad(value.sum(), z)[0])
    precision = torch.eye(4, dtype=torch.float64) + W.T @ W / s**2
    law = MultivariateNormal(torch.linalg.solve(precision, W.T @ x / s**2), precision_matrix=precision)
    torch.testing.assert_close(found[0] - target.log_z, law.log_prob(z.detach()))
    single = target.value_and_grad(z.detach().float())
    assert single[0].dtype == torch.float64 and single[1].dtype == torch.float32


def test_draws_are_of_the_posterior() -> None:
    """Means, squares and products of standardised draws, 14 z-scores below 4.6: 6e-5."""
    target = LinearGaussian(dim=4, observed=5, noise=0.6)
    z = target.sample(40_000, generator=generator(3))
    assert z.dtype == torch.float32 and torch.equal(z, target.sample(40_000, generator=generator(3)))
    precision = torch.eye(4, dtype=torch.float64) + target.weight.T @ target.weight / 0.36
    mean = torch.linalg.solve(precision, target.weight.T @ target.observed / 0.36)
    white = (z.double() - mean) @ torch.linalg.cholesky(precision)
    row, column = torch.triu_indices(4, 4)
    products = white[:, row] * white[:, column]
    assert z_score(white).abs().max() < 4.6
    assert z_score(products, (row == column).double()).abs().max() < 4.6


def test_seed_draws_the_model() -> None:
    one, other = LinearGaussian(seed=1), LinearGaussian(seed=2)
    assert not torch.equal(one.weight, other.weight) and one.identity != other.identity
    assert one.dim == 16 and len(one.observed) == 64 and one.constant != 0


def test_noise_is_positive() -> None:
    with pytest.raises(ValueError, match="noise = 0; expected a positive"):
        Posterior(weight=torch.ones(1, 1), x=torch.ones(1), noise=0)

"""Student-t targets against scipy's."""

import numpy as np
import pytest
import torch
from problems import generator
from scipy.stats import f, kstest, multivariate_t, t

from gm.densities.targets.student import MultivariateT, ProductT


@pytest.mark.parametrize("nu", [1, 2, 5])
@pytest.mark.parametrize("dim", [1, 3, 50])
def test_densities_are_those_of_scipy(nu: int, dim: int) -> None:
    x = MultivariateT(dim=dim, nu=nu).sample(30, generator=generator(0)).double().numpy()
    joint = multivariate_t(np.zeros(dim), np.eye(dim), df=nu)
    tensor = torch.from_numpy(x)
    np.testing.assert_allclose(MultivariateT(dim=dim, nu=nu, constant=0.0)(tensor), joint.logpdf(x), rtol=1e-10)
    np.testing.assert_allclose(ProductT(dim=dim, nu=nu, constant=0.0)(tensor), t.logpdf(x, nu).sum(-1), rtol=1e-10)


@pytest.mark.parametrize("nu", [1, 2, 5])
def test_draws_of_the_multivariate_law(nu: int) -> None:
    """A margin is t, and |x|^2 / d is F(d, nu): one scale for all coordinates; KS at 1e-4 each."""
    x = MultivariateT(dim=20, nu=nu).sample(10_000, generator=generator(1)).double()
    assert kstest(x[:, 0], "t", args=(nu,)).pvalue > 1e-4 and kstest(x.sum(-1) / 20**0.5, "t", args=(nu,)).pvalue > 1e-4
    assert kstest(x.square().mean(-1), f(20, nu).cdf).pvalue > 1e-4


@pytest.mark.parametrize("nu", [1, 2, 5])
def test_draws_of_the_product_law(nu: int) -> None:
    """Margins are t, KS at 1e-4; a large first coordinate tells nothing of the second: |z| < 4 (6e-5)."""
    x = ProductT(dim=20, nu=nu).sample(10_000, generator=generator(2)).double()
    assert kstest(x[:, 0], "t", args=(nu,)).pvalue > 1e-4 and kstest(x.flatten()[::7], "t", args=(nu,)).pvalue > 1e-4
    big = (x.abs() > t.ppf(0.75, nu)).double() - 0.5
    assert abs((big[:, 0] * big[:, 1]).mean()) * 4 * 100 < 4


def test_far_tails_stay_finite() -> None:
    x = torch.full((1, 4), 1e30)
    for target in (MultivariateT(dim=4, nu=1), ProductT(dim=4, nu=1)):
        value, grad = target.value_and_grad(x)
        assert value.isfinite().all() and grad.isfinite().all() and (grad <= 0).all()

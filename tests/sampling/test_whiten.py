import math

import pytest
import torch
from problems import generator, z_score
from torch import Tensor

from gm.sampling.path import Analytic
from gm.sampling.whiten import Autoregressive, Whitened, explore

D = 5


class Normal(Analytic):
    """exp(2) N(m, S) in any dimension, gradient in closed form."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.mean, self.precision = mean, torch.linalg.inv(covariance.double()).to(mean.dtype)
        self.constant = 2.0 - float(torch.linalg.slogdet(2 * math.pi * covariance.double())[1]) / 2

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grad = (self.mean - x) @ self.precision
        return ((x - self.mean) * grad).double().sum(-1) / 2 + self.constant, grad


def problem(d: int = D, condition: float = 1e3) -> tuple[Normal, Tensor]:
    """A rotated normal and its Cholesky factor, float64."""
    g = generator(0)
    Q = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64))[0]
    covariance = (Q * torch.logspace(0, math.log10(condition), d, dtype=torch.float64)) @ Q.T
    covariance = (covariance + covariance.T) / 2
    mean = torch.arange(d, dtype=torch.float64)
    return Normal(mean, covariance), torch.linalg.cholesky(covariance)


def test_the_right_factor_makes_a_normal_standard() -> None:
    """Value and gradient are those of exp(2) N(0, I): the determinant keeps the normalising constant."""
    target, L = problem()
    w = torch.randn(7, 2, D, generator=generator(1), dtype=torch.float64)
    value, grad = Whitened(target, target.mean, L).value_and_grad(w)
    torch.testing.assert_close(value, 2 - w.square().sum(-1) / 2 - D * math.log(2 * math.pi) / 2)
    torch.testing.assert_close(grad, -w)


@pytest.mark.parametrize("dense", [True, False])
def test_there_and_back(dense: bool) -> None:
    target, L = problem()
    whitened = Whitened(target, target.mean, L if dense else L.diagonal())
    x = torch.randn(3, 4, D, generator=generator(2), dtype=torch.float64)
    torch.testing.assert_close(whitened.unwhiten(whitened.whiten(x)), x)
    torch.testing.assert_close(whitened.whiten(whitened.unwhiten(x)), x)


@pytest.mark.parametrize("dense", [True, False])
def test_the_gradient_is_that_of_the_value(dense: bool) -> None:
    target, L = problem()
    whitened = Whitened(target, target.mean + 1, L if dense else L.diagonal())
    w = torch.randn(6, D, generator=generator(3), dtype=torch.float64)
    e = 1e-4 * torch.eye(D, dtype=torch.float64)
    slopes = torch.stack([(whitened(w + step) - whitened(w - step)) / 2e-4 for step in e], -1)
    torch.testing.assert_close(whitened.value_and_grad(w)[1], slopes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("start", ["diagonal", "dense"])
def test_a_refit_composes_with_the_coordinates_it_is_given(start: str) -> None:
    """From 200 000 draws the new coordinates are white: mean and covariance within 0.02 (6 sd and more)."""
    target, L = problem(condition=30.0)
    factor = (
        torch.full((D,), 2.0, dtype=torch.float64) if start == "diagonal" else 0.5 * L + torch.arange(1.0, 6.0).diag()
    )
    old = Whitened(target, torch.ones(D, dtype=torch.float64), factor)
    z = torch.randn(200_000, D, generator=generator(4), dtype=torch.float64)
    x = target.mean + z @ L.T
    new = old.refit(old.whiten(x))
    white = new.whiten(x)
    assert white.mean(0).abs().max() < 0.02
    assert (white.T.cov() - torch.eye(D)).abs().max() < 0.02
    assert new.factor.shape == (D, D) and new.factor.triu(1).abs().max() == 0


def test_few_draws_get_a_diagonal() -> None:
    target, _ = problem()
    whitened = Whitened(target, torch.zeros(D), torch.full((D,), 3.0))
    w = torch.randn(4 * D - 1, D, generator=generator(5)) * torch.tensor([1.0, 2.0, 4.0, 1.0, 1.0])
    new = whitened.refit(w)
    assert new.factor.shape == (D,)
    assert new.factor[2] > new.factor[1] > 3.0
    torch.testing.assert_close(new.mean, 3 * w.mean(0))
    assert whitened.refit(torch.cat((w, w[:1]))).factor.shape == (D, D)


def test_white_draws_leave_nearly_white_coordinates() -> None:
    """Ledoit and Wolf's weight is near one where the truth is the identity, so noise does not enter the base.

    Without shrinkage, eigenvalues of 400 draws in 100 dimensions would spread from 0.25 to 2.25.
    """
    whitened = Whitened(lambda x: x.sum(-1), torch.zeros(100), torch.ones(100))
    new = whitened.refit(torch.randn(400, 100, generator=generator(6)))
    eigenvalues = torch.linalg.eigvalsh(new.factor @ new.factor.T)
    assert eigenvalues.min() > 0.8 and eigenvalues.max() < 1.2


def recursion() -> Autoregressive:
    g = generator(7)
    a = 0.4 * torch.randn(D, 2, generator=g, dtype=torch.float64)
    return Autoregressive(torch.arange(D).double(), a, 0.5 + torch.rand(D, generator=g, dtype=torch.float64))


def covariance(base: Autoregressive) -> Tensor:
    """From x = m + (I - A)^-1 s xi, written out densely."""
    A = torch.zeros(D, D, dtype=torch.float64)
    for i in range(D):
        for j in range(1, min(i, base.coefficients.shape[1]) + 1):
            A[i, i - j] = base.coefficients[i, j - 1]
    root = torch.linalg.inv(torch.eye(D, dtype=torch.float64) - A) * base.scale
    return root @ root.T


def test_an_autoregressive_density_is_that_of_its_recursion() -> None:
    base = recursion()
    exact = torch.distributions.MultivariateNormal(base.mean, covariance(base))
    x = torch.randn(3, 4, D, generator=generator(8), dtype=torch.float64, requires_grad=True)
    value, grad = base.value_and_grad(x.detach())
    torch.testing.assert_close(value, exact.log_prob(x).detach())
    torch.testing.assert_close(grad, torch.autograd.grad(exact.log_prob(x).sum(), x)[0])


def test_autoregressive_draws_have_its_moments() -> None:
    """Means and all products over 50 000 draws; 20 z-scores below 4.5: false alarm 1.4e-4."""
    base = recursion()
    centred = base.sample(50_000, generator=generator(9)) - base.mean
    assert z_score(centred).abs().max() < 4.5
    i, j = torch.tril_indices(D, D)
    assert z_score(centred[:, i] * centred[:, j], covariance(base)[i, j]).abs().max() < 4.5


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_a_fit_finds_the_recursion(order: int) -> None:
    """From 50 000 draws: coefficients and scales within 0.05 where the order suffices, marginals always."""
    base = recursion()
    x = base.sample(50_000, generator=generator(10))
    fit = Autoregressive.fit(x, order)
    assert fit.coefficients.shape == (D, order)
    assert (fit.mean - base.mean).abs().max() < 0.05
    if order >= 2:
        for i in range(1, D):
            k = min(i, 2)
            assert (fit.coefficients[i, :k] - base.coefficients[i, :k]).abs().max() < 0.05
        assert (fit.scale / base.scale - 1).abs().max() < 0.03
    if order == 0:
        torch.testing.assert_close(fit.scale, x.std(0))


def test_exploring_finds_the_widths_of_a_rotated_normal() -> None:
    """Nothing but the log density and a spread is given; the condition number 1e4 ends below 20."""
    target, L = problem(10, 1e4)
    target = Normal(target.mean.float(), (L @ L.T).float())
    whitened, x, evals = explore(target, 10, 1.0, generator=generator(0), chains=128, rounds=4, moves=8)
    M = torch.linalg.solve_triangular(whitened.factor.double(), L, upper=False)
    eigenvalues = torch.linalg.eigvalsh(M @ M.T)
    assert eigenvalues.max() / eigenvalues.min() < 20
    assert x.shape == (128, 10) and whitened.factor.shape == (10, 10)
    again = explore(target, 10, 1.0, generator=generator(0), chains=128, rounds=4, moves=8)
    assert torch.equal(again[1], x) and torch.equal(again[0].factor, whitened.factor)
    assert evals % 128 == 0


def test_exploring_counts_its_evaluations() -> None:
    calls = []

    def target(x: Tensor) -> Tensor:
        calls.append(len(x))
        return -x.square().sum(-1) / 2

    _, _, evals = explore(target, 3, 2.0, generator=generator(0), chains=20, rounds=2, moves=4)
    assert evals == sum(calls)

"""Triangular targets: the noise recovered from draws is standard normal, and the densities are the written ones."""

import math

import numpy as np
import pytest
import torch
from problems import generator, z_score
from scipy.stats import kstest, norm

from gm.densities.targets.triangular import Banana, Funnel, Rosenbrock, Triangular

TARGETS = [Funnel(dim=10, sd=1.0), Funnel(dim=10), Funnel(dim=500), Banana(dim=10), Rosenbrock(dim=36)]


@pytest.mark.parametrize("target", TARGETS, ids=["funnel 1", "funnel 3", "funnel 500", "banana", "rosenbrock"])
def test_the_noise_is_standard_normal(target: Triangular) -> None:
    """z(x) of 5000 draws: moments by |z| < 5.5 (2e-5 over 500 coordinates), KS of all at 1e-4."""
    x = target.sample(5000, generator=generator(0)).double()
    mu, log_s = target.conditionals(x)
    z = (x - mu) * torch.exp(-log_s)
    assert z_score(z).abs().max() < 5.5 and z_score(z.square(), 1.0).abs().max() < 5.5
    assert z_score(z[:, 1:] * z[:, :-1]).abs().max() < 5.5
    assert kstest(z[:, :2].flatten(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("sd", [1.0, 3.0])
def test_funnel_is_the_written_law(sd: float) -> None:
    target, x = Funnel(dim=5, sd=sd, constant=0.0), torch.randn(20, 5, generator=generator(1), dtype=torch.float64)
    v = x[:, :1].numpy()
    expected = norm.logpdf(v[:, 0], 0, sd) + norm.logpdf(x[:, 1:], 0, np.exp(v / 2)).sum(-1)
    np.testing.assert_allclose(target(x), expected, rtol=1e-12)
    assert kstest(Funnel(dim=5, sd=sd).sample(5000, generator=generator(2))[:, 0] / sd, "norm").pvalue > 1e-4


def test_banana_is_the_written_law() -> None:
    target, x = Banana(dim=5, bend=0.1, constant=0.0), torch.randn(20, 5, generator=generator(1), dtype=torch.float64)
    a = x.numpy()
    expected = (
        norm.logpdf(a[:, 0], 0, 10) + norm.logpdf(a[:, 1] + 0.1 * a[:, 0] ** 2 - 10) + norm.logpdf(a[:, 2:]).sum(1)
    )
    np.testing.assert_allclose(target(x), expected, rtol=1e-12)


def test_rosenbrock_is_the_written_law() -> None:
    target, x = Rosenbrock(dim=6, a=0.4, b=3.0, constant=0.0), torch.randn(20, 6, generator=generator(1)).double()
    u, v = x[:, 0::2], x[:, 1::2]
    energy = (0.4 * (u - 1) ** 2 + 3.0 * (v - u * u) ** 2).sum(-1)
    torch.testing.assert_close(target(x), -energy + 1.5 * math.log(0.4 * 3.0 / math.pi**2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("target", [Banana(dim=10, bend=0.1), Rosenbrock(dim=36, a=0.3)], ids=["banana", "rosenbrock"])
def test_spread_is_the_root_mean_square(target: Triangular) -> None:
    """|z| < 4: false alarm 6e-5."""
    x = target.sample(100_000, generator=generator(3)).double()
    assert abs(z_score(x.square().mean(-1), target.spread**2)) < 4

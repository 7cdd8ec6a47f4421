"""Mixtures: the law, exact masses of the modes, and the missed mode."""

import math

import pytest
import torch
from problems import Mixture as Reference
from problems import generator, z_score
from scipy.stats import kstest, norm

from gm.densities.targets.mixture import GMM40, Mixture, TwoModes


@pytest.mark.parametrize("dim", [2, 40])
def test_density_is_that_of_the_reference(dim: int) -> None:
    g = generator(0)
    weights, scales = torch.rand(5, generator=g).double().softmax(0), 0.5 + torch.rand(5, generator=g).double()
    means = 9 * torch.randn(5, dim, generator=g, dtype=torch.float64)
    target = Mixture(weights=weights, means=means, scales=scales, spread=None, constant=0.7)
    reference = Reference(weights, means, scales, log_z=0.7)
    x = target.sample(50, generator=g).double()
    torch.testing.assert_close(target(x), reference.log_prob(x), rtol=1e-11, atol=1e-9)
    assert math.isclose(target.log_z, 0.7)
    expected = (weights @ (means.square().mean(1) + scales**2)).sqrt()
    assert math.isclose(target.spread, expected, rel_tol=1e-12)


@pytest.mark.parametrize("separation, width, origin", [(1.0, 1.0, 0.5), (4.0, 0.5, 0.0), (12.0, 2.0, 0.8)])
def test_two_modes_lie_where_they_should(separation: float, width: float, origin: float) -> None:
    """Projected on the diagonal the law is known: KS at 1e-4; the masses of the modes by |z| < 4 (6e-5)."""
    target = TwoModes(dim=9, separation=separation, weight=0.3, width=width, origin=origin)
    x = target.sample(20_000, generator=generator(1)).double()
    gap = separation * (1 + width) / 2

    def cdf(t):
        return 0.3 * norm.cdf(t + origin * gap) + 0.7 * norm.cdf((t - (1 - origin) * gap) / width)

    assert kstest(x.sum(-1) / 3, cdf).pvalue > 1e-4
    second = target.mode(x).double()
    assert abs(z_score(second, target.mode_weights[1])) < 4
    assert math.isclose(target.mode_weights.sum(), 1) and target.mode(target.means).tolist() == [0, 1]
    cut = separation / 2 - origin * gap  # equally many standard deviations from both
    assert math.isclose(target.mode_weights[0], cdf(cut), rel_tol=1e-12)
    assert math.isclose(cut + origin * gap, ((1 - origin) * gap - cut) / width, rel_tol=1e-12)


def test_defaults_are_two_thirds_and_one_third() -> None:
    target = TwoModes(dim=64, separation=12.0)
    torch.testing.assert_close(
        target.mode_weights, torch.tensor([2 / 3, 1 / 3], dtype=torch.float64), rtol=0, atol=1e-8
    )
    assert math.isclose(float((target.means[0] - target.means[1]).norm()), 12.0)


def test_the_missed_mode_is_out_of_sight_of_the_base() -> None:
    target = TwoModes(dim=10, separation=12.0, weight=0.1, origin=0.0, spread=1.0)
    x = torch.randn(1000, 10, generator=generator(2))
    assert target.spread == 1.0 and (target.mode(x) == 0).all()
    log_w = target(x) - torch.distributions.Normal(0, 1).log_prob(x).double().sum(-1)
    torch.testing.assert_close(log_w, torch.full_like(log_w, 1.5 + math.log(0.1)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dim", [2, 30])
def test_forty_modes(dim: int) -> None:
    """Counts of 40 modes: the largest |z| below 5 (2e-5)."""
    target = GMM40(dim=dim)
    distance = torch.cdist(target.means, target.means).fill_diagonal_(torch.inf)
    assert target.means.abs().max() <= 40 and distance.min() >= 8
    assert target.means.abs().max() > 30 and abs(float(target.means.mean())) < 12
    k = target.mode(target.sample(40_000, generator=generator(3)))
    z = (torch.bincount(k, minlength=40) / 1000 - 1) * math.sqrt(1000)
    assert z.abs().max() < 5
    torch.testing.assert_close(target.mode_weights.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert not torch.equal(target.means, GMM40(dim=dim, layout=1).means)

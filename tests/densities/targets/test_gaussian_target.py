"""The rotated Gaussian: its rotation, its spectrum and its precision."""

import math

import pytest
import torch
from problems import generator, z_score
from scipy.stats import kstest

from gm.densities.targets.gaussian import DENSE, RotatedGaussian, hartley


@pytest.mark.parametrize("dim", [2, 3, 7, 100, 997])
def test_hartley_is_an_orthogonal_involution(dim: int) -> None:
    H = hartley(torch.eye(dim, dtype=torch.float64))
    eye = torch.eye(dim, dtype=torch.float64)
    torch.testing.assert_close(H, H.T, rtol=0, atol=1e-13)
    torch.testing.assert_close(H @ H, eye, rtol=0, atol=1e-12)
    k = torch.arange(dim, dtype=torch.float64)
    angle = 2 * math.pi * k[:, None] * k / dim
    torch.testing.assert_close(H, (angle.cos() + angle.sin()) / math.sqrt(dim), rtol=0, atol=1e-10)


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e6])
def test_spectrum_is_log_spaced_with_the_stated_condition(condition: float) -> None:
    target = RotatedGaussian(dim=50, condition=condition)
    variances = 1 / torch.linalg.eigvalsh(target.precision).flip(0)
    expected = condition ** torch.linspace(-0.5, 0.5, 50, dtype=torch.float64)
    torch.testing.assert_close(variances, expected, rtol=1e-8, atol=0)
    assert math.isclose(target.spread**2, condition**0.5, rel_tol=1e-12)


def test_no_coordinate_gives_the_metric_away() -> None:
    """The coordinates' variances lie within a factor of the mean, though the spectrum spans 1e4."""
    for dim in (100, 2000):
        target = RotatedGaussian(dim=dim, condition=1e4)
        rows = torch.zeros(5, dim, dtype=torch.float64)
        rows[torch.arange(5), torch.arange(5) * (dim // 5)] = 1.0
        variances = (hartley(target.sign * rows) * target.sd).square().sum(-1)
        mean = target.sd.square().mean()
        assert (variances > 0.3 * mean).all() and (variances < 3 * mean).all()


def test_the_transform_and_the_matrix_are_the_same_law() -> None:
    small, x = RotatedGaussian(dim=DENSE, condition=1e6), torch.randn(4, DENSE, generator=generator(0)).double()
    value, grad = small.value_and_grad(x)
    small.precision = None
    other, other_grad = small.value_and_grad(x)
    torch.testing.assert_close(value, other, rtol=1e-12, atol=0)
    torch.testing.assert_close(grad, other_grad, rtol=1e-9, atol=1e-8)
    assert RotatedGaussian(dim=DENSE + 1).precision is None


@pytest.mark.parametrize("dim", [10, 1000])
def test_draws_have_the_precision_and_the_normal_law(dim: int) -> None:
    """L' x is standard normal for every direction: squares and products by z < 5.5 (1e-5), KS at 1e-4."""
    target = RotatedGaussian(dim=dim, condition=1e6)
    x = target.sample(4000, generator=generator(1)).double()
    white = hartley(target.sign * x) / target.sd
    assert z_score(white).abs().max() < 5.5 and z_score(white.square(), 1.0).abs().max() < 5.5
    assert z_score(white[:, 1:] * white[:, :-1]).abs().max() < 5.5
    assert kstest(white.flatten()[:: dim // 10], "norm").pvalue > 1e-4
    quadratic = -2 * (target(x) - target.log_z) - dim * math.log(2 * math.pi)
    assert kstest(quadratic, "chi2", args=(dim,)).pvalue > 1e-4


def test_rounding_to_float32_moves_log_p_by_less_than_the_stated_amount() -> None:
    for dim in (100, 1000):
        target = RotatedGaussian(dim=dim, condition=1e6)
        z = torch.randn(500, dim, generator=generator(2), dtype=torch.float64)
        x = target.sign * hartley(target.sd * z)
        assert 0 < (target(x.float()) - target(x)).std() < 2**-25 * math.sqrt(1e6 * dim)
        exact = target.constant - (z.square().sum(-1) + dim * math.log(2 * math.pi)) / 2
        torch.testing.assert_close(target(x), exact, rtol=0, atol=1e-8)


def test_rotations_differ_by_their_seed() -> None:
    x = torch.randn(3, 20, generator=generator(0))
    assert not torch.allclose(RotatedGaussian(dim=20)(x), RotatedGaussian(dim=20, rotation=1)(x))

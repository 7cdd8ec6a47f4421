import math

import pytest
import torch

from gm.densities.copula import ROWS, Copula, blockwise, log_normal
from gm.rng import stream


def tiny(levels: int = 3, n: int = 300) -> Copula:
    """A strongly dependent copula on two pixels."""
    generator = stream("tiny")
    x = torch.randint(levels, (n, 1, 1, 1), generator=generator).expand(n, 1, 1, 2).clone()
    flip = torch.rand(n, generator=generator) < 0.4
    x[flip, 0, 0, 1] = torch.randint(levels, (int(flip.sum()),), generator=generator)
    return Copula((1, 1, 2), levels, shrinkage=0.0).estimate(x)


def grid(levels: int, points: int) -> torch.Tensor:
    """Midpoints of a square grid over [0, levels)^2, as rows `[(levels points)^2, 1, 1, 2]`."""
    axis = (torch.arange(levels * points, dtype=torch.float64) + 0.5) / points
    return torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)


@pytest.mark.parametrize("levels", [2, 3])
def test_density_integrates_to_one(levels):
    mass = tiny(levels).log_prob(grid(levels, 200)).exp().sum() / 200**2
    assert abs(mass - 1) < 4e-4


@pytest.mark.parametrize("levels", [2, 3])
def test_margins_are_the_smoothed_frequencies(levels):
    copula = tiny(levels)
    density = copula.log_prob(grid(levels, 200)).exp().reshape(levels, 200, levels * 200)
    assert torch.allclose(density.sum((1, 2)) / 200**2, copula.p[0], atol=4e-4)


def test_margins_count_levels_of_each_pixel():
    x = torch.randint(5, (40, 2, 3, 2), generator=stream("counts"))
    p = Copula((2, 3, 2), 5, smoothing=0.5).estimate(x.to(torch.uint8)).p
    for pixel, values in enumerate(x.flatten(1).T):
        for level in range(5):
            assert math.isclose(p[pixel, level], (int((values == level).sum()) + 0.5) / 42.5)


def test_blocks_of_rows_are_put_together_in_order():
    rows = torch.arange(14.0).reshape(7, 2)
    assert torch.equal(blockwise(lambda r: r.sum(1), rows, 3), rows.sum(1))
    assert blockwise(lambda r: r.sum(1), rows[:0], 3).shape == (0,)
    copula, y = tiny(3), 3 * torch.rand(ROWS + 5, 1, 1, 2, generator=stream("blocks"), dtype=torch.float64)
    assert torch.allclose(copula.log_prob(y)[-5:], copula.log_prob(y[-5:]), rtol=0, atol=1e-12)
    assert torch.allclose(copula.unwhiten(copula.whiten(y)), y, rtol=0, atol=1e-12)


def test_sampler_agrees_with_density():
    """Chi-square of 40,000 draws over the nine cells, 8 degrees of freedom; false-alarm rate 1e-4 (31.8)."""
    copula, n = tiny(3), 40_000
    mass = copula.log_prob(grid(3, 200)).exp().reshape(3, 200, 3, 200).sum((1, 3)) / 200**2
    x = copula.sample(n, generator=stream("draws")).floor().long().flatten(1)
    counts = torch.zeros(3, 3, dtype=torch.float64).index_put((x[:, 0], x[:, 1]), torch.tensor(1.0).double(), True)
    assert ((counts - n * mass) ** 2 / (n * mass)).sum() < 31.8


def test_whitening_is_inverted_far_into_both_tails():
    copula = tiny(3)
    y = torch.tensor([[1e-9, 3 - 1e-9], [0.5, 1.0], [2.0, 2.999]], dtype=torch.float64).reshape(3, 1, 1, 2)
    assert torch.allclose(copula.unwhiten(copula.whiten(y)), y, rtol=0, atol=1e-12)
    w = 5 * torch.randn(2000, 2, generator=stream("far"), dtype=torch.float64)
    y = copula.unwhiten(w)
    assert y.min() >= 0 and y.max() < 3


def test_the_range_ends_are_finite():
    copula = tiny(3)
    y = torch.tensor([[0.0, 0.0], [3 - 1e-15, 0.0], [1.0, 2.0]], dtype=torch.float64).reshape(3, 1, 1, 2)
    assert copula.log_prob(y).isfinite().all()


def test_jacobian_is_the_derivative_of_whitening():
    copula = tiny(3)
    y = torch.tensor([0.3, 2.6], dtype=torch.float64).reshape(1, 1, 1, 2)
    step = 1e-6
    columns = [
        (copula.whiten(y + step * e) - copula.whiten(y - step * e))[0] / (2 * step)
        for e in torch.eye(2, dtype=torch.float64).reshape(2, 1, 1, 1, 2)
    ]
    assert math.isclose(torch.stack(columns).det().abs().log(), copula.log_jacobian(y)[0], abs_tol=1e-6)
    assert torch.allclose(copula.log_prob(y), log_normal(copula.whiten(y)) + copula.log_jacobian(y))


def test_correlation_is_the_expectation_over_the_noise():
    """R against the correlation of 2e5 noisy normal scores: six standard errors, false-alarm rate below 1e-8."""
    copula, generator = tiny(3), stream("noise")
    x = torch.randint(3, (50, 1, 1, 2), generator=generator)
    x[:, 0, 0, 1] = x[:, 0, 0, 0].clone()
    copula = Copula((1, 1, 2), 3, smoothing=1e-9, shrinkage=0.0).estimate(x)
    y = x.double().repeat(4000, 1, 1, 1)
    y = y + torch.rand(y.shape, generator=generator, dtype=torch.float64) * (1 - 1e-9)
    z = copula.color(copula.whiten(y)).flatten(1)
    r = (copula.factor @ copula.factor.T)[0, 1]
    products = z[:, 0] * z[:, 1]
    assert abs(products.mean() - r) < 6 * products.std() / math.sqrt(len(z))


def test_draws_repeat_with_their_generator():
    a, b = (tiny(3).sample(5, generator=stream("same")) for _ in range(2))
    assert torch.equal(a, b)


def test_refusals_name_what_was_found():
    with pytest.raises(ValueError, match="levels >= 2"):
        Copula((1, 1, 2), None)
    with pytest.raises(ValueError, match="smoothing > 0"):
        Copula((1, 1, 2), 3, smoothing=0.0)
    with pytest.raises(ValueError, match=r"\[0, 3\)"):
        tiny(3).log_prob(torch.full((1, 1, 1, 2), 3.0))

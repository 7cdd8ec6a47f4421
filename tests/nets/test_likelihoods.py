import math

import pytest
import torch

from gm.nets.likelihoods import Bernoulli, DiscretisedLogistic, Normal, likelihood


def outputs_for(family: Bernoulli | DiscretisedLogistic, rows: int, *, scale: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return scale * torch.randn(rows, family.outputs, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("levels", [2, 3, 17, 256])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_mass_sums_to_one(levels: int, components: int, scale: float) -> None:
    family = likelihood(levels, components=components)
    outputs = outputs_for(family, 200, scale=scale)
    mass = sum(family.log_prob(torch.full((200, 1), x), outputs).exp() for x in range(levels))
    torch.testing.assert_close(mass, torch.ones_like(mass), rtol=1e-8, atol=0)


def test_edges_take_the_tails() -> None:
    """The outer levels hold everything beyond the last inner edge, a difference of logistic functions elsewhere."""
    family = DiscretisedLogistic(4)
    location, log_scale = torch.tensor([0.1, -0.7], dtype=torch.float64)
    outputs = torch.stack([location, log_scale])[None]
    cdf = ((torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64) - location) / log_scale.exp()).sigmoid()
    expected = torch.cat([cdf, cdf.new_ones(1)]) - torch.cat([cdf.new_zeros(1), cdf])
    mass = torch.cat([family.log_prob(torch.full((1, 1), x), outputs).exp() for x in range(4)])
    torch.testing.assert_close(mass, expected)


@pytest.mark.parametrize("x", [0, 8, 16])
def test_finite_gradients_at_extremes(x: int) -> None:
    outputs = torch.tensor([[80.0, -30.0], [-80.0, -30.0], [0.0, 30.0]], requires_grad=True)
    value = DiscretisedLogistic(17).log_prob(torch.full((3, 1), x), outputs)
    value.sum().backward()
    assert value.isfinite().all() and outputs.grad.isfinite().all()


@pytest.mark.parametrize("levels,components", [(2, 1), (5, 1), (5, 3)])
def test_samples_follow_the_mass(levels: int, components: int) -> None:
    """Frequencies of 20000 draws; chi-squared below its 1 - 1e-4 quantile at 4 degrees of freedom or fewer, 23.6."""
    family = likelihood(levels, components=components)
    outputs = outputs_for(family, 1, scale=0.7)
    x = family.sample(outputs.expand(20000, -1), generator=torch.Generator().manual_seed(1))
    mass = torch.cat([family.log_prob(torch.full((1, 1), k), outputs).exp() for k in range(levels)])
    count = torch.bincount(x.flatten(), minlength=levels)
    assert ((count - 20000 * mass).square() / (20000 * mass)).sum() < 23.6


def test_normal_samples_are_the_floor_of_its_draws() -> None:
    """Frequencies of 20000 draws against the Gaussian's masses between levels, tails at the edges; chi-squared below
    its 1 - 1e-4 quantile at 4 degrees of freedom, 23.6."""
    family = Normal(5)
    outputs = torch.tensor([[0.15, -0.8]], dtype=torch.float64)
    x = family.sample(outputs.expand(20000, -1), generator=torch.Generator().manual_seed(1))
    edges = (2 * torch.arange(1, 5, dtype=torch.float64) / 5 - 1 - 0.15) / math.exp(-0.8)
    cdf = torch.cat([torch.zeros(1), torch.special.ndtr(edges), torch.ones(1)])
    mass, count = cdf.diff(), torch.bincount(x.flatten(), minlength=5)
    assert ((count - 20000 * mass).square() / (20000 * mass)).sum() < 23.6


def test_normal_sees_uniform_noise() -> None:
    """y = x + u: floor(y) is x, and the mean and variance of u are within 5 standard errors (6e-7 each)."""
    x = torch.arange(5).repeat(4000)
    y = Normal(5).dequantise(x, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(y.floor(), x.double()) and torch.equal(Normal(5).observe(y), y)
    u = y - x
    assert abs(float(u.mean()) - 0.5) < 5 * math.sqrt(1 / 12 / 20000)
    assert abs(float(u.var()) - 1 / 12) < 5 * math.sqrt(1 / 180 / 20000)


@pytest.mark.parametrize("levels", [2, 5])
def test_a_mass_sees_integers(levels: int) -> None:
    family = likelihood(levels)
    x = torch.arange(levels)
    assert torch.equal(family.dequantise(x, generator=torch.Generator()), x)
    assert torch.equal(family.observe(x + 0.75), x.float())


def test_a_shared_scale_is_that_scale_for_every_pixel() -> None:
    location = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    x = torch.randint(9, (7, 4), generator=torch.Generator().manual_seed(1))
    scale = torch.full((7, 1), -0.7)
    for one, each in ((Normal(9, shared=True), Normal(9)), (likelihood(9, shared=True), likelihood(9))):
        found = one.log_prob(x, torch.cat([location, scale], 1))
        torch.testing.assert_close(found, each.log_prob(x, torch.cat([location, scale.expand(7, 4)], 1)))
        assert one.outputs == 1 and each.outputs == 2
    with pytest.raises(ValueError, match="expected 1"):
        likelihood(9, components=2, shared=True)

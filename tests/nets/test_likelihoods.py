import pytest
import torch

from gm.nets.likelihoods import Bernoulli, DiscretisedLogistic, likelihood


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

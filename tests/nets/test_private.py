"""Clipping, noise, batches and accounting of private gradient descent, each against an exact answer."""

import math

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch import nn

from gm.nets import private


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Slope(nn.Module):
    """Loss w x_i of one weight vector: the gradient of example i is x_i."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w


def moved(x: torch.Tensor, *, rate: float = 1.0, steps: int = 1, multiplier: float, clip: float) -> torch.Tensor:
    """How far gradient descent of rate 1 moves the weights."""
    module = Slope(x.shape[1])
    optimiser = torch.optim.SGD(module.parameters(), lr=1.0)
    given = {"n": len(x), "rate": rate, "steps": steps, "multiplier": multiplier, "clip": clip}
    private.descend(module, lambda i: (x[i],), **given, optimiser=optimiser, generator=stream(0))
    return -module.w.detach()


def test_gradients_of_single_examples_are_clipped() -> None:
    """Without noise the step is the mean of the clipped gradients: a huge example counts as one of norm `clip`."""
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [0.0, -1e6]])
    torch.testing.assert_close(moved(x, multiplier=0.0, clip=1.0), torch.tensor([0.9, 1.2 - 1.0]) / 4)
    torch.testing.assert_close(moved(x[:3], multiplier=0.0, clip=10.0), torch.tensor([3.3, 4.4]) / 3)


def test_one_example_moves_a_step_by_no_more_than_the_clip() -> None:
    """The sensitivity that the accountant assumes, for 20 sets of examples without and with one of any size."""
    for seed in range(20):
        x = 3 * torch.randn(6, 4, generator=stream(seed))
        x[5] *= 10.0**seed / 1e8
        with_it, without = moved(x, multiplier=0.0, clip=0.5) * 6, moved(x[:5], multiplier=0.0, clip=0.5) * 5
        assert float((with_it - without).norm()) <= 0.5 * (1 + 1e-4)


def test_noise_has_the_stated_scale() -> None:
    """Gradients of nothing leave noise alone: its variance over 20000 weights within 5 standard errors (6e-7)."""
    found = moved(torch.zeros(8, 20000), rate=0.5, multiplier=1.5, clip=2.0)
    expected = (1.5 * 2.0 / (8 * 0.5)) ** 2
    assert abs(float(found.var()) / expected - 1) < 5 * math.sqrt(2 / 20000)
    empty = moved(torch.zeros(8, 20000), rate=1e-9, multiplier=1.5, clip=2.0 * 1e-9)
    assert abs(float(empty.var()) / (1.5 * 2.0 / 8) ** 2 - 1) < 5 * math.sqrt(2 / 20000)


def test_batches_are_poisson() -> None:
    """Sizes are binomial, of mean n q and variance n q (1 - q), within 5 standard errors each (1e-6 in all)."""
    g = stream(0)
    batches = [private.poisson_batch(200, 0.1, generator=g) for _ in range(4000)]
    size = torch.tensor([len(batch) for batch in batches]).double()
    variance = 200 * 0.1 * 0.9
    assert abs(float(size.mean()) - 20) < 5 * math.sqrt(variance / 4000)
    assert abs(float(size.var()) / variance - 1) < 5 * math.sqrt(2 / 4000)
    count = torch.bincount(torch.cat(batches), minlength=200).double()
    assert ((count - 400).abs() < 6 * math.sqrt(4000 * 0.09)).all()
    assert len(private.poisson_batch(50, 1.0, generator=g)) == 50


def gaussian_epsilon(multiplier: float, steps: int, delta: float) -> float:
    """Epsilon of `steps` Gaussian mechanisms without subsampling, exactly: they compose to one of sigma / sqrt(steps).

    Reference:
        Improving the Gaussian Mechanism for Differential Privacy (Borja Balle and Yu-Xiang Wang, 2018)
    """
    mu = math.sqrt(steps) / multiplier

    def excess(epsilon: float) -> float:
        return norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu) - delta

    return brentq(excess, 0, 200)


@pytest.mark.parametrize("multiplier,steps", [(1.0, 1), (4.0, 1), (5.0, 20)])
def test_epsilon_of_gaussian_mechanisms(multiplier: float, steps: int) -> None:
    """Never below the closed form, and no more than 0.03 above it."""
    found = private.epsilon(multiplier, rate=1.0, steps=steps, delta=1e-5)
    assert 0 <= found - gaussian_epsilon(multiplier, steps, 1e-5) < 0.03


def test_epsilon_of_subsampled_steps() -> None:
    """Below the Renyi accountant's, which is a bound, above that of one step in the batch, and the target is met."""
    from opacus.accountants import RDPAccountant

    renyi = RDPAccountant()
    renyi.history = [(1.0, 0.05, 100)]
    found = private.epsilon(1.0, rate=0.05, steps=100, delta=1e-5)
    assert 0.5 * renyi.get_epsilon(1e-5) < found < renyi.get_epsilon(1e-5)
    sigma = private.noise_multiplier(2.0, rate=0.05, steps=100, delta=1e-5)
    spent = (private.epsilon(s * sigma, rate=0.05, steps=100, delta=1e-5) for s in (1.0, 0.99))
    assert next(spent) <= 2.0 < next(spent)


def test_gradients_are_those_of_each_example() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 1), nn.Flatten(0))
    x = torch.randn(5, 3, generator=stream(0))
    found = private.gradients(module, (x,))
    for i in range(5):
        module.zero_grad()
        module(x[i : i + 1]).sum().backward()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(found[name][i], parameter.grad)
    assert all(
        g.shape == (0, *p.shape)
        for g, p in zip(private.gradients(module, (x[:0],)).values(), module.parameters(), strict=True)
    )

import math

import pytest
import torch
from problems import generator, z_score

from gm.densities.targets.phi4 import Phi4, _invert


@pytest.mark.parametrize("points", [201, 277, 401])
@pytest.mark.parametrize("a, expected", [(1.0, -314.320394348878), (4.0, -880.430509097722)])
def test_published_chains_at_any_grid(a: float, expected: float, points: int) -> None:
    chain = Phi4(dim=1000, a=a, b=4.0, points=points, constant=0.0)
    assert chain.log_z == pytest.approx(expected, abs=1e-9)


def test_ten_thousand_sites() -> None:
    """Far from the ends each further site adds the log of the leading eigenvalue."""
    log_z = [Phi4(dim=d, constant=0.0).log_z for d in (4000, 7000, 10_000)]
    assert log_z[2] - log_z[1] == pytest.approx(log_z[1] - log_z[0], abs=1e-8)
    assert math.isfinite(log_z[2])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_quadrature(dim: int) -> None:
    chain = Phi4(dim=dim, a=1.3, b=2.1, constant=0.7)
    axis = torch.linspace(-3.2, 3.2, 81, dtype=torch.float64)
    x = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
    log_z = chain.log_prob(x).logsumexp(0) + dim * math.log(axis[1] - axis[0])
    assert chain.log_z == pytest.approx(float(log_z), abs=1e-10)


def direct(chain: Phi4, x: torch.Tensor) -> torch.Tensor:
    bonds = sum((x[..., i] - x[..., i + 1]) ** 2 for i in range(chain.dim - 1))
    return chain.constant - chain.a * ((x**2 - 1) ** 2).sum(-1) - chain.b / 2 * bonds


def test_density_and_gradient() -> None:
    chain = Phi4(dim=6, a=0.8, b=3.0)
    x = torch.randn(4, 5, 6, generator=generator(0), dtype=torch.float64, requires_grad=True)
    value, grad = chain.value_and_grad(x.detach())
    expected = direct(chain, x)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), x)[0])
    single = chain.value_and_grad(x.detach().float())
    assert single[0].dtype == torch.float64 and single[1].dtype == torch.float32


def test_draws_have_the_moments_of_the_transfer_operator() -> None:
    """d log Z / da and d log Z / db, and symmetric ends: 4 z-scores below 4.2, false alarm 1.1e-4."""
    shape, step = {"dim": 20, "constant": 0.0}, 1e-3
    chain = Phi4(a=1.0, b=4.0, **shape)
    x = chain.sample(4000, generator=generator(1)).double()
    wells = -(Phi4(a=1 + step, **shape).log_z - Phi4(a=1 - step, **shape).log_z) / (2 * step)
    bonds = -(Phi4(b=4 + step, **shape).log_z - Phi4(b=4 - step, **shape).log_z) / (2 * step)
    assert z_score((x**2 - 1).square().sum(1), wells).abs() < 4.2
    assert z_score(x.diff().square().sum(1) / 2, bonds).abs() < 4.2
    assert z_score(x[:, 0] ** 2 - x[:, -1] ** 2).abs() < 4.2
    assert z_score(chain.mode(x).double(), chain.mode_weights[1]).abs() < 4.2


def test_margins_of_two_sites() -> None:
    """Kolmogorov-Smirnov with 20000 draws, twice: sup |F_n - F| sqrt n < 2.3, false alarm 1e-4."""
    chain = Phi4(dim=2, a=2.0, b=1.0)
    drawn = chain.sample(20_000, generator=generator(2)).double()
    axis = torch.linspace(-2.6, 2.6, 801, dtype=torch.float64)
    # the law is the same with its sites exchanged
    mass = chain.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(801, 801).sum(0)
    cdf = (mass.cumsum(0) - mass / 2) / mass.sum()
    for x in drawn.sort(0).values.T.contiguous():
        k = torch.searchsorted(axis, x).clamp(1, 800)
        F = cdf[k - 1] + (x - axis[k - 1]) / (axis[1] - axis[0]) * (cdf[k] - cdf[k - 1])
        rank = (torch.arange(20_000) + 0.5) / 20_000
        assert (F - rank).abs().max() * math.sqrt(20_000) < 2.3


def test_inversion_is_accurate_within_a_cell() -> None:
    """A normal law on cells of a fifth of its standard deviation, at 999 levels."""
    grid = torch.linspace(-9, 9, 91, dtype=torch.float64)
    u = torch.arange(1, 1000, dtype=torch.float64) / 1000
    x = _invert(grid, (-0.5 * grid.square()).expand(999, -1), u)
    assert (torch.special.ndtr(x) - u).abs().max() < 2e-5


def test_constant_and_determinism() -> None:
    chain, shifted = Phi4(dim=5, constant=0.0), Phi4(dim=5, constant=3.5)
    x = chain.sample(3, generator=generator(3))
    assert shifted.log_z - chain.log_z == pytest.approx(3.5)
    torch.testing.assert_close(shifted.log_prob(x) - chain.log_prob(x), torch.full((3,), 3.5).double())
    assert torch.equal(x, shifted.sample(3, generator=generator(3))) and x.dtype == torch.float32
    assert chain.identity != shifted.identity


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a > 0"):
        Phi4(dim=3, a=-1.0)
    with pytest.raises(ValueError, match="points = 21; expected at least"):
        Phi4(dim=3, points=21)

import math
from itertools import product

import pytest
import torch
from problems import generator, z_score

from gm.densities.targets.ising import Ising, IsingChain, IsingTorus, kaufman

CRITICAL = math.log(1 + math.sqrt(2)) / 2


def states(n: int) -> torch.Tensor:
    return 2.0 * (torch.arange(2**n)[:, None] >> torch.arange(n) & 1).double() - 1


def torus_energy(x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    grid = x.reshape(*x.shape[:-1], rows, columns)
    return (grid * (grid.roll(1, -1) + grid.roll(1, -2))).sum((-1, -2))


@pytest.mark.parametrize("dim, periodic", [(1, False), (2, False), (7, False), (4, True), (8, True)])
def test_chain_by_enumeration(dim: int, periodic: bool) -> None:
    chain = IsingChain(dim=dim, coupling=0.6, field=-0.35, periodic=periodic, constant=0.8)
    x = states(dim)
    bonds = (x[:, 1:] * x[:, :-1]).sum(1) + periodic * x[:, 0] * x[:, -1]
    expected = 0.8 + 0.6 * bonds - 0.35 * x.sum(1)
    torch.testing.assert_close(chain.log_prob(x), expected)
    assert chain.log_z == pytest.approx(float(expected.logsumexp(0)), abs=1e-11)


def test_long_ring() -> None:
    """tr T^d = (2 cosh J)^d + (2 sinh J)^d without a field."""
    ring = IsingChain(dim=10_000, coupling=2.0, periodic=True, constant=0.0)
    expected = 10_000 * math.log(2 * math.cosh(2.0)) + math.log1p(math.tanh(2.0) ** 10_000)
    assert ring.log_z == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("coupling", [0.1, 0.3, CRITICAL, 0.6, 1.5])
@pytest.mark.parametrize("rows, columns", [(3, 3), (4, 4), (3, 5)])
def test_kaufman_by_enumeration(rows: int, columns: int, coupling: float) -> None:
    expected = (coupling * torus_energy(states(rows * columns), rows, columns)).logsumexp(0)
    assert kaufman(rows, columns, coupling) == pytest.approx(float(expected), abs=1e-10)


def test_a_large_torus() -> None:
    assert kaufman(64, 100, 0.5) == pytest.approx(kaufman(100, 64, 0.5), abs=1e-8)
    # Onsager's free energy per site at the critical coupling is ln(2)/2 + 2 G / pi, with Catalan's constant G
    per_site = math.log(2) / 2 + 2 * 0.915965594177219 / math.pi
    assert kaufman(1000, 1000, CRITICAL) / 1e6 == pytest.approx(per_site, abs=1e-5)


def test_torus_density() -> None:
    torus = IsingTorus(side=4, coupling=0.4, constant=0.8)
    x = states(16)
    expected = 0.8 + 0.4 * torus_energy(x, 4, 4)
    torch.testing.assert_close(torus.log_prob(x), expected)
    assert torus.log_z == pytest.approx(float(expected.logsumexp(0)), abs=1e-10)
    mass = (expected - torus.log_z).exp()
    assert float(mass[torus.mode(x) == 1].sum()) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("target", [IsingChain(dim=5, field=0.3), IsingTorus(side=4)], ids=["chain", "torus"])
def test_gradient(target: Ising) -> None:
    x = torch.randn(3, target.dim, generator=generator(0), dtype=torch.float64, requires_grad=True)
    if isinstance(target, IsingTorus):
        value = target.coupling * torus_energy(x, 4, 4)
    else:
        value = target.coupling * (x[:, 1:] * x[:, :-1]).sum(1) + target.field * x.sum(1)
    found = target.value_and_grad(x.detach())
    torch.testing.assert_close(found[0], value.detach() + target.constant)
    torch.testing.assert_close(found[1], torch.autograd.grad(value.sum(), x)[0])


@pytest.mark.parametrize("periodic", [False, True])
def test_chain_draws(periodic: bool) -> None:
    """Chi-squared of 60000 draws over 16 states below its 1 - 1e-4 quantile at 15 degrees of freedom, 44.3."""
    chain = IsingChain(dim=4, coupling=0.9, field=0.25, periodic=periodic)
    drawn = chain.sample(60_000, generator=generator(1))
    expected = 60_000 * (chain.log_prob(states(4)) - chain.log_z).exp()
    count = torch.bincount(((drawn > 0) * torch.tensor([1, 2, 4, 8])).sum(1), minlength=16)
    assert ((count - expected).square() / expected).sum() < 44.3
    assert drawn.dtype == torch.float32 and torch.equal(drawn, chain.sample(60_000, generator=generator(1)))


def test_torus_draws_by_enumeration() -> None:
    """Energy, its square, and the products of a spin with five others: 7 z-scores below 4.4, 8e-5."""
    torus, x = IsingTorus(side=4, coupling=0.4), states(16)
    mass = (torus.log_prob(x) - torus.log_z).exp()

    def statistics(x: torch.Tensor) -> torch.Tensor:
        energy = torus_energy(x, 4, 4)[:, None]
        return torch.cat([energy, energy**2, x[:, :1] * x[:, [1, 4, 8, 10, 12]]], 1)

    drawn = statistics(torus.sample(40_000, generator=generator(2)).double())
    assert z_score(drawn, mass @ statistics(x)).abs().max() < 4.4


def test_torus_draws_at_the_largest_side() -> None:
    """Mean energy against d log Z / dJ, and the modes: 2 z-scores below 4.2, 6e-5."""
    torus, step = IsingTorus(side=10, coupling=0.43), 1e-4
    x = torus.sample(4000, generator=generator(3))
    expected = (kaufman(10, 10, 0.43 + step) - kaufman(10, 10, 0.43 - step)) / (2 * step)
    assert z_score(torus_energy(x, 10, 10), expected).abs() < 4.2
    assert z_score(torus.mode(x).double(), torus.mode_weights[1]).abs() < 4.2


def test_path_joins_fair_spins_and_the_target() -> None:
    chain, x = IsingChain(dim=6, field=0.2), states(6)
    path = chain.path()
    state = path.init(x)
    assert float(path.log_prob(state, 0.0).logsumexp(0)) == pytest.approx(0, abs=1e-12)
    assert float(path.log_prob(state, 1.0).logsumexp(0)) == pytest.approx(chain.log_z, abs=1e-12)
    base = chain.draw_base(5000, generator=generator(4))
    assert set(base.unique().tolist()) == {-1.0, 1.0} and base.dtype == torch.float32
    # 6 z-scores below 4.4: 7e-5
    assert z_score(base).abs().max() < 4.4


def test_neighbours_differ_in_colour() -> None:
    for target in (IsingTorus(side=6), IsingChain(dim=6, periodic=True), IsingChain(dim=5)):
        padded = torch.cat([target.colour, torch.tensor([-1])])
        assert (padded[target.neighbours] != target.colour[:, None]).all()
        assert sum(len(sites) for sites in target.colours) == target.dim and target.kind == "spins"


def test_what_is_refused() -> None:
    for dim, side in product((2, 5), (2, 5)):
        with pytest.raises(ValueError, match="no two colours"):
            IsingChain(dim=dim, periodic=True)
        with pytest.raises(ValueError, match="no two colours"):
            IsingTorus(side=side)
    with pytest.raises(ValueError, match="expected a positive"):
        IsingTorus(side=4, coupling=-0.1)
    with pytest.raises(ValueError, match="side = 12; expected at most 10"):
        IsingTorus(side=12).sample(1, generator=generator(0))

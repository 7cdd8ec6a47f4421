import math
from itertools import product

import pytest
import torch
from problems import generator
from torch import Tensor

from gm.densities.boltzmann import Tempered
from gm.densities.targets.ising import IsingChain, IsingTorus, SpinPath
from gm.sampling.anneal import ais
from gm.sampling.chain import run
from gm.sampling.gibbs import BlockGibbs, Units
from gm.sampling.kernels import Info
from gm.sampling.sandwich import sandwich

STATES = torch.tensor(list(product((-1.0, 1.0), repeat=4)), dtype=torch.float64)
RING = IsingChain(dim=4, coupling=0.7, field=0.3, periodic=True)
OPEN = IsingChain(dim=4, coupling=-0.6, field=0.4)


def index(x: Tensor) -> Tensor:
    return ((x > 0) * torch.tensor([8, 4, 2, 1])).sum(-1)


def probability_up(path: SpinPath, x: Tensor, lam: float, stop: int) -> Tensor:
    """p(up) of the units that a sweep from x draws at its second or third stop, by bisecting their uniform numbers.

    At the other stops the spins that x has are drawn again: 0 draws up, 1 draws down.
    """
    kernel, state = BlockGibbs(path), path.init(x)
    first, second = path.target.colours
    forced = [(x[:, sites] < 0).double() for sites in (first, second, first)]
    low, high = torch.zeros_like(forced[stop]), torch.ones_like(forced[stop])
    for _ in range(45):
        u = (low + high) / 2
        moved, _ = kernel(state, lam, Units((*forced[:stop], u, *forced[stop + 1 :])))
        up = moved.x[:, (first, second, first)[stop]] > 0
        low, high = torch.where(up, u, low), torch.where(up, high, u)
    return low


def block_matrix(path: SpinPath, lam: float, stop: int) -> Tensor:
    sites = (path.target.colours[0], path.target.colours[1], path.target.colours[0])[stop]
    p = probability_up(path, STATES, lam, stop)
    matrix = torch.zeros(16, 16, dtype=torch.float64)
    for spins in product((-1.0, 1.0), repeat=len(sites)):
        y = STATES.clone()
        y[:, sites] = torch.tensor(spins, dtype=torch.float64)
        chance = torch.where(torch.tensor(spins) > 0, p, 1 - p).prod(1)
        matrix[torch.arange(16), index(y)] += chance
    return matrix


@pytest.mark.parametrize("lam", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("target", [RING, OPEN], ids=["ring", "open"])
def test_transition_matrix_is_in_detailed_balance(target: IsingChain, lam: float) -> None:
    """The matrix of the kernel's own conditional laws, by bisection; no chance is involved."""
    path = target.path()
    mass = path.log_prob(path.init(STATES), lam).softmax(0)
    first, second = block_matrix(path, lam, 2), block_matrix(path, lam, 1)
    sweep = first @ second @ first
    torch.testing.assert_close(mass @ second, mass, rtol=0, atol=1e-11)
    flow = mass[:, None] * sweep
    torch.testing.assert_close(flow, flow.T, rtol=0, atol=1e-11)
    assert (sweep > 0).all()


def test_sweep_follows_its_matrix() -> None:
    """Chi-squared of 60000 sweeps from one state below its 1 - 1e-4 quantile at 15 degrees of freedom, 44.3."""
    path, lam, start = RING.path(), 0.8, 5
    first, second = block_matrix(path, lam, 2), block_matrix(path, lam, 1)
    expected = 60000 * (first @ second @ first)[start]
    kernel, state = BlockGibbs(path), path.init(STATES[start].expand(60000, 4))
    moved, info = kernel(state, lam, kernel.noise(state, generator=generator(0)))
    count = torch.bincount(index(moved.x), minlength=16)
    assert ((count - expected).square() / expected).sum() < 44.3
    assert info.evals == 60000 and (info.accept == 1).all() and info.divergent == 0
    torch.testing.assert_close(moved.u, path.init(moved.x).u)


@pytest.mark.parametrize("name", ["ising", "rbm"])
def test_temperatures_are_a_batch_axis(name: str) -> None:
    g = generator(1)
    path = OPEN.path() if name == "ising" else machine(4, 3, g)
    x = torch.randint(2, (3, 50, 4), generator=g).double()
    x = 2 * x - 1 if name == "ising" else x
    lam, kernel, state = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64), BlockGibbs(path), path.init(x)
    noise = kernel.noise(state, generator=g)
    together, info = kernel(state, lam[:, None], noise)
    assert info.evals == 150 and info.accept.shape == (3, 50)
    for t in range(3):
        alone, _ = kernel(path.init(x[t]), float(lam[t]), Units(tuple(u[t] for u in noise.u)))
        assert torch.equal(together.x[t], alone.x)
        part = path.log_prob(together, lam[:, None])[t]
        torch.testing.assert_close(part, path.log_prob(alone, float(lam[t])), rtol=0, atol=1e-12)


def machine(visible: int, hidden: int, g: torch.Generator) -> Tempered:
    shapes = ((visible, hidden), (visible,), (hidden,), (visible,))
    return Tempered(*(torch.randn(shape, generator=g, dtype=torch.float64) for shape in shapes), constant=2.0)


def test_a_machine_has_its_exact_conditional_law() -> None:
    """Forced hidden units, visible probabilities by bisection."""
    path = machine(4, 3, generator(2))
    h = torch.tensor(list(product((0.0, 1.0), repeat=3)), dtype=torch.float64)
    state, lam = path.init(torch.zeros(8, 4, dtype=torch.float64)), 0.6
    low, high = torch.zeros(8, 4, dtype=torch.float64), torch.ones(8, 4, dtype=torch.float64)
    for _ in range(45):
        u = (low + high) / 2
        on = BlockGibbs(path)(state, lam, Units((1 - h, u)))[0].x > 0
        low, high = torch.where(on, u, low), torch.where(on, high, u)
    logit = 0.4 * path.base + 0.6 * (path.visible + h @ path.weight.T)
    torch.testing.assert_close(low, logit.sigmoid(), rtol=0, atol=1e-11)


def test_exact_draws_keep_the_law_of_their_energy() -> None:
    """Paired change of the energy and of its square over 5 sweeps, 20000 chains; 2 z-scores below 4.2: 6e-5."""
    torus, g = IsingTorus(side=6, coupling=0.45), generator(3)
    path = torus.path()
    before = path.init(torus.sample(20_000, generator=g))
    after, info = run(torus.kernel(path), before, 5, generator=g)
    assert info.evals == 100_000 and (after.x != before.x).any(1).float().mean() > 0.9
    energy = torch.stack([before.u[:, 1], after.u[:, 1]]) - torus.log_z
    for power in (1, 2):
        change = energy[1] ** power - energy[0] ** power
        assert abs(change.mean()) < 4.2 * change.std() / math.sqrt(len(change))


LAMS = torch.linspace(0, 1, 8, dtype=torch.float64)


def test_reverse_annealing_is_the_time_reversal_of_forward() -> None:
    """Crooks: E_f[w / (w + Z)] = E_r[w' Z / (1 + w' Z)]; |z| < 4: false alarm 6e-5."""
    chain, g, n = IsingChain(dim=8, coupling=1.1, field=0.4), generator(4), 40_000
    path = chain.path()
    kernel = chain.kernel(path)
    forward = ais(path, lambda t: kernel, LAMS, chain.draw_base(n, generator=g), generator=g)
    back = ais(path, lambda t: kernel, LAMS, chain.sample(n, generator=g), generator=g, reverse=True)
    f, r = (forward.log_w - chain.log_z).sigmoid(), (back.log_w + chain.log_z).sigmoid()
    assert abs(f.mean() - r.mean()) < 4 * math.sqrt((f.var() + r.var()) / n)


@pytest.mark.parametrize("coupling", [0.3, 0.44])
def test_annealing_a_torus_encloses_log_z(coupling: float) -> None:
    """Each certified end fails with probability 1e-3."""
    torus, g = IsingTorus(side=8, coupling=coupling), generator(5)
    path, lams = torus.path(), torch.linspace(0, 1, 101, dtype=torch.float64)
    kernel = torus.kernel(path)
    forward = ais(path, lambda t: kernel, lams, torus.draw_base(256, generator=g), generator=g)
    back = ais(path, lambda t: kernel, lams, torus.sample(256, generator=g), generator=g, reverse=True)
    found = sandwich(forward.log_w.view(32, 8), back.log_w.view(32, 8), 1e-3, exact=True)
    assert found.lower <= torus.log_z <= found.upper < found.lower + 1.5


def test_same_stream_same_spins_and_a_row_is_alone() -> None:
    path, g = IsingTorus(side=4).path(), generator
    kernel, state = BlockGibbs(path), path.init(path.target.draw_base(6, generator=generator(0)))
    noise = kernel.noise(state, generator=g(1))
    assert all(torch.equal(a, b) for a, b in zip(noise.u, kernel.noise(state, generator=g(1)).u, strict=True))
    whole, info = kernel(state, 0.7, noise)
    part, _ = kernel(path.init(state.x[2:3]), 0.7, Units(tuple(u[2:3] for u in noise.u)))
    assert torch.equal(whole.x[2:3], part.x) and isinstance(info, Info)
    assert kernel.invariant and not kernel.weighted

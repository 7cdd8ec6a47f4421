"""Global kernels: i-SIR and Ex2MCMC against exact transition matrices and exact draws."""

import math
from functools import partial
from itertools import product

import pytest
import torch
from problems import Mixture, QuadraticTilt, generator, z_score

from gm.sampling.chain import run
from gm.sampling.hamiltonian import HMC
from gm.sampling.isir import ISIR, Ex2, Proposals, categorical
from gm.sampling.langevin import MALA
from gm.sampling.path import Analytic, Geometric

KERNELS = {
    "isir": lambda path, n=4: ISIR(path, n),
    "ex2": lambda path, n=4: Ex2(path, 0.9, n),
    "ex2-hmc": lambda path, n=4: Ex2(path, 0.6, n, local=partial(HMC, length=2)),
}
LOPSIDED = Mixture(
    torch.tensor([0.7, 0.3]), torch.tensor([[-0.6, 0.3], [1.2, -0.6]]), torch.tensor([0.5, 0.7]), log_z=3.0
)


def statistics(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((x, x**2, x**3, x[:, :1] * x[:, 1:]), -1)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_tempered_gaussian_is_invariant(name: str, lam: float) -> None:
    """Paired moments around two moves from exact draws. 11 z-scores below 4.5: false alarm < 8e-5 a case."""
    problem, g = QuadraticTilt(torch.tensor([3.0, -0.5, 0.5])), generator(1)
    path = Geometric.tilted(problem.tilt)
    x = problem.sample(40_000, lam, generator=g)
    state, info = run(KERNELS[name](path), path.init(x), 2, lam=lam, generator=g)
    assert 0.3 < info.accept.mean() < 0.98
    assert (state.x != x).any(-1).float().mean() > 0.5
    assert z_score(statistics(state.x) - statistics(x)).abs().max() < 4.5


@pytest.mark.parametrize("name", KERNELS)
def test_a_lopsided_mixture_is_invariant(name: str) -> None:
    """As above, the log density among 8 statistics: < 6e-5 a case."""
    g = generator(2)
    path = Geometric(None, LOPSIDED.log_prob)
    x = LOPSIDED.sample(40_000, generator=g)
    state, _ = run(KERNELS[name](path), path.init(x), 2, generator=g)
    change = statistics(state.x) - statistics(x)
    energy = (LOPSIDED.log_prob(state.x) - LOPSIDED.log_prob(x))[:, None]
    assert z_score(torch.cat((change, energy), -1)).abs().max() < 4.5


class Table(Analytic):
    """A law on the points 0, 1, 2, ... of a line."""

    def __init__(self, log_mass: torch.Tensor) -> None:
        self.log_mass = log_mass

    def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.log_mass[x[..., 0].long()], torch.zeros_like(x)


def transition_matrix(n: int, lam: float, grid: int = 2000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """pi_lam, P by enumeration of all proposals and a grid of the uniform number, and the reported P(move)."""
    q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    p = torch.tensor([5.0, 0.5, 1.0, 2.0], dtype=torch.float64)
    path = Geometric(Table(q.log()), Table(p.log()))
    kernel = ISIR(path, n, draw=lambda m, *, generator: torch.zeros(m, 1))
    P, moving = torch.zeros(4, 4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    v = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    start = torch.arange(4.0).repeat_interleave(grid)[:, None]
    for others in product(range(4), repeat=n - 1):
        x = torch.tensor(others, dtype=torch.float32)[:, None].expand(4 * grid, n - 1, 1)
        state, info = kernel(path.init(start), lam, Proposals(x, v.repeat(4)))
        weight = math.prod(float(q[i]) for i in others)
        ends = torch.nn.functional.one_hot(state.x[:, 0].long(), 4).double().view(4, grid, 4)
        P += weight * ends.mean(1)
        moving += weight * info.accept.view(4, grid)[:, 0]
    law = q ** (1 - lam) * p**lam
    return law / law.sum(), P, moving


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("lam", [0.4, 1.0])
def test_the_exact_transition_matrix_is_reversible(n: int, lam: float) -> None:
    law, P, moving = transition_matrix(n, lam)
    flow = law[:, None] * P
    torch.testing.assert_close(P.sum(1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(flow, flow.T, atol=1e-3, rtol=0)
    torch.testing.assert_close(law @ P, law, atol=1e-3, rtol=0)
    # a draw of the current point is a move that cannot be seen
    assert (moving >= 1 - P.diagonal() - 1e-3).all() and (moving < 1).all()


def test_two_points_are_barkers_choice() -> None:
    """With n = 2 the off-diagonal is q(y) w(y) / (w(x) + w(y))."""
    _, P, _ = transition_matrix(2, 1.0)
    q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    w = torch.tensor([5.0, 0.5, 1.0, 2.0], dtype=torch.float64) / q
    barker = q * w / (w[:, None] + w)
    off = ~torch.eye(4, dtype=torch.bool)
    torch.testing.assert_close(P[off], barker[off], atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", KERNELS)
def test_the_carried_state_is_that_of_its_points(name: str) -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(50, 2, generator=generator(0)))
    kernel = KERNELS[name](path)
    moved, _ = kernel(state, 0.6, kernel.noise(state, generator=generator(1)))
    assert (moved.x != state.x).any(-1).sum() > 20
    for carried, fresh in zip(moved, path.init(moved.x), strict=True):
        torch.testing.assert_close(carried, fresh)


def test_the_local_step_starts_where_the_global_one_ended() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(200, 2, generator=generator(0)))
    kernel = Ex2(path, 0.9, 5)
    noise = kernel.noise(state, generator=generator(1))
    moved, info = kernel(state, 0.7, noise)
    jumped, _ = ISIR(path, 5)(state, 0.7, noise.isir)
    assert (jumped.x != state.x).any(-1).sum() > 100
    expected, local = MALA(path, 0.9)(path.init(jumped.x), 0.7, noise.local)
    torch.testing.assert_close(moved.x, expected.x)
    torch.testing.assert_close(info.accept, local.accept, rtol=1e-4, atol=1e-5)


def test_ex2_finds_both_modes_and_their_weights_where_mala_stays_in_one() -> None:
    """400 independent chains, mode frequency within 4.5 binomial standard errors of 1/4: false alarm < 1e-5."""
    target = Mixture(torch.tensor([0.75, 0.25]), torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), torch.full((2,), 0.3))
    path, g = Geometric(None, target.log_prob), generator(5)
    state = path.init(torch.tensor([-2.0, 0.0]).expand(400, 2))
    local, _ = run(MALA(path, 0.3), state, 60, generator=g)
    assert (local.x[:, 0] < 0).all()
    both, _ = run(Ex2(path, 0.3, 20), state, 60, generator=g)
    found = (both.x[:, 0] > 0).double().mean()
    assert abs(found - 0.25) < 4.5 * math.sqrt(0.25 * 0.75 / 400)


def test_a_base_of_ones_own_comes_with_its_draws() -> None:
    """As the lopsided mixture, from a wider base: < 6e-5. The kernel is refused without its draws."""
    g = generator(3)
    base = Mixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([1.5]))
    path = Geometric(base.log_prob, LOPSIDED.log_prob)
    with pytest.raises(ValueError, match="draw=None, which draws N"):
        ISIR(path, 4)
    with pytest.raises(ValueError, match="draw=None, which draws N"):
        Ex2(path, 0.9)
    x = LOPSIDED.sample(40_000, generator=g)
    state, _ = run(ISIR(path, 4, draw=base.sample), path.init(x), 2, generator=g)
    assert z_score(statistics(state.x) - statistics(x)).abs().max() < 4.5


@pytest.mark.parametrize("name", KERNELS)
def test_temperatures_are_a_batch_axis(name: str) -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(3, 5, 2, generator=generator(0)))
    kernel, lams = KERNELS[name](path), torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    noise = kernel.noise(state, generator=generator(1))
    together, info = kernel(state, lams[:, None], noise)
    assert info.accept.shape == (3, 5)
    for i, lam in enumerate(lams.tolist()):
        alone, one = kernel(path.init(state.x[i]), lam, row(noise, i))
        torch.testing.assert_close(together.x[i], alone.x)
        torch.testing.assert_close(info.accept[i], one.accept)


def row(noise, i: int):
    """Row i of a tuple of tensors, however nested."""
    if noise is None or isinstance(noise, torch.Tensor):
        return None if noise is None else noise[i]
    return type(noise)(*(row(part, i) for part in noise))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", KERNELS)
def test_a_proposal_that_is_not_finite_is_never_chosen_and_counted(name: str, bad: float) -> None:
    path = Geometric.tilted(lambda x: torch.where(x[..., 0] > 0, bad, x[..., 0] ** 2))
    state = path.init(torch.full((200, 2), -0.5))
    moved, info = run(KERNELS[name](path), state, 5, generator=generator(3))
    assert info.divergent > 0
    assert (moved.x[:, 0] <= 0).all() and torch.isfinite(moved.u).all() and torch.isfinite(moved.du).all()
    assert (moved.x != state.x).any(-1).float().mean() > 0.5


@pytest.mark.parametrize("name", KERNELS)
def test_evaluations_are_counted_by_rows(name: str) -> None:
    calls = []

    def tilt(x: torch.Tensor) -> torch.Tensor:
        calls.append(x[..., 0].numel())
        return x.sum(-1)

    path = Geometric.tilted(tilt)
    state = path.init(torch.zeros(7, 2))
    calls.clear()
    _, info = run(KERNELS[name](path), state, 3, generator=generator(0))
    assert info.evals == sum(calls)


def test_a_weight_of_zero_is_never_chosen() -> None:
    zero = -torch.inf
    log_w = torch.tensor([zero, 0.0, zero, math.log(3.0), zero], dtype=torch.float64)
    below_one = 1 - 2**-53
    v = torch.tensor([0.0, 0.2499, 0.2501, below_one], dtype=torch.float64)
    assert categorical(log_w.expand(4, 5), v).tolist() == [1, 1, 3, 3]
    random = torch.randn(5000, 7, generator=generator(0), dtype=torch.float64)
    random[:, -1] = zero
    assert (categorical(random, torch.full((5000,), below_one, dtype=torch.float64)) == 5).all()


class Biased:
    """A local kernel that is only right with its weight."""

    invariant, weighted = False, True

    def __init__(self, path: Geometric, step: float) -> None:
        self.path = path


def test_ex2_is_invariant_as_its_local_kernel_is() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    for kernel, invariant, weighted in ((Ex2(path, 0.5), True, False), (Ex2(path, 0.5, local=Biased), False, True)):
        assert (kernel.invariant, kernel.weighted) == (invariant, weighted)


def test_a_choice_needs_two_points() -> None:
    for make in (ISIR, lambda path, n: Ex2(path, 0.5, n)):
        with pytest.raises(ValueError, match="n=1 points; expected at least 2"):
            make(Geometric(None, LOPSIDED.log_prob), 1)


@pytest.mark.parametrize("name", KERNELS)
def test_same_generator_same_bytes(name: str) -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.zeros(5, 2))
    one, two = (run(KERNELS[name](path), state, 10, generator=generator(4))[0] for _ in range(2))
    assert torch.equal(one.x, two.x)

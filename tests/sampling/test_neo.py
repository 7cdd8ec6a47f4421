"""NEO: the damped map, its orbits' weights against their definition and quadrature, and the kernel's invariance."""

import math

import pytest
import torch
from problems import Mixture, QuadraticTilt, generator, z_score

from gm.sampling.chain import run
from gm.sampling.isir import ISIR, Proposals
from gm.sampling.logz import certify
from gm.sampling.neo import NEO, Seeds, conformal_leapfrog, neo_weights, orbit
from gm.sampling.path import Geometric, State

LOPSIDED = Mixture(
    torch.tensor([0.7, 0.3]), torch.tensor([[-0.6, 0.3], [1.2, -0.6]]), torch.tensor([0.5, 0.7]), log_z=1.0
)
ORBITS = [(1, 0.0), (4, 1.0), (3, -0.8)]


def quartic(x: torch.Tensor) -> torch.Tensor:
    return -(x**4).sum(-1) / 4 + (x**3).sum(-1) / 6 + x[..., 0] * x[..., -1] / 3


def statistics(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((x, x**2, x**3, x[:, :1] * x[:, 1:]), -1)


def test_the_map_back_is_the_inverse() -> None:
    path, g = Geometric(None, quartic), generator(0)
    x, p = torch.randn(2, 20, 3, generator=g, dtype=torch.float64)
    there = conformal_leapfrog(path, path.init(x), p, 0.7, 0.3, 1.3)
    assert (there[0].x - x).abs().min() > 1e-4
    back, q = conformal_leapfrog(path, *there, 0.7, -0.3, 1.3)
    torch.testing.assert_close(back.x, x, atol=1e-12, rtol=0)
    torch.testing.assert_close(q, p, atol=1e-12, rtol=0)


@pytest.mark.parametrize("gamma", [0.0, 1.3, -0.4])
def test_the_jacobian_is_that_of_the_friction(gamma: float) -> None:
    path, d, h, eps = Geometric(None, quartic), 3, 0.3, 1e-6
    z = torch.randn(2 * d, generator=generator(1), dtype=torch.float64)

    def T(rows: torch.Tensor) -> torch.Tensor:
        state, p = conformal_leapfrog(path, path.init(rows[:, :d]), rows[:, d:], 0.7, h, gamma)
        return torch.cat((state.x, p), -1)

    steps = eps * torch.eye(2 * d, dtype=torch.float64)
    jacobian = (T(z + steps) - T(z - steps)) / (2 * eps)
    assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(-gamma * h * d, abs=1e-7)


def test_the_map_follows_the_damped_flow() -> None:
    """x'' = -x - gamma x' from (1, 0); a step of order two leaves an error that falls as h^2."""
    path, gamma, time = Geometric(None, lambda x: -(x**2).sum(-1) / 2), 0.5, 2.0
    omega = math.sqrt(1 - gamma**2 / 4)
    exact = math.exp(-gamma * time / 2) * (math.cos(omega * time) + gamma / (2 * omega) * math.sin(omega * time))
    errors = []
    for steps in (20, 40):
        at = path.init(torch.ones(1, 1, dtype=torch.float64)), torch.zeros(1, 1, dtype=torch.float64)
        for _ in range(steps):
            at = conformal_leapfrog(path, *at, 1.0, time / steps, gamma)
        errors.append(abs(at[0].x.item() - exact))
    assert errors[0] < 3e-3 and 3.5 < errors[0] / errors[1] < 4.5


@pytest.mark.parametrize(("length", "gamma"), ORBITS)
def test_the_weights_are_their_definition(length: int, gamma: float) -> None:
    """w_k L = rho(T^k y) L(T^k y) / sum_i rho_i(T^k y), each rho_i by mapping T^k y back i times."""
    path, h, lam, d = Geometric(None, quartic), 0.25, 0.7, 2
    x, p = torch.randn(2, 10, d, generator=generator(2), dtype=torch.float64)

    def log_rho(state: State, p: torch.Tensor) -> torch.Tensor:
        return state.u[..., 0] - p.square().sum(-1) / 2

    found = orbit(path, path.init(x), p, lam, h, length, gamma)
    at = path.init(x), p
    for k in range(length + 1):
        back, terms = at, []
        for i in range(length + 1):
            terms.append(log_rho(*back) + i * gamma * h * d)
            back = conformal_leapfrog(path, *back, lam, -h, gamma)
        expected = log_rho(*at) - torch.stack(terms).logsumexp(0) + lam * (at[0].u[..., 1] - at[0].u[..., 0])
        torch.testing.assert_close(found.log_w[:, k], expected, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.state.x[:, k], at[0].x)
        torch.testing.assert_close(found.state.du[:, k], at[0].du)
        at = conformal_leapfrog(path, *at, lam, h, gamma)


@pytest.mark.parametrize(("length", "gamma"), [(0, 0.0), *ORBITS])
def test_quadrature_of_the_weight_is_z(length: int, gamma: float) -> None:
    """In one dimension the mean over all seeds is an integral over the plane."""
    target = Mixture(torch.tensor([0.7, 0.3]), torch.tensor([[-0.6], [1.2]]), torch.tensor([0.5, 0.7]), log_z=1.0)
    target = Mixture(*(t.double() for t in (target.weights, target.means, target.scales)), log_z=1.0)
    axis = torch.linspace(-8, 8, 201, dtype=torch.float64)
    x, p = (a.reshape(-1, 1) for a in torch.meshgrid(axis, axis, indexing="ij"))
    path = Geometric(None, target.log_prob)
    state = path.init(x)
    log_w = orbit(path, state, p, 1.0, 0.3, length, gamma).log_w.logsumexp(-1)
    log_rho = state.u[:, 0] - p[:, 0] ** 2 / 2 - math.log(2 * math.pi) / 2
    total = (log_rho + log_w).logsumexp(0) + 2 * (axis[1] - axis[0]).log()
    assert total.item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("length", "gamma"), ORBITS)
@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_the_mean_weight_is_z(length: int, gamma: float, lam: float) -> None:
    """20,000 bounded weights, |z| < 4: false alarm < 7e-5 a case."""
    c, g = torch.tensor([3.0, 0.5, 1.0]), generator(6)
    path = Geometric.tilted(QuadraticTilt(c).tilt)
    x0 = torch.randn(20_000, 3, generator=g)
    runs = neo_weights(path, x0, 0.3, length, gamma, lam=lam, generator=g)
    assert runs.log_w.dtype == torch.float64 and runs.divergent == 0
    assert z_score((runs.log_w - QuadraticTilt(lam * c).log_z).exp(), 1.0).abs() < 4


@pytest.mark.parametrize(("length", "gamma"), ORBITS)
def test_weighted_points_stand_for_the_target(length: int, gamma: float) -> None:
    """Weighted moments against exact ones, 8 z-scores below 4.5, with Z itself: false alarm < 7e-5 a case."""
    g = generator(7)
    path = Geometric(None, LOPSIDED.log_prob)
    runs = neo_weights(path, torch.randn(40_000, 2, generator=g), 0.25, length, gamma, generator=g)
    truth = statistics(LOPSIDED.sample(400_000, generator=g).double()).mean(0)
    w = (runs.log_w - LOPSIDED.log_z).exp()
    assert z_score(w, 1.0).abs() < 4.5
    assert z_score(w[:, None] * (statistics(runs.state.x) - truth)).abs().max() < 4.5
    for carried, fresh in zip(runs.state, path.init(runs.state.x), strict=True):
        torch.testing.assert_close(carried, fresh, atol=1e-4, rtol=1e-4)


def test_damping_into_a_narrow_mode_beats_importance_sampling() -> None:
    """What the orbits are for: the relative variance of 20,000 weights at least halves."""
    g = generator(8)
    path = Geometric.tilted(QuadraticTilt(torch.full((8,), 8.0)).tilt)
    x0 = torch.randn(20_000, 8, generator=g)
    plain, damped = (neo_weights(path, x0, 0.1, length, 1.0, generator=g).log_w.exp() for length in (0, 10))
    assert (damped.std() / damped.mean()) ** 2 < (plain.std() / plain.mean()) ** 2 / 2


def test_the_certified_end_is_below() -> None:
    """False alarm at most alpha = 1e-3."""
    g = generator(9)
    path = Geometric(None, LOPSIDED.log_prob)
    runs = neo_weights(path, torch.randn(32 * 64, 2, generator=g), 0.25, 4, 1.0, generator=g)
    lower = certify(runs.log_w.view(32, 64), 1e-3)
    assert LOPSIDED.log_z - 0.4 < lower < LOPSIDED.log_z


@pytest.mark.parametrize(("length", "gamma"), ORBITS)
@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_a_lopsided_mixture_is_invariant(length: int, gamma: float, lam: float) -> None:
    """Two transitions from exact draws, made at lam < 1 by choice among 400. 7 z-scores below 4.5: < 5e-5 a case."""
    g = generator(10)
    path = Geometric(None, LOPSIDED.log_prob)
    if lam == 1:
        x = LOPSIDED.sample(20_000, generator=g)
    else:
        state = path.init(torch.randn(200_000, 2, generator=g))
        odds = lam * (state.u[:, 1] - state.u[:, 0])
        keep = torch.rand(200_000, generator=g, dtype=torch.float64).log() < odds - odds.max()
        x = state.x[keep][:20_000]
        assert len(x) > 10_000
    kernel = NEO(path, 0.4, length, gamma, n=3)
    state, info = run(kernel, path.init(x), 2, lam=lam, generator=g)
    assert 0.2 < info.accept.mean() < 0.9
    assert z_score(statistics(state.x) - statistics(x)).abs().max() < 4.5


def test_the_kernel_is_reversible() -> None:
    """E[f(x) g(x')] = E[g(x) f(x')] for 21 pairs of statistics, from exact draws: z below 5, false alarm < 2e-5."""
    g = generator(11)
    path = Geometric(None, LOPSIDED.log_prob)
    x = LOPSIDED.sample(60_000, generator=g)
    kernel = NEO(path, 0.4, 3, 1.0, n=2)
    y = kernel(path.init(x), 1.0, kernel.noise(path.init(x), generator=g))[0].x
    f, h = statistics(x), statistics(y)
    flow = f[:, :, None] * h[:, None, :]
    i, j = torch.triu_indices(7, 7, 1)
    assert z_score((flow - flow.transpose(1, 2))[:, i, j]).abs().max() < 5


def test_orbits_of_no_step_are_isir() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(300, 2, generator=generator(0)))
    kernel = NEO(path, 0.4, 0, 1.0, n=4)
    noise = kernel.noise(state, generator=generator(1))
    one, info_one = kernel(state, 0.8, noise)
    two, info_two = ISIR(path, 4)(state, 0.8, Proposals(noise.x, noise.v[:, 1]))
    assert torch.equal(one.x, two.x) and info_one.evals == info_two.evals
    torch.testing.assert_close(info_one.accept, info_two.accept)


@pytest.mark.parametrize("gamma", [0.0, 1.0, -0.8])
def test_seeds_follow_their_law_given_the_point(gamma: float) -> None:
    """P(k) = rho_k / sum_i rho_i by a grid of the uniform number; T^k of the seed is the point."""
    path, h, K, grid = Geometric(None, quartic), 0.3, 3, 4000
    x, p = torch.randn(2, 5, 2, generator=generator(3), dtype=torch.float64)
    at, points, log_rho = (path.init(x), p), [], []
    for k in range(K + 1):
        points.append(at[0].x)
        log_rho.append(at[0].u[:, 0] - at[1].square().sum(-1) / 2 + k * gamma * h * 2)
        at = conformal_leapfrog(path, *at, 1.0, -h, gamma)
    v = ((torch.arange(grid, dtype=torch.float64) + 0.5) / grid)[:, None, None].expand(grid, 5, 3)
    state = path.init(x.expand(grid, 5, 2))
    seed, _ = NEO(path, h, K, gamma).seed(state, 1.0, Seeds(p.expand(grid, 5, 2), x, p, v))
    for k, law in enumerate(torch.stack(log_rho).softmax(0)):
        share = (seed.x - points[k]).abs().amax(-1).lt(1e-9).double().mean(0)
        torch.testing.assert_close(share, law, atol=1e-3, rtol=0)


def test_the_carried_state_is_that_of_its_points() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(50, 2, generator=generator(0)))
    kernel = NEO(path, 0.3, 3, 0.5, n=4)
    moved, _ = kernel(state, 0.6, kernel.noise(state, generator=generator(1)))
    assert (moved.x != state.x).any(-1).sum() > 20
    for carried, fresh in zip(moved, path.init(moved.x), strict=True):
        torch.testing.assert_close(carried, fresh)


def test_temperatures_are_a_batch_axis() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(3, 5, 2, generator=generator(0)))
    lams, steps = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64), torch.tensor([0.2, 0.3, 0.4])
    kernel = NEO(path, steps[:, None], 3, 0.7, n=4)
    noise = kernel.noise(state, generator=generator(1))
    together, info = kernel(state, lams[:, None], noise)
    for i, lam in enumerate(lams.tolist()):
        alone = NEO(path, float(steps[i]), 3, 0.7, n=4)
        moved, one = alone(path.init(state.x[i]), lam, Seeds(*(part[i] for part in noise)))
        torch.testing.assert_close(together.x[i], moved.x, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(info.accept[i], one.accept, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_point_that_is_not_finite_is_never_chosen_and_counted(bad: float) -> None:
    path, g = Geometric.tilted(lambda x: torch.where(x[..., 0] > 0, bad, x[..., 0] ** 2)), generator(3)
    state = path.init(torch.full((200, 2), -0.5))
    moved, info = run(NEO(path, 0.3, 3, 0.5), state, 5, generator=g)
    assert info.divergent > 0
    assert (moved.x[:, 0] <= 0).all() and torch.isfinite(moved.u).all() and torch.isfinite(moved.du).all()
    runs = neo_weights(path, torch.randn(200, 2, generator=g), 0.3, 3, 0.5, generator=g)
    assert runs.divergent > 0
    assert not torch.isnan(runs.log_w).any() and (runs.log_w < torch.inf).all()


def test_evaluations_are_counted_by_rows() -> None:
    calls = []

    def tilt(x: torch.Tensor) -> torch.Tensor:
        calls.append(x[..., 0].numel())
        return x.sum(-1)

    path = Geometric.tilted(tilt)
    state = path.init(torch.zeros(7, 2))
    calls.clear()
    _, info = run(NEO(path, 0.3, 3, 0.5, n=4), state, 2, generator=generator(0))
    assert info.evals == sum(calls)
    calls.clear()
    assert neo_weights(path, torch.zeros(7, 2), 0.3, 3, 0.5, generator=generator(0)).evals == sum(calls)


def test_what_cannot_be_is_refused() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    for make in (
        lambda: NEO(path, 0.3, -1, 0.5),
        lambda: neo_weights(path, torch.zeros(2, 2), 0.3, -1, 0.5, generator=generator(0)),
    ):
        with pytest.raises(ValueError, match="length=-1 steps; expected at least 0"):
            make()
    with pytest.raises(ValueError, match="n=1 points; expected at least 2"):
        NEO(path, 0.3, 2, 0.5, n=1)
    with pytest.raises(ValueError, match="draw=None, which draws N"):
        NEO(Geometric(LOPSIDED.log_prob, quartic), 0.3, 2, 0.5)


def test_same_generator_same_bytes() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.zeros(5, 2))
    one, two = (run(NEO(path, 0.3, 3, 0.5), state, 5, generator=generator(4))[0].x for _ in range(2))
    assert torch.equal(one, two)
    one, two = (neo_weights(path, state.x, 0.3, 3, 0.5, generator=generator(4)).log_w for _ in range(2))
    assert torch.equal(one, two)

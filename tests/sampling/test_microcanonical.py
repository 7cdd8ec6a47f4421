"""Microcanonical kernels: the flow against its equation and its phase-space volume, MAMS against exact draws."""

import math
from functools import partial

import pytest
import torch
from problems import Mixture, QuadraticTilt, generator, z_score

from gm.sampling.anneal import ais
from gm.sampling.chain import run
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Noise
from gm.sampling.microcanonical import LEAPFROG, MAMS, MCLMC, MINIMAL_NORM, direction, isokinetic, turn
from gm.sampling.path import Analytic, Geometric
from gm.sampling.tune import tune

SCHEMES = {"leapfrog": LEAPFROG, "minimal-norm": MINIMAL_NORM}
LOPSIDED = Mixture(
    torch.tensor([0.7, 0.3]), torch.tensor([[-1.0, 0.5], [2.0, -1.0]]), torch.tensor([0.8, 1.3]), log_z=3.0
)
SCALE = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


def quartic(x: torch.Tensor) -> torch.Tensor:
    return -(x**4).sum(-1) / 4 + (x**3).sum(-1) / 6 + x[..., 0] * x[..., -1] / 3


class Flat(Analytic):
    """A constant, without a force."""

    def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(x.shape[:-1]), torch.zeros_like(x)


def statistics(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((x, x**2, x**3, x[:, :1] * x[:, 1:]), -1)


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_mams_leaves_a_tempered_gaussian_invariant(name: str, lam: float) -> None:
    """Paired moments around three moves from exact draws. 11 z-scores below 4.5: false alarm < 8e-5 a case."""
    problem, g = QuadraticTilt(torch.tensor([3.0, -0.5, 0.0])), generator(1)
    path = Geometric.tilted(problem.tilt)
    x = problem.sample(40_000, lam, generator=g)
    step = 0.75 if name == "leapfrog" else 1.5
    kernel = MAMS(path, step, length=3, jitter=0.4, scale=torch.tensor([0.7, 1.4, 1.0]), scheme=SCHEMES[name])
    state, info = run(kernel, path.init(x), 3, lam=lam, generator=g)
    assert 0.3 < info.accept.mean() < 0.95
    assert (state.x != x).any(-1).float().mean() > 0.6
    assert z_score(statistics(state.x) - statistics(x)).abs().max() < 4.5


def test_mams_leaves_a_lopsided_mixture_invariant() -> None:
    """As above, the log density among 8 statistics: < 6e-5."""
    g = generator(2)
    path = Geometric(None, LOPSIDED.log_prob)
    x = LOPSIDED.sample(40_000, generator=g)
    state, info = run(MAMS(path, 0.9, length=3), path.init(x), 3, generator=g)
    assert 0.3 < info.accept.mean() < 0.95
    energy = (LOPSIDED.log_prob(state.x) - LOPSIDED.log_prob(x))[:, None]
    assert z_score(torch.cat((statistics(state.x) - statistics(x), energy), -1)).abs().max() < 4.5


def test_mams_is_reversible() -> None:
    """E[f(x) g(x')] = E[g(x) f(x')] for 21 pairs of statistics, from exact draws: z below 5, false alarm < 2e-5."""
    g = generator(3)
    path = Geometric(None, LOPSIDED.log_prob)
    x = LOPSIDED.sample(60_000, generator=g)
    kernel = MAMS(path, 0.85, length=2)
    y = kernel(path.init(x), 1.0, kernel.noise(path.init(x), generator=g))[0].x
    flow = statistics(x)[:, :, None] * statistics(y)[:, None, :]
    i, j = torch.triu_indices(7, 7, 1)
    assert z_score((flow - flow.transpose(1, 2))[:, i, j]).abs().max() < 5


def test_a_turn_solves_its_equation() -> None:
    """Against 600 midpoint steps of du/dt = (I - u u') g / (d - 1), and d log(volume)/dt = -u'g."""
    d, time, n = 4, 1.7, 600
    u0, g = direction(torch.randn(6, d, generator=generator(0), dtype=torch.float64)), torch.tensor([1.0, -3.0, 0.5, 2])
    g = g.double().expand(6, d)

    def velocity(u: torch.Tensor) -> torch.Tensor:
        return (g - u * (u * g).sum(-1, keepdim=True)) / (d - 1)

    u, gain = u0, torch.zeros(6, dtype=torch.float64)
    for _ in range(n):
        middle = u + time / n / 2 * velocity(u)
        gain = gain + time / n * (middle * g).sum(-1)
        u = u + time / n * velocity(middle)
    found, kinetic = turn(u0, g, time)
    torch.testing.assert_close(found, u, atol=5e-5, rtol=0)
    torch.testing.assert_close(kinetic, gain, atol=5e-5, rtol=0)


def test_a_turn_survives_no_force_and_a_great_one() -> None:
    u = direction(torch.randn(5, 3, generator=generator(0)))
    still, gain = turn(u, torch.zeros(5, 3), 1.0)
    torch.testing.assert_close(still, u)
    assert (gain == 0).all()
    g = torch.tensor([0.0, 1e6, 0.0]).expand(5, 3)
    along, gain = turn(u, g, 1.0)
    torch.testing.assert_close(along, g / 1e6)
    torch.testing.assert_close(gain, 1e6 + 2 * torch.log((1 + u[:, 1].double()) / 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_kinetic_energy_is_the_loss_of_volume(name: str) -> None:
    """log|det| of the step on positions times the sphere, by central differences in tangent coordinates."""
    d, eps, path = 3, 1e-5, Geometric(None, quartic)
    x, u = torch.randn(2, d, generator=generator(1), dtype=torch.float64)
    u = direction(u)

    def tangent(u: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svd(u[None]).Vh[1:]

    def step(x: torch.Tensor, u: torch.Tensor):
        return isokinetic(path, path.init(x), u, 0.8, 0.9, SCALE, SCHEMES[name])

    def moved(sign: float) -> torch.Tensor:
        dx = torch.cat((torch.eye(d), torch.zeros(d - 1, d))).double()
        du = torch.cat((torch.zeros(d, d).double(), tangent(u)))
        state, velocity, _ = step(x + sign * eps * dx, direction(u + sign * eps * du))
        return torch.cat((state.x, velocity @ tangent(end_u).T), -1)

    _, end_u, kinetic = step(x[None], u[None])
    end_u = end_u[0]
    jacobian = (moved(1) - moved(-1)) / (2 * eps)
    assert abs(kinetic.item()) > 0.05
    assert torch.linalg.slogdet(jacobian).logabsdet.item() == pytest.approx(-kinetic.item(), abs=1e-6)


@pytest.mark.parametrize("name", SCHEMES)
def test_the_opposite_velocity_goes_back(name: str) -> None:
    path = Geometric(None, quartic)
    x, u = torch.randn(2, 20, 3, generator=generator(2), dtype=torch.float64)
    u = direction(u)
    there, v, kinetic = isokinetic(path, path.init(x), u, 0.8, 0.5, SCALE, SCHEMES[name])
    back, w, gain = isokinetic(path, there, -v, 0.8, 0.5, SCALE, SCHEMES[name])
    torch.testing.assert_close(back.x, x, atol=1e-10, rtol=0)
    torch.testing.assert_close(w, -u, atol=1e-10, rtol=0)
    torch.testing.assert_close(gain, -kinetic, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("name", "at_most"), [("leapfrog", 0.02), ("minimal-norm", 0.003)])
def test_the_energy_error_falls_as_the_square_of_the_step(name: str, at_most: float) -> None:
    """W is zero along the exact flow, in any metric; here for a time of 1.6."""
    path = Geometric(None, quartic)
    x, u = torch.randn(2, 50, 3, generator=generator(3), dtype=torch.float64)
    errors = []
    for n in (20, 40):
        state, v, W = path.init(x / 2), direction(u), path.init(x / 2).u[:, 1]
        for _ in range(n):
            state, v, gain = isokinetic(path, state, v, 1.0, 1.6 / n, SCALE, SCHEMES[name])
            W = W + gain
        errors.append((W - state.u[:, 1]).square().mean().sqrt().item())
    assert errors[0] < at_most and 3.5 < errors[0] / errors[1] < 4.5


def test_mams_accepts_with_the_energy_error() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(100, 2, generator=generator(4)))
    h, scale = 0.8 * math.sqrt(2), torch.tensor([0.7, 1.3])
    kernel = MAMS(path, 0.8, length=2, jitter=0.0, scale=scale)
    noise = kernel.noise(state, generator=generator(5))
    _, info = kernel(state, 0.6, noise)
    end, u, one = isokinetic(path, state, direction(noise.xi), 0.6, h, scale)
    end, u, two = isokinetic(path, end, u, 0.6, h, scale)
    W = path.log_prob(state, 0.6) - path.log_prob(end, 0.6) + one + two
    torch.testing.assert_close(info.accept, (-W).clamp(max=0).exp())


@pytest.mark.parametrize("name", SCHEMES)
def test_mclmc_samples_a_gaussian_with_a_bias_that_falls_with_the_step(name: str) -> None:
    """2,000 chains of 10 dimensions, variances from 1/4 to 1. A standard error of a mean of variance ratios is 1e-2.
    At the small step it is within 4.5 of one: false alarm < 1e-5; at the large one it is not.
    """
    problem, g = QuadraticTilt(torch.linspace(0, 3, 10)), generator(6)
    path = Geometric.tilted(problem.tilt)
    state = path.init(problem.sample(2000, generator=g))
    ratios = []
    for step, length in ((0.13, 15), (1.3, 5)):
        kernel = MCLMC(path, step, length, decoherence=1.0, scheme=SCHEMES[name])
        end, info = run(kernel, state, 10, generator=g)
        assert info.divergent == 0 and (info.accept == 1).all()
        ratios.append((end.x.double().square() * (1 + problem.c)).mean().item())
    assert abs(ratios[0] - 1) < 4.5 * math.sqrt(2 / 20_000)
    assert abs(ratios[1] - 1) > 0.1


def test_the_velocity_is_forgotten_over_its_distance() -> None:
    """Without a force the velocities a steps apart have E u'u_a = exp(-a h / L) in high dimension, and the mean square
    of the way is d h^2 times their sum. 200 chains in 400 dimensions: within 3 %, six of the standard errors found on
    other seeds; false alarm < 1e-5.
    """
    path, h, n = Geometric(None, Flat()), 0.5, 20
    state = path.init(torch.zeros(200, 400))
    lag = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    for L in (0.5, 2.0, 10.0):
        end, _ = run(MCLMC(path, h, n, decoherence=L), state, 1, generator=generator(7))
        expected = 400 * h**2 * torch.exp(-lag * h / L).sum()
        assert end.x.square().sum(-1).mean().item() == pytest.approx(expected.item(), rel=0.03)
    straight, _ = run(MCLMC(path, h, n), state, 1, generator=generator(7))
    torch.testing.assert_close(straight.x.norm(dim=-1), torch.full((200,), 20 * h * n))


def test_annealing_refuses_the_unadjusted_kernel() -> None:
    path = Geometric.tilted(QuadraticTilt(torch.ones(2)).tilt)
    lams = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert (MCLMC(path, 0.1, 3).invariant, MCLMC(path, 0.1, 3).weighted) == (False, False)
    with pytest.raises(ValueError, match="MCLMC at temperature 0.25 says invariant=False and weighted=False"):
        ais(path, lambda t: MCLMC(path, 0.1, 3), lams, torch.zeros(4, 2), generator=generator(0))


def test_annealed_mams_is_unbiased() -> None:
    """4,000 bounded weights, |z| < 4: false alarm < 7e-5."""
    problem, g = QuadraticTilt(torch.tensor([3.0, 1.0])), generator(8)
    path = Geometric.tilted(problem.tilt)
    lams = torch.linspace(0, 1, 6, dtype=torch.float64)
    x0 = torch.randn(4000, 2, generator=g)
    runs = ais(path, lambda t: MAMS(path, 0.8, length=2), lams, x0, generator=g)
    assert z_score((runs.log_w - problem.log_z).exp(), 1.0).abs() < 4


def kernels(path: Geometric) -> list:
    return [MAMS(path, 0.6, 3), MCLMC(path, 0.6, 3, 2.0), MAMS(path, 0.6, 3, scheme=MINIMAL_NORM)]


def test_one_dimension_is_refused() -> None:
    path = Geometric.tilted(lambda x: x.sum(-1))
    state = path.init(torch.zeros(4, 1))
    for kernel in kernels(path):
        with pytest.raises(ValueError, match="d=1 dimension; expected d >= 2"):
            run(kernel, state, 1, generator=generator(0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_proposal_that_is_not_finite_is_rejected_and_counted(bad: float) -> None:
    path = Geometric.tilted(lambda x: torch.where(x[..., 0] > 0, bad, x[..., 0] ** 2))
    state = path.init(torch.full((200, 2), -0.5))
    for kernel in kernels(path):
        moved, info = run(kernel, state, 5, generator=generator(3))
        assert info.divergent > 0
        assert (moved.x[:, 0] <= 0).all() and torch.isfinite(moved.u).all() and torch.isfinite(moved.du).all()
        assert (moved.x != state.x).any()


def test_the_carried_state_is_that_of_its_points() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(50, 2, generator=generator(0)))
    for kernel in kernels(path):
        moved, _ = kernel(state, 0.6, kernel.noise(state, generator=generator(1)))
        for carried, fresh in zip(moved, path.init(moved.x), strict=True):
            torch.testing.assert_close(carried, fresh)


def test_temperatures_are_a_batch_axis() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(3, 5, 2, generator=generator(0)))
    lams, steps = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64), torch.tensor([0.2, 0.6, 0.9])
    for make in (lambda h: MAMS(path, h, 3), lambda h: MCLMC(path, h, 3, 2.0)):
        noise = make(0.1).noise(state, generator=generator(1))
        together, _ = make(steps[:, None])(state, lams[:, None], noise)
        for i, lam in enumerate(lams.tolist()):
            part = Noise(*(t[i] for t in noise)) if isinstance(noise, Noise) else noise[i]
            alone, _ = make(float(steps[i]))(path.init(state.x[i]), lam, part)
            torch.testing.assert_close(together.x[i], alone.x)


def test_evaluations_are_counted_by_rows() -> None:
    calls = []

    def tilt(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return x.sum(-1)

    path = Geometric.tilted(tilt)
    state = path.init(torch.zeros(7, 2))
    for kernel in kernels(path):
        calls.clear()
        _, info = run(kernel, state, 3, generator=generator(0))
        assert info.evals == sum(calls)


def test_same_generator_same_bytes() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.zeros(5, 2))
    for kernel in kernels(path):
        one, two = (run(kernel, state, 10, generator=generator(4))[0].x for _ in range(2))
        assert torch.equal(one, two)


def test_a_pilot_tunes_mams_as_it_tunes_hmc() -> None:
    """In 100 dimensions the tuned steps stay within the same order, and reach the acceptance that was asked for."""
    problem = QuadraticTilt(torch.linspace(0, 3, 100))
    path = Geometric.tilted(problem.tilt)
    plans = [
        tune(
            path,
            partial(kernel, length=4),
            torch.randn(32, 100, generator=generator(9)),
            5,
            target_accept=0.8,
            generator=generator(10),
            levels=5,
        )
        for kernel in (HMC, MAMS)
    ]
    hmc, mams = (plan.steps[-1] for plan in plans)
    assert 0.5 < mams / hmc < 2
    x = problem.sample(500, generator=generator(11))
    _, info = run(MAMS(path, mams, length=4), path.init(x), 2, generator=generator(12))
    assert 0.65 < info.accept.mean() < 0.95

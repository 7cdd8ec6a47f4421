from dataclasses import FrozenInstanceError

import pytest
import torch
from problems import Mixture, QuadraticTilt, generator, z_score

from gm.sampling.chain import run
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Noise
from gm.sampling.langevin import MALA, TULA, ULA, RandomWalk
from gm.sampling.path import Analytic, Geometric

KERNELS = {
    "random_walk": lambda path, step: RandomWalk(path, step),
    "mala": lambda path, step: MALA(path, step),
    "hmc": lambda path, step: HMC(path, step, length=3, jitter=0.4),
}
UNADJUSTED = {"ula": ULA, "tula": TULA}
LOPSIDED = Mixture(
    torch.tensor([0.7, 0.3]), torch.tensor([[-1.0, 0.5], [2.0, -1.0]]), torch.tensor([0.8, 1.3]), log_z=3.0
)


def statistics(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((x, x**2, x**3, x[:, :1] * x[:, 1:]), -1)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_tempered_gaussian_is_invariant(name: str, lam: float) -> None:
    """Paired moments around three moves from exact draws. 11 z-scores below 4.5: false alarm < 8e-5."""
    problem, g = QuadraticTilt(torch.tensor([3.0, -0.5, 0.0])), generator(1)
    path = Geometric.tilted(problem.tilt)
    x = problem.sample(40_000, lam, generator=g)
    state, info = run(KERNELS[name](path, 0.9), path.init(x), 3, lam=lam, generator=g)
    assert 0.3 < info.accept.mean() < 0.97
    assert (state.x != x).any(-1).float().mean() > 0.6
    assert z_score(statistics(state.x) - statistics(x)).abs().max() < 4.5


@pytest.mark.parametrize("name", KERNELS)
def test_a_lopsided_mixture_is_invariant(name: str) -> None:
    """As above, for a target without symmetry, the log density among the statistics: < 6e-5."""
    g = generator(2)
    path = Geometric(None, LOPSIDED.log_prob)
    x = LOPSIDED.sample(40_000, generator=g)
    state, info = run(KERNELS[name](path, 1.1), path.init(x), 3, generator=g)
    assert 0.3 < info.accept.mean() < 0.95
    change = torch.cat(
        (
            statistics(state.x) - statistics(x),
            LOPSIDED.log_prob(state.x)[:, None] - LOPSIDED.log_prob(x)[:, None],
        ),
        -1,
    )
    assert z_score(change).abs().max() < 4.5


def test_hmc_of_length_one_is_mala() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(50, 2, generator=generator(0)))
    noise = HMC(path, 0.8, length=1).noise(state, generator=generator(1))
    one, info_one = HMC(path, 0.8, length=1, jitter=0.0)(state, 0.7, noise)
    two, info_two = MALA(path, 0.8)(state, 0.7, noise)
    torch.testing.assert_close(one.x, two.x)
    torch.testing.assert_close(info_one.accept, info_two.accept, rtol=1e-4, atol=1e-5)


def test_the_carried_state_is_that_of_its_points() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.randn(50, 2, generator=generator(0)))
    for kernel in (RandomWalk(path, 1.5), MALA(path, 1.5), HMC(path, 0.9, length=3)):
        moved, _ = kernel(state, 0.6, kernel.noise(state, generator=generator(1)))
        assert 0 < (moved.x == state.x).all(-1).sum() < 50
        for carried, fresh in zip(moved, path.init(moved.x), strict=True):
            torch.testing.assert_close(carried, fresh)


@pytest.mark.parametrize("name", [*KERNELS, *UNADJUSTED])
def test_a_row_does_not_depend_on_the_others(name: str) -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    x = torch.randn(6, 2, generator=generator(0))
    kernel = (KERNELS | UNADJUSTED)[name](path, 0.7)
    noise = kernel.noise(path.init(x), generator=generator(1))
    before, _ = kernel(path.init(x), 1.0, noise)
    other = torch.arange(6) == 2
    shifted = Noise(*(t if t is None else torch.where(other.view(-1, *[1] * (t.ndim - 1)), t / 2, t) for t in noise))
    after, _ = kernel(path.init(torch.where(other[:, None], x + 1, x)), 1.0, shifted)
    assert torch.equal(before.x[~other], after.x[~other])
    assert not torch.equal(before.x[other], after.x[other])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", KERNELS)
def test_a_proposal_that_is_not_finite_is_rejected_and_counted(name: str, bad: float) -> None:
    path = Geometric.tilted(lambda x: torch.where(x[..., 0] > 0, bad, x[..., 0] ** 2))
    state = path.init(torch.full((200, 2), -0.5))
    kernel = KERNELS[name](path, 0.9)
    moved, info = run(kernel, state, 5, generator=generator(3))
    assert info.divergent > 0
    assert (moved.x[:, 0] <= 0).all() and torch.isfinite(moved.u).all() and torch.isfinite(moved.du).all()
    assert (moved.x != state.x).any()


class BrokenGradient(Analytic):
    """A flat density whose gradient is lost where x_0 > 0."""

    def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(len(x)), torch.where(x[:, :1] > 0, float("nan"), torch.zeros_like(x))


def test_a_gradient_that_is_not_finite_is_a_rejection() -> None:
    path = Geometric(None, BrokenGradient())
    moved, info = run(MALA(path, 0.9), path.init(torch.full((200, 2), -0.5)), 5, lam=0.5, generator=generator(3))
    assert info.divergent > 0
    assert (moved.x[:, 0] <= 0).all() and torch.isfinite(moved.du).all()


def test_evaluations_are_counted_by_rows() -> None:
    calls = []

    def tilt(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return x.sum(-1)

    path = Geometric.tilted(tilt)
    state = path.init(torch.zeros(7, 2))
    for kernel in (RandomWalk(path, 0.5), MALA(path, 0.5), ULA(path, 0.5), TULA(path, 0.5), HMC(path, 0.5, length=4)):
        calls.clear()
        _, info = run(kernel, state, 3, generator=generator(0))
        assert info.evals == sum(calls)


def test_same_generator_same_bytes() -> None:
    path = Geometric(None, LOPSIDED.log_prob)
    state = path.init(torch.zeros(5, 2))
    one, two = (run(MALA(path, 0.7), state, 20, generator=generator(4))[0] for _ in range(2))
    assert torch.equal(one.x, two.x)


def test_kernels_are_frozen() -> None:
    for kernel in (RandomWalk(None, 0.5), MALA(None, 0.5), ULA(None, 0.5), TULA(None, 0.5), HMC(None, 0.5, length=3)):
        with pytest.raises(FrozenInstanceError):
            kernel.step = 0.6


def test_a_chain_has_at_least_one_transition() -> None:
    with pytest.raises(ValueError, match="n=0 transitions; expected at least 1"):
        run(MALA(None, 0.5), None, 0, generator=generator(0))


@pytest.mark.parametrize("name", [*KERNELS, *UNADJUSTED])
def test_a_batch_of_temperatures_and_steps_is_each_alone(name: str) -> None:
    """`[temperatures, chains]` in one call, each row at its own temperature and step."""
    path = Geometric(None, LOPSIDED.log_prob)
    lam, step = torch.tensor([[0.2], [0.9]], dtype=torch.float64), torch.tensor([[0.4], [0.8]])
    state = path.init(torch.randn(2, 5, 2, generator=generator(0)))
    make = (KERNELS | UNADJUSTED)[name]
    noise = make(path, step).noise(state, generator=generator(1))
    together, info = make(path, step)(state, lam, noise)
    for t in range(2):
        alone = Noise(*(part if part is None else part[t] for part in noise))
        row, one = make(path, float(step[t]))(path.init(state.x[t]), float(lam[t]), alone)
        torch.testing.assert_close(together.x[t], row.x)
        torch.testing.assert_close(info.accept[t], one.accept)

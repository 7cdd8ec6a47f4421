import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pytest
import torch
from problems import EnumeratedRBM, LinearGaussian, QuadraticTilt, generator, z_score
from torch import Tensor

from gm.sampling.anneal import ais
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Info
from gm.sampling.langevin import MALA, TULA, ULA
from gm.sampling.path import Geometric
from gm.sampling.sandwich import sandwich

LAMS = torch.tensor([0.0, 0.15, 0.4, 0.7, 1.0], dtype=torch.float64)
KERNELS = {"mala": lambda path: MALA(path, 1.1), "hmc": lambda path: HMC(path, 0.7, length=2)}


@pytest.mark.parametrize("name", KERNELS)
def test_forward_weights_are_unbiased(name: str) -> None:
    """E[w] = Z / Z_0 over 100 000 crude runs with weights below 1; |z| < 4: false alarm 6e-5."""
    problem, g = QuadraticTilt(torch.tensor([4.0, 2.0, 1.0])), generator(0)
    path = Geometric.tilted(problem.tilt)
    runs = ais(path, lambda t: KERNELS[name](path), LAMS, torch.randn(100_000, 3, generator=g), generator=g)
    assert runs.log_w.max() <= 0
    assert z_score(runs.log_w.exp(), math.exp(problem.log_z)).abs() < 4


@pytest.mark.parametrize("name", KERNELS)
def test_reverse_weights_from_exact_draws_are_unbiased(name: str) -> None:
    """E[w'] = Z_0 / Z over 100 000 crude runs with weights below 1; |z| < 4: false alarm 6e-5."""
    problem, g = QuadraticTilt(torch.tensor([-0.8, -0.6, -0.4])), generator(1)
    path = Geometric.tilted(problem.tilt)
    x1 = problem.sample(100_000, generator=g)
    runs = ais(path, lambda t: KERNELS[name](path), LAMS, x1, generator=g, reverse=True)
    assert runs.log_w.max() <= 0
    assert z_score(runs.log_w.exp(), math.exp(-problem.log_z)).abs() < 4


@pytest.mark.parametrize("name", KERNELS)
def test_reverse_is_the_time_reversal_of_forward(name: str) -> None:
    """Crooks: E_f[w / (w + Z)] = E_r[w' Z / (1 + w' Z)], whatever the mixing; |z| < 4: false alarm 6e-5.

    Steps differ between temperatures, so that a kernel used at the wrong one shows.
    """
    problem, g = QuadraticTilt(torch.tensor([6.0, 3.0, -0.5])), generator(2)
    path, n = Geometric.tilted(problem.tilt), 200_000
    steps = [9.9, 1.6, 0.4, 1.1, 9.9]

    def kernel_at(t: int) -> MALA | HMC:
        return MALA(path, steps[t]) if name == "mala" else HMC(path, steps[t] / 2, length=2)

    forward = ais(path, kernel_at, LAMS, torch.randn(n, 3, generator=g), generator=g)
    reverse = ais(path, kernel_at, LAMS, problem.sample(n, generator=g), generator=g, reverse=True)
    f = (forward.log_w - problem.log_z).sigmoid()
    r = (reverse.log_w + problem.log_z).sigmoid()
    z = (f.mean() - r.mean()) / math.sqrt((f.var() + r.var()) / n)
    assert abs(z) < 4


def test_a_linear_gaussian_marginal_lies_between_certified_ends() -> None:
    """log p(x) is the log Z over z; reverse runs start from the posterior. Each end fails with 1e-3."""
    g = generator(3)
    problem = LinearGaussian(torch.randn(10, 4, generator=g), torch.randn(10, generator=g), 0.7)
    x = problem.sample(1, generator=g)[1]
    path = Geometric.tilted(lambda z: -problem.log_likelihood(x, z))
    lams = torch.linspace(0, 1, 101, dtype=torch.float64) ** 2
    z1 = _posterior_draws(problem, x[0], g)
    forward = ais(path, lambda t: MALA(path, 0.45), lams, torch.randn(256, 4, generator=g), generator=g)
    reverse = ais(path, lambda t: MALA(path, 0.45), lams, z1, generator=g, reverse=True)
    log_z = sandwich(forward.log_w.view(32, 8), reverse.log_w.view(32, 8), 1e-3, exact=True)
    assert log_z.kinds == ("certified", "certified")
    assert log_z.lower <= problem.log_prob(x)[0] <= log_z.upper
    assert log_z.upper - log_z.lower < 1.5


def _posterior_draws(problem: LinearGaussian, x: Tensor, g: torch.Generator) -> Tensor:
    posterior = problem.posterior(x)
    noise = torch.randn(256, len(posterior.mean), generator=g, dtype=torch.float64)
    return (posterior.mean + noise @ posterior.scale_tril.T).float()


class Visible(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class RBMPath:
    """Scales all parameters by lam: the base is uniform on {0, 1}^D, with mass 2^-D."""

    rbm: EnumeratedRBM

    def init(self, x: Tensor) -> Visible:
        return Visible(x)

    def log_prob(self, state: Visible, lam: float) -> Tensor:
        rbm, hidden = self.rbm, len(self.rbm.c)
        scaled = EnumeratedRBM(lam * rbm.W, lam * rbm.b, lam * rbm.c)
        base = (1 - lam) * (hidden + len(rbm.b)) * math.log(2)
        return scaled.log_unnormalised(state.x).double() - base


@dataclass(frozen=True)
class Gibbs:
    """Block Gibbs at one temperature."""

    rbm: EnumeratedRBM
    invariant: ClassVar[bool] = True

    def noise(self, state: Visible, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        n = len(state.x)
        return (
            torch.rand(n, len(self.rbm.c), generator=generator),
            torch.rand(n, len(self.rbm.b), generator=generator),
        )

    def __call__(self, state: Visible, lam: float, noise: tuple[Tensor, Tensor]) -> tuple[Visible, Info]:
        h = (noise[0] < (lam * (state.x @ self.rbm.W.T + self.rbm.c)).sigmoid()).float()
        v = (noise[1] < (lam * (h @ self.rbm.W + self.rbm.b)).sigmoid()).float()
        return Visible(v), Info(torch.ones(len(v)), len(v), 0)


def test_an_enumerated_rbm_with_its_own_path_and_gibbs_moves() -> None:
    """Annealing asks only for init, log_prob and a kernel. Each certified end fails with probability 1e-3."""
    g = generator(4)
    rbm = EnumeratedRBM(torch.randn(8, 20, generator=g), torch.randn(20, generator=g), torch.randn(8, generator=g))
    lams, x0 = (
        torch.linspace(0, 1, 101, dtype=torch.float64),
        torch.randint(2, (256, 20), generator=g).float(),
    )
    forward = ais(RBMPath(rbm), lambda t: Gibbs(rbm), lams, x0, generator=g)
    reverse = ais(RBMPath(rbm), lambda t: Gibbs(rbm), lams, rbm.sample(256, generator=g), generator=g, reverse=True)
    log_z = sandwich(forward.log_w.view(32, 8), reverse.log_w.view(32, 8), 1e-3, exact=True)
    assert log_z.lower <= rbm.log_z <= log_z.upper
    assert log_z.upper - log_z.lower < 1.5


def test_no_temperature_moves_twice_and_none_at_the_ends() -> None:
    path = Geometric.tilted(QuadraticTilt(torch.tensor([1.0])).tilt)
    visited: list[int] = []

    def kernel_at(t: int) -> MALA:
        visited.append(t)
        return MALA(path, 1.0)

    ais(path, kernel_at, LAMS, torch.zeros(2, 1), generator=generator(0))
    ais(path, kernel_at, LAMS, torch.zeros(2, 1), generator=generator(0), reverse=True)
    assert visited == [1, 2, 3, 3, 2, 1]


def test_evaluations_are_counted_and_progress_is_told() -> None:
    calls, told = [], []

    def tilt(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x.sum(-1)

    path = Geometric.tilted(tilt)
    runs = ais(
        path,
        lambda t: HMC(path, 0.5, length=3),
        LAMS,
        torch.zeros(6, 2),
        generator=generator(0),
        log=lambda *p: told.append(p),
    )
    assert runs.evals == sum(calls)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(runs.accept) == 3


@pytest.mark.parametrize("kernel", [ULA, TULA])
@pytest.mark.parametrize("reverse", [False, True])
def test_jarzynski_weights_of_biased_moves_are_unbiased(kernel: type, reverse: bool) -> None:
    """E[w] = Z / Z_0, backward Z_0 / Z, over 20 000 runs; |z| < 4: false alarm 6e-5. Without the ratios it is off."""
    sign = -1 if reverse else 1
    problem, g = QuadraticTilt(torch.tensor([-0.6, -0.3, -0.2] if reverse else [3.0, 1.0, 0.5])), generator(6)
    path, lams = Geometric.tilted(problem.tilt), torch.linspace(0, 1, 11, dtype=torch.float64)
    x0 = problem.sample(20_000, generator=g) if reverse else torch.randn(20_000, 3, generator=g)
    ratios: list[Tensor] = []

    @dataclass(frozen=True, eq=False)
    class Recorded(kernel):
        def __call__(self, *arguments) -> tuple:
            state, info = super().__call__(*arguments)
            ratios.append(info.log_ratio)
            return state, info

    runs = ais(path, lambda t: Recorded(path, 0.8), lams, x0, generator=g, reverse=reverse)
    exact = math.exp(sign * problem.log_z)
    assert z_score(runs.log_w.exp(), exact).abs() < 4
    assert len(ratios) == 9
    assert z_score((runs.log_w - sum(ratios)).exp(), exact).abs() > 10


def test_a_run_that_diverges_is_an_error() -> None:
    """A row that left the reals has no weight; it is neither dropped nor put back."""
    path = Geometric.tilted(lambda x: (x**4).sum(-1))
    with pytest.raises(FloatingPointError, match="annealing weights are not finite"):
        ais(path, lambda t: ULA(path, 3.0), LAMS, torch.full((20, 2), 4.0), generator=generator(0))


def test_a_kernel_that_is_not_invariant_is_refused() -> None:
    class Unweighted(MALA):
        invariant = False

    path = Geometric.tilted(lambda x: x.sum(-1))
    with pytest.raises(ValueError, match=r"Unweighted at temperature 0.15 says invariant=False.*no bound on log Z"):
        ais(path, lambda t: Unweighted(path, 0.1), LAMS, torch.zeros(2, 2), generator=generator(0))


@pytest.mark.parametrize("lams", [[0.0, 0.5], [0.1, 1.0], [0.0, 0.6, 0.5, 1.0], [1.0, 0.0]])
def test_temperatures_increase_from_zero_to_one(lams: list[float]) -> None:
    with pytest.raises(ValueError, match="expected an increase from 0 to 1"):
        ais(
            Geometric.tilted(lambda x: x.sum(-1)),
            None,
            torch.tensor(lams),
            torch.zeros(2, 2),
            generator=generator(0),
        )


def test_a_start_without_a_density_is_an_error() -> None:
    path = Geometric.tilted(lambda x: x.log().sum(-1))
    with pytest.raises(FloatingPointError, match=r"1 of 2 annealing weights are not finite at temperature 0.15"):
        ais(path, lambda t: MALA(path, 0.1), LAMS, torch.tensor([[1.0], [-1.0]]), generator=generator(0))

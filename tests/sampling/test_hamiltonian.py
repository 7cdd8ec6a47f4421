import math

import pytest
import torch
from problems import generator, z_score
from torch import Tensor

from gm.sampling.chain import run
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Noise
from gm.sampling.path import Analytic, Geometric


class Normal(Analytic):
    """N(0, diag(sd^2)), unnormalised."""

    def __init__(self, sd: Tensor) -> None:
        self.sd = sd

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return -((x / self.sd) ** 2).double().sum(-1) / 2, -x / self.sd**2


class Double(Analytic):
    """A lopsided double well in each coordinate."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (-((x**2 - 2) ** 2) / 4 + x / 3).sum(-1), -x * (x**2 - 2) + 1 / 3


SD = torch.tensor([0.03, 1.0, 30.0, 3.0])


@pytest.mark.parametrize("scale", [SD, 1.3 * SD, SD * torch.tensor([0.7, 1.2, 1.0, 0.9])])
def test_a_badly_scaled_normal_is_invariant(scale: Tensor) -> None:
    """Squares and the energy around three moves from 40 000 exact draws. 5 z-scores below 4: false alarm 4e-4."""
    path, g = Geometric(None, Normal(SD)), generator(0)
    x = SD * torch.randn(40_000, 4, generator=g)
    state, info = run(HMC(path, 0.8, length=3, scale=scale), path.init(x), 3, generator=g)
    assert 0.3 < info.accept.mean() < 0.97
    change = torch.cat((state.x**2 - x**2, (state.u - path.init(x).u)[:, 1:]), -1)
    assert z_score(change / torch.cat((SD**2, torch.ones(1)))).abs().max() < 4


def test_a_metric_is_a_change_of_units() -> None:
    """The momentum is drawn with the root of the mass: the metric s on N(0, s^2) moves s x as N(0, I) moves x."""
    s = torch.tensor([0.1, 1.0, 10.0])
    wide, unit = Geometric(Normal(s), Normal(s)), Geometric(Normal(torch.ones(3)), Normal(torch.ones(3)))
    x = torch.randn(500, 3, generator=generator(0))
    noise = HMC(unit, 1.0, length=3).noise(unit.init(x), generator=generator(1))
    a, info = HMC(wide, 1.1, length=3, scale=s)(wide.init(s * x), 1.0, noise)
    b, expected = HMC(unit, 1.1, length=3)(unit.init(x), 1.0, noise)
    torch.testing.assert_close(a.x / s, b.x)
    torch.testing.assert_close(info.accept, expected.accept, rtol=1e-4, atol=1e-5)


def trajectory(length: int, h: float, scale: Tensor, x: Tensor, xi: Tensor) -> tuple[Tensor, Tensor]:
    """Leapfrog written out: position, and the momentum in units of the root of the mass."""
    grad, p, mass = Double().value_and_grad, xi / scale, scale**-2
    for _ in range(length):
        half = p + h / 2 * grad(x)[1]
        x = x + h * half / mass
        p = half + h / 2 * grad(x)[1]
    return x, p * scale


def test_acceptance_is_the_change_of_the_hamiltonian() -> None:
    """Kinetic energy of the final momentum against that of the initial one, p' M^-1 p with M = s^-2."""
    x, scale = torch.randn(200, 2, generator=generator(0), dtype=torch.float64), torch.tensor([0.6, 1.4]).double()
    path = Geometric(None, Double())
    noise = HMC(path, 0.5, length=4).noise(path.init(x), generator=generator(1))
    state, info = HMC(path, 0.5, length=4, jitter=0.0, scale=scale)(path.init(x), 1.0, noise._replace(v=-noise.v - 1))
    y, xi = trajectory(4, 0.5, scale, x, noise.xi)
    start, end = (Double()(z) - (q**2).sum(-1) / 2 for z, q in ((x, noise.xi), (y, xi)))
    torch.testing.assert_close(state.x, y)
    torch.testing.assert_close(info.accept, (end - start).clamp(max=0).exp())
    assert 0.1 < info.accept.mean() < 0.98


def test_a_trajectory_is_reversible() -> None:
    """From its end with the momentum turned round it comes back, so the proposal is an involution."""
    x = torch.randn(100, 3, generator=generator(2), dtype=torch.float64)
    path, scale = Geometric(None, Double()), torch.tensor([0.5, 1.0, 1.5]).double()
    kernel = HMC(path, 0.3, length=7, jitter=0.2, scale=scale)
    noise = kernel.noise(path.init(x), generator=generator(3))._replace(v=torch.full((100,), -1.0))
    h = 0.3 * (1 + 0.2 * (2 * noise.s - 1))[:, None]
    y, xi = trajectory(7, h, scale, x, noise.xi)
    there, out = kernel(path.init(x), 1.0, noise)
    home, back = kernel(there, 1.0, noise._replace(xi=-xi))
    torch.testing.assert_close(there.x, y)
    torch.testing.assert_close(home.x, x, rtol=1e-6, atol=1e-6)
    ratio = out.accept.clamp(max=1).log() - back.accept.log()
    assert ((out.accept == 1) | (back.accept == 1)).all() and torch.isfinite(ratio).all()


def test_jitter_breaks_a_resonance() -> None:
    """A trajectory of a whole period of N(0, 1) comes back to where it began; jittered ones do not."""
    path, length = Geometric(None, Normal(torch.ones(1))), 20
    # leapfrog turns by theta a step, with cos theta = 1 - h^2/2
    h = math.sqrt(2 * (1 - math.cos(2 * math.pi / length)))
    start = path.init(torch.full((4000, 1), 2.0))
    stuck, _ = run(HMC(path, h, length, jitter=0.0), start, 5, generator=generator(0))
    free, _ = run(HMC(path, h, length, jitter=0.5), start, 12, generator=generator(0))
    assert (stuck.x - 2).abs().max() < 1e-3
    assert abs(z_score(free.x[:, 0])) < 5 and abs(z_score(free.x[:, 0] ** 2, 1.0)) < 5


def test_a_row_jitters_its_own_step_within_its_width() -> None:
    """A flat density moves x by L h_row xi, h_row uniform on h (1 - jitter, 1 + jitter); 20 000 rows, 4 sd."""
    path = Geometric(Normal(torch.full((1,), 1e6)), Normal(torch.full((1,), 1e6)))
    kernel = HMC(path, 0.1, length=5, jitter=0.4)
    state = path.init(torch.zeros(20_000, 1))
    noise = kernel.noise(state, generator=generator(0))
    moved, info = kernel(state, 1.0, noise)
    h = (moved.x / noise.xi)[:, 0] / 5
    assert h.min() > 0.1 * 0.6 - 1e-6 and h.max() < 0.1 * 1.4 + 1e-6
    assert abs(z_score(h, 0.1)) < 4
    assert h.std() == pytest.approx(0.04 / math.sqrt(3), rel=0.03)
    assert info.evals == 5 * 20_000


def test_two_metrics_agree_on_a_lopsided_target() -> None:
    """First three moments after 60 moves from a common law, 20 000 chains each; 3 z-scores below 4: 2e-4."""
    path, g = Geometric(None, Double()), generator(5)
    moments = []
    for scale in (0.7, torch.tensor([1.3])):
        start = path.init(torch.randn(20_000, 1, generator=g))
        x = run(HMC(path, 0.6, 4, scale=scale), start, 60, generator=g)[0].x.double()
        moments.append(torch.cat((x, x**2, x**3), -1))
    difference = moments[0] - moments[1]
    assert z_score(difference).abs().max() < 4


def test_noise_names_the_momentum_and_two_uniforms() -> None:
    path = Geometric(None, Double())
    noise = HMC(path, 0.5, length=2).noise(path.init(torch.zeros(4, 3)), generator=generator(0))
    assert isinstance(noise, Noise) and noise.xi.shape == (4, 3)
    assert noise.v.dtype == noise.s.dtype == torch.float64 and not torch.equal(noise.v, noise.s)

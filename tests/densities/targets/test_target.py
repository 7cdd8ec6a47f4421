"""What holds for every continuous target: gradient, constant, log Z, sampler, independence of rows, identity."""

import inspect
import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from problems import generator, z_score
from torch import Tensor

from gm import source
from gm.densities.targets.gaussian import RotatedGaussian
from gm.densities.targets.manywell import ManyWell
from gm.densities.targets.mixture import GMM40, Mixture, TwoModes
from gm.densities.targets.shells import Shell
from gm.densities.targets.student import MultivariateT, ProductT
from gm.densities.targets.target import Target
from gm.densities.targets.triangular import Banana, Funnel, Rosenbrock
from gm.sampling.path import Geometric

EASY = {  # small spread of scales, so that a grid or a crude estimate sees everything
    RotatedGaussian: {"condition": 30.0, "rotation": 3},
    TwoModes: {"separation": 5.0, "width": 0.5, "origin": 0.3},
    GMM40: {"box": 20.0, "apart": 4.0},
    ManyWell: {},
    Funnel: {"sd": 1.0},
    Banana: {"bend": 0.2, "sd": 2.0},
    Rosenbrock: {"a": 0.5, "b": 2.0},
    MultivariateT: {"nu": 2},
    ProductT: {"nu": 2},
    Shell: {"radius": 3.0, "width": 0.5},
}
OTHER = {  # a different legal value of every parameter
    RotatedGaussian: {"dim": 4, "condition": 31.0, "rotation": 4},
    TwoModes: {"dim": 4, "separation": 5.5, "weight": 0.5, "width": 0.6, "origin": 0.4, "spread": 2.0},
    GMM40: {"dim": 4, "box": 21.0, "scale": 1.1, "apart": 4.5, "layout": 1},
    ManyWell: {"dim": 4},
    Funnel: {"dim": 4, "sd": 1.1},
    Banana: {"dim": 4, "bend": 0.1, "sd": 2.5},
    Rosenbrock: {"dim": 4, "a": 0.6, "b": 2.5},
    MultivariateT: {"dim": 4, "nu": 3},
    ProductT: {"dim": 4, "nu": 3},
    Shell: {"dim": 4, "radius": 3.5, "width": 0.6},
}
CLASSES = pytest.mark.parametrize("cls", EASY, ids=lambda cls: cls.__name__)


def make(cls: type[Target], at: int, **changed: float) -> Target:
    return cls(**{"dim": at, **EASY[cls], **changed})


@CLASSES
@pytest.mark.parametrize("dim", [2, 6, 600])
def test_gradient_is_that_of_the_value(cls: type[Target], dim: int) -> None:
    target = make(cls, dim)
    x = torch.randn(7, dim, generator=generator(0), dtype=torch.float64) + target.sample(7, generator=generator(1))
    value, grad = target.value_and_grad(x)
    leaf = x.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(target.log_prob(leaf).sum(), leaf)
    assert value.dtype == torch.float64 and value.shape == (7,)
    torch.testing.assert_close(grad, expected, rtol=1e-9, atol=1e-8)
    h = 1e-5 * torch.randn(7, dim, generator=generator(2), dtype=torch.float64)
    difference = target.log_prob(x + h) - target.log_prob(x - h)
    torch.testing.assert_close(difference, 2 * (grad * h).sum(-1), rtol=1e-5, atol=1e-7)


@CLASSES
def test_value_is_that_of_the_rounded_point_and_the_gradient_has_its_type(cls: type[Target]) -> None:
    target = make(cls, 6)
    x = target.sample(5, generator=generator(0))
    assert x.dtype == torch.float32 and x.shape == (5, 6)
    value, grad = target.value_and_grad(x)
    torch.testing.assert_close(value, target(x.double()), rtol=0, atol=0)
    assert grad.dtype == torch.float32 and target.value_and_grad(x.double())[1].dtype == torch.float64
    assert torch.equal(target.log_prob(x), value)


@CLASSES
def test_rows_do_not_know_their_batch(cls: type[Target]) -> None:
    target = make(cls, 6)
    x = target.sample(12, generator=generator(0)).double()
    value, grad = target.value_and_grad(x)
    folded, folded_grad = target.value_and_grad(x.view(2, 2, 3, 6))
    torch.testing.assert_close(folded.flatten(), value, rtol=1e-13, atol=1e-11)
    torch.testing.assert_close(folded_grad.view(12, 6), grad, rtol=1e-12, atol=1e-11)
    for k in range(12):
        torch.testing.assert_close(target(x[k]), value[k], rtol=1e-13, atol=1e-11)
    x[3] = torch.nan
    spoiled, spoiled_grad = target.value_and_grad(x)
    keep = torch.arange(12) != 3
    assert torch.equal(spoiled[keep], value[keep]) and torch.equal(spoiled_grad[keep], grad[keep])


@CLASSES
def test_the_constant_is_in_the_density_and_in_log_z(cls: type[Target]) -> None:
    x = torch.randn(5, 4, generator=generator(0))
    plain, shifted = make(cls, 4, constant=0.0), make(cls, 4, constant=-3.25)
    torch.testing.assert_close(shifted(x) - plain(x), torch.full((5,), -3.25, dtype=torch.float64))
    assert math.isclose(shifted.log_z - plain.log_z, -3.25, abs_tol=1e-12)
    assert make(cls, 4).constant != 0 and torch.equal(shifted.value_and_grad(x)[1], plain.value_and_grad(x)[1])


def uniform(lower: float, upper: float, n: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the trapezoidal rule for integrands that vanish at both ends."""
    return torch.linspace(lower, upper, n, dtype=torch.float64), torch.tensor(
        (upper - lower) / (n - 1), dtype=torch.float64
    )


def sinh(reach: float, n: int) -> tuple[Tensor, Tensor]:
    """The same after x = sinh t, for power-law tails."""
    t, weight = uniform(-reach, reach, n)
    return torch.sinh(t), weight * torch.cosh(t)


PLANE: list[tuple[Target, tuple, tuple]] = [
    (make(RotatedGaussian, 2), uniform(-25, 25, 300), uniform(-25, 25, 300)),
    (make(TwoModes, 2), uniform(-12, 12, 800), uniform(-12, 12, 800)),
    (make(GMM40, 2), uniform(-30, 30, 300), uniform(-30, 30, 300)),
    (make(ManyWell, 2), uniform(-5, 5, 500), uniform(-10, 10, 100)),
    (make(Funnel, 2), uniform(-9, 9, 300), sinh(14, 2000)),
    (make(Banana, 2), uniform(-16, 16, 600), uniform(-70, 20, 900)),
    (make(Rosenbrock, 2), uniform(-8, 10, 600), uniform(-10, 110, 1200)),
    (make(MultivariateT, 2), sinh(25, 1200), sinh(25, 1200)),
    (MultivariateT(dim=2, nu=5), sinh(25, 1200), sinh(25, 1200)),
    (ProductT(dim=2, nu=1), sinh(30, 1200), sinh(30, 1200)),
    (make(Shell, 2), uniform(-8, 8, 1500), uniform(-8, 8, 1500)),
]


@pytest.mark.parametrize("target, first, second", PLANE, ids=[type(row[0]).__name__ for row in PLANE])
def test_log_z_against_a_dense_grid_of_the_plane(target: Target, first: tuple, second: tuple) -> None:
    points = torch.stack(torch.meshgrid(first[0], second[0], indexing="ij"), -1)
    weight = first[1].expand_as(first[0])[:, None] * second[1]
    found = (target(points) + weight.log()).flatten().logsumexp(0)
    assert math.isclose(float(found), target.log_z, abs_tol=1e-8)


@pytest.mark.parametrize("cls", [c for c in EASY if c not in (MultivariateT, GMM40)], ids=lambda cls: cls.__name__)
def test_log_z_by_importance_sampling_from_a_wide_base(cls: type[Target]) -> None:
    """E_q[p / q] = Z with q a product of Cauchy laws; |z| < 4: false alarm 6e-5 each.

    The weights are unbounded for the multivariate t and too skewed for forty modes: both have the other tests.
    """
    target = make(cls, 4)
    base = torch.distributions.StudentT(torch.tensor(1.0, dtype=torch.float64), scale=0.7 * target.spread)
    u = torch.rand(200_000, 4, generator=generator(5), dtype=torch.float64)
    x = 0.7 * target.spread * torch.tan(math.pi * (u - 0.5))
    weight = torch.exp(target(x) - base.log_prob(x).sum(-1) - target.log_z)
    assert z_score(weight, 1.0).abs() < 4
    assert weight.square().mean() < 2000


INSIDE: list[tuple[Target, list[float], list[float]]] = [  # a normal law well inside, with bounded q / p
    (make(RotatedGaussian, 4), [0, 0, 0, 0], [0.3, 0.3, 0.3, 0.3]),
    (make(TwoModes, 4), [-1.1, -1.1, -1.1, -1.1], [0.7, 0.7, 0.7, 0.7]),
    (make(GMM40, 2), make(GMM40, 2).means[7].tolist(), [0.8, 0.8]),
    (make(ManyWell, 4), [1.75, 0, 1.75, 0], [0.2, 0.8, 0.2, 0.8]),
    (make(Funnel, 4), [0.3, 0, 0, 0], [0.4, 0.7, 0.7, 0.7]),
    (make(Banana, 4), [0, 0.8, 0, 0], [0.8, 0.7, 0.8, 0.8]),
    (make(Rosenbrock, 4), [0.2, 0.1, 0.2, 0.1], [0.4, 0.3, 0.4, 0.3]),
    (make(MultivariateT, 4), [0, 0, 0, 0], [0.8, 0.8, 0.8, 0.8]),
    (MultivariateT(dim=4, nu=1), [0, 0, 0, 0], [0.8, 0.8, 0.8, 0.8]),
    (make(ProductT, 4), [0, 0, 0, 0], [0.8, 0.8, 0.8, 0.8]),
    (make(Shell, 4), [1.5, 1.5, 1.5, 1.5], [0.4, 0.4, 0.4, 0.4]),
]


@pytest.mark.parametrize("target, mean, sd", INSIDE, ids=[type(row[0]).__name__ for row in INSIDE])
def test_draws_density_and_log_z_agree(target: Target, mean: list[float], sd: list[float]) -> None:
    """E_p[q / p] = 1 / Z over 100 000 exact draws; |z| < 4: false alarm 6e-5 each."""
    q = torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(sd).double())
    x = target.sample(100_000, generator=generator(6)).double()
    ratio = torch.exp(q.log_prob(x).sum(-1) - target(x) + target.log_z)
    assert z_score(ratio, 1.0).abs() < 4
    assert ratio.square().mean() < 1000


@CLASSES
@pytest.mark.parametrize("dim", [2, 10])
def test_draws_obey_the_score(cls: type[Target], dim: int) -> None:
    """E_p[f_i d_i log p + d_i f_i] = 0, f_i = tanh((x_i - 1/2) / spread); |z| < 5.5 in all: false alarm 4e-7."""
    target = make(cls, dim)
    x = target.sample(40_000, generator=generator(7)).double()
    f = torch.tanh((x - 0.5) / target.spread)
    assert z_score(f * target.value_and_grad(x)[1] + (1 - f * f) / target.spread).abs().max() < 5.5


@CLASSES
@pytest.mark.parametrize("dim", [1000, 10_000])
def test_high_dimension(cls: type[Target], dim: int) -> None:
    target = cls(**{**EASY[cls], "dim": dim})
    x = target.sample(3, generator=generator(0))
    value, grad = target.value_and_grad(x)
    assert x.shape == grad.shape == (3, dim) and x.isfinite().all()
    assert value.isfinite().all() and grad.isfinite().all() and math.isfinite(target.log_z)


@CLASSES
def test_same_generator_same_draws(cls: type[Target]) -> None:
    target = make(cls, 6)
    assert torch.equal(target.sample(9, generator=generator(3)), target.sample(9, generator=generator(3)))
    assert not torch.equal(target.sample(9, generator=generator(3)), target.sample(9, generator=generator(4)))


@CLASSES
def test_identity_changes_with_every_parameter(cls: type[Target]) -> None:
    target = make(cls, 2)
    names = set(inspect.signature(cls.__init__).parameters) - {"self"}
    assert names == {*OTHER[cls], "constant"} == set(target.parameters)
    found = {target.identity} | {make(cls, 2, **{key: value}).identity for key, value in OTHER[cls].items()}
    found |= {make(cls, 2, constant=0.5).identity}
    assert len(found) == len(names) + 1
    assert make(cls, 2).identity == target.identity == target.to("cpu").identity


def test_identity_is_the_same_in_another_process() -> None:
    code = "from gm.densities.targets.mixture import TwoModes; print(TwoModes(dim=7, separation=4.0).identity)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == TwoModes(dim=7, separation=4.0).identity


USER = """
import torch
from gm.densities.targets.target import Target

class Flat(Target):
    def __init__(self, *, dim: int, table: torch.Tensor, constant: float = 1.5) -> None:
        super().__init__(dim=dim, spread=1.0, log_z=None, constant=constant)
        self.table = table

    def value_and_grad(self, x):
        return torch.zeros(x.shape[:-1]).double(), 0 * x
"""


def test_identity_holds_the_code_and_tensors_of_a_users_class(tmp_path) -> None:
    def flat(name: str, text: str, table: Tensor) -> Target:
        path = tmp_path / name / "mine.py"
        path.parent.mkdir()
        path.write_text(text)
        return source.resolve(f"{path}:Flat")(dim=2, table=table)

    first = flat("a", USER, torch.arange(3))
    assert first.identity == flat("b", USER.replace("return", "# a comment\n        return"), torch.arange(3)).identity
    assert first.identity != flat("c", USER.replace("0 * x", "1 * x"), torch.arange(3)).identity
    assert first.identity != flat("d", USER, torch.arange(3).flip(0)).identity
    assert first.log_z is None
    with pytest.raises(TypeError, match="Flat has no exact sampler"):
        first.sample(2, generator=generator(0))
    with pytest.raises(TypeError, match="Flat declares no modes"):
        first.mode(torch.zeros(2))
    with pytest.raises(TypeError, match="a target's parameter is a set"):
        _ = flat("e", USER, {1}).identity


def test_a_path_asks_for_the_closed_form() -> None:
    target = make(Shell, 3)
    state = Geometric(None, target).init(target.sample(4, generator=generator(0)))
    assert torch.equal(state.u[:, 1], target(state.x)) and torch.equal(
        state.du[:, 1], target.value_and_grad(state.x)[1]
    )


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: RotatedGaussian(dim=2, condition=0.5), "expected dim >= 2 and condition >= 1"),
        (lambda: TwoModes(dim=2, separation=0.0), "expected separation > 0"),
        (lambda: TwoModes(dim=2, weight=1.0), "0 < weight < 1"),
        (lambda: TwoModes(dim=2, spread=0.0), "TwoModes has dim = 2 and spread = 0.0"),
        (lambda: GMM40(dim=2, box=3.0), "expected a larger box or dim"),
        (lambda: ManyWell(dim=3), "expected an even number"),
        (lambda: Funnel(dim=1), "expected dim >= 2 and sd > 0"),
        (lambda: Rosenbrock(dim=3), "expected dim even"),
        (lambda: ProductT(dim=2, nu=1.5), "expected a positive integer"),
        (lambda: Shell(dim=2, width=0.0), "expected dim >= 2, radius > 0, width > 0"),
        (lambda: Mixture(weights=1), "missing"),
        (lambda: ManyWell(dimension=2), "dimension"),
    ],
)
def test_errors_say_what_was_found_and_expected(build: Callable[[], Target], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()

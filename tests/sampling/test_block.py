import os
import shutil
import warnings

import pytest
import torch
from problems import QuadraticTilt, generator, z_score
from torch import Tensor

from gm.sampling import chain
from gm.sampling.block import Block
from gm.sampling.hamiltonian import HMC
from gm.sampling.kernels import Kernel
from gm.sampling.langevin import MALA, ULA
from gm.sampling.path import Analytic, Geometric, Single

compiled = pytest.mark.skipif(not shutil.which(os.environ.get("CXX", "g++")), reason="no C++ compiler")


class Quadratic(Analytic):
    """N(0, diag(1 / (1 + c))), unnormalised, and not a number beyond a wall."""

    def __init__(self, c: Tensor, wall: float = float("inf")) -> None:
        self.c, self.wall = c, wall

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value = -((1 + self.c) * x * x).double().sum(-1) / 2
        return torch.where(x[..., 0] > self.wall, float("nan"), value), -(1 + self.c) * x


C = torch.tensor([3.0, -0.5, 0.0])
KERNELS = {
    "mala": lambda path: MALA(path, 0.7),
    "mala_diagonal": lambda path: MALA(path, 0.7, torch.tensor([0.6, 1.4, 1.0], dtype=torch.float64)),
    "hmc": lambda path: HMC(path, 0.5, length=3, jitter=0.4),
    "ula": lambda path: ULA(path, 0.4),
}


def same(kernel: Kernel, x: Tensor, n: int, moves: int, lam: float | Tensor, tolerance: float) -> None:
    """A block and a chain, from one state and two generators in one place: states, Info and generators end equal."""
    state, one, two = kernel.path.init(x), generator(1), generator(1)
    expected, info = chain.run(kernel, state, n, lam=lam, generator=one)
    found, report = Block(kernel, moves=moves).run(state, n, lam=lam, generator=two)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    torch.testing.assert_close(report.accept, info.accept, rtol=1e-9, atol=1e-9)
    assert (report.evals, report.divergent) == (info.evals, info.divergent)
    assert report.log_ratio is None
    assert torch.equal(one.get_state(), two.get_state())


def no_compiler(*_: object, **__: object) -> None:
    raise RuntimeError("no C++ compiler\n  and much more")


@pytest.mark.parametrize("n", [1, 4, 12, 15])
def test_without_a_compiler_blocks_are_the_chain_and_one_line_says_why(n: int, monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", no_compiler)
    path = Geometric(None, Quadratic(C, wall=0.5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        same(MALA(path, 0.7), torch.randn(9, 3, generator=generator(0)).clamp(max=0.4), n, 4, 0.7, 0)
    said = [str(w.message) for w in caught]
    assert said == (["blocks of MALA run uncompiled: no C++ compiler"] if n >= 4 else [])


def test_it_warns_once_in_its_life(monkeypatch) -> None:
    monkeypatch.setattr(torch, "compile", no_compiler)
    path = Single(Quadratic(C))
    block, state, g = Block(MALA(path, 0.7), moves=2), path.init(torch.zeros(4, 3)), generator(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            state, _ = block.run(state, 4, generator=g)
    assert len(caught) == 1


def test_a_target_that_is_differentiated_runs_uncompiled() -> None:
    path = Geometric(None, lambda x: -(x**4).sum(-1))
    with pytest.warns(UserWarning, match="blocks of MALA run uncompiled: .") as caught:
        same(MALA(path, 0.3), torch.randn(5, 3, generator=generator(0)), 4, 2, 0.7, 0)
    assert len(caught) == 1 and "\n" not in str(caught[0].message)


def test_an_error_of_the_kernel_is_not_hidden() -> None:
    path = Single(Quadratic(torch.zeros(2)))
    state = Single(Quadratic(C)).init(torch.zeros(4, 3))
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="size of tensor"):
        Block(MALA(path, 0.7), moves=2).run(state, 2, generator=generator(0))


def test_moves_and_transitions_are_positive() -> None:
    with pytest.raises(ValueError, match="moves=0; expected at least 1"):
        Block(MALA(None, 0.5), moves=0)
    with pytest.raises(ValueError, match="n=0 transitions; expected at least 1"):
        Block(MALA(None, 0.5)).run(None, 0, generator=generator(0))


@pytest.mark.parametrize("make", KERNELS.values(), ids=KERNELS)
def test_a_single_density_is_the_end_of_its_path(make) -> None:
    """The same chain, whatever `lam` is given; the state is the target's half."""
    x = torch.randn(6, 3, generator=generator(0), dtype=torch.float64)
    path, single = Geometric(None, Quadratic(C)), Single(Quadratic(C))
    whole, info = chain.run(make(path), path.init(x), 5, lam=1.0, generator=generator(1))
    half, report = chain.run(make(single), single.init(x), 5, lam=0.3, generator=generator(1))
    torch.testing.assert_close(half.x, whole.x)
    torch.testing.assert_close(half.u, whole.u[..., 1:])
    torch.testing.assert_close(half.du, whole.du[..., 1:, :])
    torch.testing.assert_close(report.accept, info.accept)
    assert report.evals == info.evals


def test_a_single_density_may_be_any_callable() -> None:
    x = torch.randn(6, 3, generator=generator(0))
    found, expected = Single(lambda x: -((1 + C) * x * x).sum(-1) / 2).init(x), Single(Quadratic(C)).init(x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mala", "hmc", "ula"])
def test_a_compiled_block_is_the_chain(name: str) -> None:
    """Two blocks of two moves and a rest of one, on both paths; float64, where rounding flips no decision.

    A warning is an error here: what falls back does not pass for compiled.
    """
    x = torch.randn(40, 3, generator=generator(0), dtype=torch.float64).clamp(max=0.9)
    lam = torch.linspace(0.2, 1, 40, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for path, temperature in ((Single(Quadratic(C, wall=1.0)), 1.0), (Geometric(None, Quadratic(C)), lam)):
            same(KERNELS[name](path), x, 5, 2, temperature, 1e-9)


@compiled
@pytest.mark.slow
def test_a_compiled_block_serves_every_temperature_and_repeats_its_bytes() -> None:
    """Compiling again is an error here, and so would be the warning that it failed."""
    path = Geometric(None, Quadratic(C))
    kernel, state = MALA(path, 0.7), path.init(torch.randn(16, 3, generator=generator(0)))
    block = Block(kernel, moves=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        one, _ = block.run(state, 4, lam=0.4, generator=generator(1))
        with torch._dynamo.config.patch(error_on_recompile=True):
            two, _ = block.run(state, 4, lam=0.4, generator=generator(1))
            cold, _ = block.run(state, 4, lam=0.9, generator=generator(1))
    assert torch.equal(one.x, two.x) and not torch.equal(one.x, cold.x)
    expected, _ = chain.run(kernel, state, 4, lam=0.9, generator=generator(1))
    torch.testing.assert_close(cold.x, expected.x, rtol=1e-4, atol=1e-4)


@compiled
@pytest.mark.slow
def test_a_compiled_block_leaves_its_target_invariant() -> None:
    """Paired moments around four moves from exact draws, float32. 9 z-scores below 4.5: false alarm < 7e-5."""
    path, g = Single(Quadratic(C)), generator(2)
    x = QuadraticTilt(C).sample(40_000, generator=g)
    state, info = Block(HMC(path, 0.6, length=3), moves=2).run(path.init(x), 4, generator=g)
    assert 0.3 < info.accept.mean() < 0.99 and info.evals == 4 * 3 * 40_000
    assert (state.x != x).any(-1).float().mean() > 0.9
    change = torch.cat((state.x - x, state.x**2 - x**2, state.x**3 - x**3), -1)
    assert z_score(change).abs().max() < 4.5

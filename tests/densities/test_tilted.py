import math

import pytest
import torch
from torch import Tensor, nn

from gm.densities.copula import Copula
from gm.densities.tilted import Tilted
from gm.rng import stream
from gm.sampling.kernels import Info


class Linear(nn.Module):
    """f(w) = a'w, for which log Z = |a|^2 / 2 and p is N(-a, I) in w."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.register_buffer("a", a)

    def forward(self, w: Tensor) -> Tensor:
        return w @ self.a


def reference(side: int = 2) -> Copula:
    x = torch.randint(3, (80, 1, 1, side), generator=stream("x"))
    return Copula((1, 1, side), 3).estimate(x)


def test_log_z_of_a_linear_tilt():
    """Certified end below the exact value (fails with probability .05, seed fixed), heuristic end above it."""
    a = 0.25 * torch.randn(16, generator=stream("a"))
    exact = float(a.square().sum() / 2)
    log_z = Tilted(reference(16), Linear(a)).log_z(temperatures=60, generator=stream("z"))
    assert log_z.lower <= exact <= log_z.upper
    assert abs(log_z.point - exact) < 5 * log_z.se
    assert log_z.kinds == ("certified", "heuristic")


def test_density_integrates_to_one():
    tilted = Tilted(reference(), Linear(torch.tensor([0.4, -0.3])))
    axis = (torch.arange(3 * 200, dtype=torch.float64) + 0.5) / 200
    y = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    mass = tilted.log_unnormalised(y).exp().sum() / 200**2
    assert abs(mass / math.exp(0.25 / 2) - 1) < 1e-3


def test_score_norm_of_a_linear_tilt():
    """p is N(-a, I) in w, whose score is -(w + a)."""
    a = torch.tensor([1.0, -0.5, 0.0, 0.75])
    tilted = Tilted(reference(4), Linear(a))
    y = 3 * torch.rand(6, 1, 1, 4, generator=stream("rows"))
    expected = (tilted.reference.whiten(y) + a).norm(dim=1)
    with torch.no_grad():
        assert torch.allclose(tilted.score_norm(y), expected, rtol=1e-5)


@pytest.mark.parametrize("resample", ["end", "path"])
def test_annealed_draws_follow_the_target(resample):
    """Mean and variance of 2,000 draws of N(-a, I) within five standard errors; false-alarm rate below 1e-5.

    Resampled chains share ancestors, so the error of the mean is taken twice as large as for independent draws.
    """
    a = torch.tensor([1.0, -0.5, 0.0, 0.75])
    draws, evals = Tilted(reference(4), Linear(a)).anneal(
        2000, temperatures=20, excess=2, moves=40, resample=resample, generator=stream("draw")
    )
    assert (draws.mean(0) + a).abs().max() < 5 * 2 / math.sqrt(2000)
    assert (draws.var(0) - 1).abs().max() < 5 * 2 * math.sqrt(2 / 2000)
    assert evals["gradient"] > 2000 * 2 * 19


def test_resampling_along_the_path_keeps_ancestors_apart(monkeypatch):
    """A tilt of 30 nats: of 500 draws, nine in ten are distinct before any move at p, and their mean is right.

    Their mean within five standard errors of 500 / 2 draws in each of 30 coordinates: false-alarm rate below 1e-4.
    Weighed at the end alone, fewer than half are.
    """
    still = Info(torch.ones(()), 0, 0)
    monkeypatch.setattr("gm.densities.tilted.run", lambda kernel, state, n, generator: (state, still))
    tilted = Tilted(reference(30), Linear(torch.full((30,), math.sqrt(2))))
    distinct = {}
    for resample in ("end", "path"):
        draws, _ = tilted.anneal(500, temperatures=60, excess=1, resample=resample, generator=stream("distinct"))
        distinct[resample] = len(draws.unique(dim=0))
    assert distinct["path"] > 450
    assert distinct["end"] < 250
    assert (draws.mean(0) + math.sqrt(2)).abs().max() < 5 / math.sqrt(500 / 2)


def test_another_place_to_resample_is_refused():
    with pytest.raises(ValueError, match="expected 'end' or 'path'"):
        Tilted(reference(), Linear(torch.zeros(2))).anneal(8, resample="start", generator=stream("s"))


def test_equal_generators_give_equal_draws():
    tilted = Tilted(reference(), Linear(torch.tensor([1.0, -0.5])))
    a, b = (tilted.anneal(8, temperatures=5, moves=3, generator=stream("s"))[0] for _ in range(2))
    assert torch.equal(a, b)


def test_a_tilt_that_is_not_finite_is_refused():
    tilted = Tilted(reference(), Linear(torch.tensor([math.inf, 0.0])))
    with pytest.raises(FloatingPointError):
        tilted.log_z(temperatures=5, generator=stream("z"))

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pytest
import torch
from problems import QuadraticTilt, generator
from torch import Tensor

from gm.sampling.conservative import raise_log_density
from gm.sampling.kernels import Info
from gm.sampling.langevin import MALA
from gm.sampling.path import Geometric

LAMS = torch.tensor([0.0, 0.2, 0.5, 1.0], dtype=torch.float64)


class Site(NamedTuple):
    x: Tensor


@dataclass(frozen=True)
class Grid:
    """States 0, ..., L - 1, a base of mass one and an unnormalised target, both given as log masses `[L]`."""

    base: Tensor
    target: Tensor

    def init(self, x: Tensor) -> Site:
        return Site(x)

    def masses(self, lam: float) -> Tensor:
        return (1 - lam) * self.base + lam * self.target

    def log_prob(self, state: Site, lam: float) -> Tensor:
        return self.masses(lam)[state.x[..., 0]]


@dataclass(frozen=True)
class Walk:
    """Metropolis with steps of -1 or +1, refused beyond the ends."""

    path: Grid
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    reversible: ClassVar[bool] = True

    def matrix(self, lam: float) -> Tensor:
        """Transition probabilities `[L, L]`, from row to column."""
        log_p = self.path.masses(lam)
        accept = (log_p[None, :] - log_p[:, None]).clamp(max=0).exp() / 2
        K = torch.triu(torch.tril(accept, 1), -1).fill_diagonal_(0)
        return K + torch.diag(1 - K.sum(1))

    def noise(self, state: Site, *, generator: torch.Generator) -> Tensor:
        return torch.rand(len(state.x), generator=generator, dtype=torch.float64)

    def __call__(self, state: Site, lam: float, noise: Tensor) -> tuple[Site, Info]:
        rows = self.matrix(lam)[state.x[:, 0]].cumsum(1)
        x = torch.searchsorted(rows, noise[:, None], right=True).clamp(max=rows.shape[1] - 1)
        return Site(x), Info(torch.ones(len(x)), len(x), 0)


def _problem() -> tuple[Grid, Tensor]:
    """A grid of 6 states with two modes, and p_ann = p_0 K_1 K_2, exactly."""
    base = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.5], dtype=torch.float64).log_softmax(0)
    path = Grid(base, torch.tensor([1.0, -1.0, -2.0, 0.5, 2.5, 1.5], dtype=torch.float64))
    p = base.exp()
    for lam in LAMS[1:-1].tolist():
        p = p @ Walk(path).matrix(lam)
    return path, p


def test_the_mean_is_the_density_of_the_annealed_sampler() -> None:
    """E[phat(x)] = p_ann(x) at each of 6 states, 20 000 reverse runs; |z| < 4.5: false alarm 4e-5."""
    path, p = _problem()
    n, x = 20_000, torch.arange(6)[:, None]
    single = raise_log_density(
        path, lambda t: Walk(path), LAMS, x.repeat_interleave(n, 0), runs=1, generator=generator(0)
    ).log_p.view(6, n)
    error = single.exp().std(1) / math.sqrt(n)
    z = (single.exp().mean(1) - p) / error
    assert (z.abs() < 4.5).all()
    assert (error / p < 0.05).all()


def test_runs_are_averaged_before_the_logarithm() -> None:
    """64 runs of one seed: log_p is the log of their mean, and the lower end the mean of their logs less the slack."""
    path, _ = _problem()
    x = torch.tensor([[4], [0]])
    many = raise_log_density(path, lambda t: Walk(path), LAMS, x, runs=64, alpha=0.1, generator=generator(1))
    single = raise_log_density(
        path, lambda t: Walk(path), LAMS, x.repeat_interleave(64, 0), runs=1, generator=generator(1)
    ).log_p.view(2, 64)
    assert torch.allclose(many.log_p, single.exp().mean(1).log())
    assert torch.allclose(many.lower, single.mean(1) - math.log(10) / 64)
    assert many.evals == 2 + 2 * 64 * 3


def test_lower_ends_fail_at_most_at_their_level() -> None:
    """2000 points at alpha = 0.05: failures at most 140, P(Binomial(2000, 0.05) > 140) < 1e-4."""
    path, p = _problem()
    x = torch.arange(6).repeat(334)[:2000, None]
    found = raise_log_density(path, lambda t: Walk(path), LAMS, x, runs=2, alpha=0.05, generator=generator(2))
    assert int((found.lower > p.log()[x[:, 0]]).sum()) <= 140


def test_it_is_no_bound_for_the_model() -> None:
    """Where the sampler puts more mass than the model, the bound for the sampler exceeds the model's log density."""
    path, p = _problem()
    model = path.target.log_softmax(0)
    found = raise_log_density(path, lambda t: Walk(path), LAMS, torch.tensor([[0]]), runs=4096, generator=generator(3))
    assert p.log()[0] > model[0]
    assert model[0] < found.lower[0] < p.log()[0]
    assert found.kinds == {"annealed": "certified", "model": "heuristic"}


def test_a_long_anneal_approaches_the_model() -> None:
    """log p(x) of a Gaussian within 4 standard errors and 0.1 nat, with 200 temperatures. Seed fixed."""
    problem, g = QuadraticTilt(torch.tensor([3.0, 1.0])), generator(4)
    path, lams = Geometric.tilted(problem.tilt), torch.linspace(0, 1, 201, dtype=torch.float64)
    x = problem.sample(8, generator=g)
    found = raise_log_density(path, lambda t: MALA(path, 0.7), lams, x, runs=512, generator=g)
    log_p = path.log_prob(path.init(x), 1.0) - problem.log_z
    assert (found.log_p - log_p).abs().max() < 0.1
    assert (found.lower < found.log_p).all()


def test_a_bad_alpha_is_refused() -> None:
    path, _ = _problem()
    with pytest.raises(ValueError, match=r"alpha is 0"):
        raise_log_density(path, lambda t: Walk(path), LAMS, torch.tensor([[0]]), alpha=0, generator=generator(5))


def test_a_kernel_that_is_not_reversible_is_refused() -> None:
    path, _ = _problem()
    walk = Walk(path)
    object.__setattr__(walk, "reversible", False)
    with pytest.raises(ValueError, match="Walk says reversible=False.*expected a kernel in detailed balance"):
        raise_log_density(path, lambda t: walk, LAMS, torch.tensor([[4]]), generator=generator(1))

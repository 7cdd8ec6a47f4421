"""Contestants of the sampling benchmark, where their parts are put together."""

from types import SimpleNamespace

import pytest
import torch
from problems import generator

from gm.densities.targets.gaussian import RotatedGaussian
from gm.samplers.annealed import AIS
from gm.samplers.chains import Chains, LocalGlobal
from gm.samplers.orbits import NEO
from gm.samplers.particles import SMC
from gm.samplers.tempered import ParallelTempering
from gm.sampling.kernels import Info


class Still:
    """A kernel that moves nothing, for a path along which every swap is accepted."""

    invariant = reversible = True
    weighted = False

    def noise(self, state, *, generator):
        return None

    def __call__(self, state, lam, noise):
        accept = torch.ones(state.x.shape[:-1], dtype=torch.float64)
        return state, Info(accept, accept.numel(), 0)


def test_draws_of_parallel_tempering_come_from_every_rung(monkeypatch):
    """With every swap accepted and nothing moved, the last rung sees each start of its ladder in turn."""
    target = SimpleNamespace(dim=1, spread=1.0)
    sampler = ParallelTempering(rungs=5, replicas=2, burn=0.0)
    sampler.mean, sampler.factor = torch.zeros(1), torch.ones(1)
    sampler.lams, sampler.steps = torch.linspace(0, 1, 6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    flat = SimpleNamespace(target=SimpleNamespace(unwhiten=lambda w: w))
    flat.init = lambda x: _state(x)
    flat.log_prob = lambda state, lam: torch.zeros(state.x.shape[:-1], dtype=torch.float64)
    monkeypatch.setattr(sampler, "path", lambda _: flat)
    monkeypatch.setattr(sampler, "make", lambda path, step: Still())
    draws = sampler.sample(target, 48, groups=1, generator=generator(0))
    assert draws.x.shape == (1, 48, 1) and len(draws.x.unique()) == 12  # 2 ladders of 6 rungs


def _state(x):
    from gm.sampling.path import State

    u = torch.zeros(*x.shape[:-1], 2, dtype=torch.float64)
    return State(x, u, torch.zeros(*x.shape[:-1], 2, x.shape[-1]))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: AIS(blocks=1), "blocks"),
        (lambda: AIS(chains=0), "chains"),
        (lambda: AIS(alpha=2.0), "alpha"),
        (lambda: SMC(length=0), "length"),
        (lambda: SMC(particles=30), "particles"),
        (lambda: ParallelTempering(replicas=1), "replicas"),
        (lambda: Chains(burn=1.0), "burn"),
        (lambda: LocalGlobal(proposals=1), "proposals"),
        (lambda: NEO(blocks=0), "blocks"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"'{name}' is .*; expected"):
        make()


def test_budgets_are_kept():
    """Every estimator spends about what it may: nothing random in this but the pilot."""
    target = RotatedGaussian(dim=3, condition=4.0)
    for sampler in (AIS(), SMC(), ParallelTempering(), NEO(), LocalGlobal()):
        sampler.fit(target, generator=generator(0), log=lambda step, total: None, population=64)
        for found in sampler.log_z(target, groups=2, budget=8192, generator=generator(1)):
            assert 0.75 * 8192 <= found.evals["gradient"] <= 1.25 * 8192

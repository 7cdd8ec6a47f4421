"""The exact suite: for each target, the estimators named for it enclose its log Z.

One interval of each estimator, at a fixed seed and alpha = 0.001: all certified ends together fail with probability
below 0.1 over seeds. A heuristic end has no stated probability, but asks for as wide a quantile.
"""

from functools import partial

import pytest
from problems import generator

from gm.densities.targets.boltzmann import DigitsRBM
from gm.densities.targets.cox import CoxTwin
from gm.densities.targets.gaussian import RotatedGaussian
from gm.densities.targets.ising import IsingChain, IsingTorus
from gm.densities.targets.linear_gaussian import LinearGaussian
from gm.densities.targets.manywell import ManyWell
from gm.densities.targets.mixture import GMM40, TwoModes
from gm.densities.targets.phi4 import Phi4
from gm.densities.targets.shells import Shell
from gm.densities.targets.student import MultivariateT, ProductT
from gm.densities.targets.triangular import Banana, Funnel, Rosenbrock
from gm.samplers.annealed import AIS, GibbsAIS
from gm.samplers.chains import LocalGlobal
from gm.samplers.controls import Exact, GibbsExact
from gm.samplers.orbits import NEO
from gm.samplers.particles import SMC
from gm.samplers.tempered import ParallelTempering

ESTIMATORS = {
    "exact": Exact,
    "ais": AIS,
    "ais-mala": partial(AIS, kernel="mala"),
    "ais-mams": partial(AIS, kernel="mams"),
    "ula": partial(AIS, kernel="ula"),
    "smc": SMC,
    "mbar": ParallelTempering,
    "bar": partial(ParallelTempering, estimator="bar"),
    "stones": partial(ParallelTempering, estimator="stepping stone"),
    "ti": partial(ParallelTempering, estimator="thermodynamic integration"),
    "neo": NEO,
    "base": LocalGlobal,
    "gibbs": GibbsAIS,
    "gibbs-exact": GibbsExact,
}
TABLE = [
    (partial(RotatedGaussian, dim=2, condition=1.0), "exact ais ais-mala ais-mams ula smc mbar bar stones ti neo base"),
    (partial(RotatedGaussian, dim=32, condition=1e4), "exact ais ais-mams smc mbar ti"),
    (partial(RotatedGaussian, dim=16, condition=1e6), "exact ais ais-mams smc"),
    (partial(TwoModes, dim=10, separation=6.0), "exact ais ais-mams ula smc mbar stones ti neo base"),
    (partial(GMM40, dim=2), "exact ais smc mbar neo base"),
    (partial(ManyWell, dim=8), "exact ais ais-mams smc mbar ti"),
    (partial(Funnel, dim=10, sd=1.0), "exact ais ais-mams smc"),
    (partial(Funnel, dim=10, sd=3.0), "exact ais"),
    (partial(Banana, dim=10), "exact ais smc"),
    (partial(Rosenbrock, dim=4), "exact ais smc"),
    (partial(MultivariateT, dim=10, nu=5), "exact ais ais-mams smc mbar"),
    (partial(ProductT, dim=10, nu=5), "exact ais smc"),
    (partial(Shell, dim=10), "exact ais ais-mala ais-mams ula smc mbar bar stones ti neo base"),
    (partial(Phi4, dim=64), "exact ais ais-mams smc mbar ti"),
    (partial(LinearGaussian, dim=16), "exact ais ais-mala ula smc mbar ti neo base"),
    (partial(CoxTwin, grid=8), "exact ais smc mbar ti"),
    (partial(IsingChain, dim=128), "gibbs-exact gibbs"),
    (partial(IsingTorus, side=8), "gibbs-exact gibbs"),
    (partial(DigitsRBM, hidden=16), "gibbs-exact gibbs"),
]
CELLS = [(make, name) for make, names in TABLE for name in names.split()]


def described(value: object) -> str:
    if not isinstance(value, partial):
        return str(value)
    return f"{value.func.__name__}({','.join(f'{key}={number:g}' for key, number in value.keywords.items())})"


@pytest.mark.slow
@pytest.mark.parametrize(("make", "name"), CELLS, ids=described)
def test_the_interval_contains_log_z(make, name):
    """A certified end misses once in 1000 runs. A heuristic one promises nothing: it may miss once, not twice."""
    for number in (1, 2):
        target, estimator, seed = make(), ESTIMATORS[name](alpha=0.001), generator(number)
        estimator.fit(target, generator=seed, log=lambda step, total: None)
        (found,) = estimator.log_z(target, groups=1, budget=65536, generator=seed)
        held = found.lower <= target.log_z, target.log_z <= found.upper
        assert all(holds or kind == "heuristic" for holds, kind in zip(held, found.kinds, strict=True)), found
        if all(held):
            break
    assert all(held), found
    kinds = {"exact": ("certified",) * 2, "gibbs-exact": ("certified",) * 2}
    tempered = ("heuristic",) * 2 if name in ("mbar", "bar", "stones", "ti") else ("certified", "heuristic")
    assert found.kinds == kinds.get(name, tempered)
    assert abs(found.point - target.log_z) <= max(found.upper - found.lower, 0.05)

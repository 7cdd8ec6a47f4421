import math
from itertools import product

import pytest
import torch

from gm.densities.boltzmann import Tempered, enumerate_log_z
from gm.model import Event, Split
from gm.models.rbm import RBM, annealed_log_z
from gm.sampling.anneal import ais
from gm.sampling.gibbs import BlockGibbs
from gm.sampling.logz import certify


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quiet(step: int, total: int) -> None: ...


def machine(visible: int, hidden: int, seed: int, *, scale: float = 1.0) -> Tempered:
    g = stream(seed)
    weight, b, c, a = (
        scale * torch.randn(shape, generator=g, dtype=torch.float64)
        for shape in ((visible, hidden), (visible,), (hidden,), (visible,))
    )
    return Tempered(weight, b, c, a)


def states(n: int) -> torch.Tensor:
    return torch.tensor(list(product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def log_z(path: Tempered) -> float:
    return enumerate_log_z(path.weight, path.visible, path.hidden)


def test_enumeration_over_hidden_states_equals_that_over_both() -> None:
    path = machine(6, 5, 0)
    v, h = states(6), states(5)
    energy = (v @ path.visible)[:, None] + h @ path.hidden + v @ path.weight @ h.T
    assert log_z(path) == pytest.approx(float(energy.flatten().logsumexp(0)), abs=1e-10)
    both = path.log_prob(path.init(v), 1.0)
    torch.testing.assert_close(both, energy.logsumexp(1))
    assert enumerate_log_z(path.weight, path.visible, path.hidden, block=7) == pytest.approx(log_z(path), abs=1e-10)


def test_path_starts_at_a_normalised_base() -> None:
    path = machine(6, 5, 1)
    assert float(path.log_prob(path.init(states(6)), 0.0).logsumexp(0)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("lam", [0.0, 0.37, 1.0])
def test_gibbs_leaves_every_temperature_invariant(lam: float) -> None:
    """From 60000 exact draws, one sweep; chi-squared below its 1 - 1e-4 quantile at 15 degrees of freedom, 44.3."""
    path, g = machine(4, 3, 2), stream(0)
    mass = path.log_prob(path.init(states(4)), lam).softmax(0)
    state = path.init(states(4)[torch.multinomial(mass, 60000, replacement=True, generator=g)])
    kernel = BlockGibbs(path)
    moved, info = kernel(state, lam, kernel.noise(state, generator=g))
    count = torch.bincount((moved.x @ torch.tensor([8.0, 4, 2, 1], dtype=torch.float64)).long(), minlength=16)
    assert ((count - 60000 * mass).square() / (60000 * mass)).sum() < 44.3
    assert info.evals == 60000 and not torch.equal(moved.x, state.x)


def test_annealed_interval_contains_enumeration() -> None:
    """The certified end fails with probability 0.05 at most a machine; seeds are fixed."""
    for seed in range(3):
        path, g = machine(12, 8, seed), stream(seed)
        mass = path.log_prob(path.init(states(12)), 1.0).softmax(0)
        x1 = states(12)[torch.multinomial(mass, 256, replacement=True, generator=g)]
        found = annealed_log_z(path, x1, groups=32, chains=8, temperatures=100, alpha=0.05, generator=g)
        assert found.kinds == ("certified", "heuristic")
        assert found.lower <= log_z(path) <= found.upper
        assert found.upper - found.lower < 1.0 and abs(found.point - log_z(path)) < 5 * found.se


def test_certified_ends_cover() -> None:
    """R = 32 groups of M = 8 at alpha = 0.05, 400 replicates; few temperatures, so that the weights are spread.

    More failures than 38, the 0.9999 quantile of a binomial of 400 trials at 0.05, have probability below 1e-4.
    """
    path, g, alpha = machine(6, 4, 5, scale=1.5), stream(7), 0.05
    x0 = (torch.rand(400 * 256, 6, generator=g, dtype=torch.float64) < path.base.sigmoid()).double()
    lams = torch.linspace(0, 1, 5, dtype=torch.float64)
    log_w = ais(path, lambda _: BlockGibbs(path), lams, x0, generator=g).log_w.reshape(400, 32, 8)
    truth = log_z(path)
    assert sum(certify(part, alpha) > truth for part in log_w) <= 38
    # The weights are unbiased: 4 standard errors, 6e-5.
    ratio = (log_w.flatten() - truth).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(len(ratio))


@pytest.fixture(scope="module")
def fitted() -> tuple[RBM, Split]:
    g = stream(0)
    x = torch.randint(2, (400, 1, 1, 1), generator=g) * torch.ones(1, 2, 3)
    x = (x - (torch.rand(x.shape, generator=g) < 0.1).float()).abs().to(torch.uint8)
    split = Split(x, torch.zeros(400, dtype=torch.long))
    model = RBM(Event((1, 2, 3), 2), hidden=4)
    model.fit(split, split, generator=stream(1), log=quiet, steps=3000, every=500)
    return model, split


def test_density_sums_to_one_and_learns(fitted: tuple[RBM, Split]) -> None:
    model, split = fitted
    sizes = {"temperatures": 100, "sweeps": 200}
    everything = model.bounds(states(6).reshape(-1, 1, 2, 3) + 0.5, generator=stream(0), **sizes)
    assert everything.kinds == ("exact", "exact") and "by enumeration" in everything.note
    assert float(everything.lower.logsumexp(0)) == pytest.approx(0, abs=1e-10)
    assert (everything.terms["ais_lower"] <= everything.lower).all()
    assert (everything.lower <= everything.terms["ais_upper"]).all()
    x = split.x.flatten(1).double()
    rates = x.mean(0)
    independent = (x @ rates.logit() + (1 - rates).log().sum()).mean()
    trained = model.bounds(split.x + 0.25, generator=stream(0), **sizes).lower
    # The law of the data has entropy ln 2 + 6 H(0.1) - (a little), 2.6 nats; independent pixels pay 4.16.
    assert trained.mean() > -2.75 > independent


def test_rows_do_not_depend_on_their_batch(fitted: tuple[RBM, Split]) -> None:
    model, split = fitted
    y, sizes = split.x[:6] + 0.5, {"temperatures": 20, "sweeps": 10}
    whole = model.bounds(y, generator=stream(0), **sizes)
    part = model.bounds(y[2:3], generator=stream(0), **sizes)
    assert torch.equal(whole.lower[2:3], part.lower)
    assert torch.equal(whole.terms["ais_lower"][2:3], part.terms["ais_lower"])


def test_samples_follow_the_mass(fitted: tuple[RBM, Split]) -> None:
    """Chi-squared of 20000 chains over 64 images against its 1 - 1e-4 quantile at 63 degrees of freedom, 111."""
    model, _ = fitted
    mass = model.bounds(states(6).reshape(-1, 1, 2, 3), generator=stream(0), temperatures=5, sweeps=1).lower.exp()
    drawn = model.sample(20000, generator=stream(2), sweeps=200).flatten(1)
    count = torch.bincount((drawn * torch.tensor([32, 16, 8, 4, 2, 1])).sum(1), minlength=64)
    assert ((count - 20000 * mass).square() / (20000 * mass)).sum() < 111


def test_beyond_enumeration_the_ends_are_annealed() -> None:
    model = RBM(Event((1, 1, 2), 2), hidden=21)
    bounds = model.bounds(torch.zeros(3, 1, 1, 2), generator=stream(0), temperatures=10, sweeps=5)
    assert bounds.kinds == ("heuristic", "certified") and bounds.alpha == 0.05
    truth = -2 * math.log(2)
    assert (bounds.lower <= truth + 1e-9).all() and (bounds.upper >= truth - 1e-9).all()


def test_same_seed_same_bytes(fitted: tuple[RBM, Split]) -> None:
    model, split = fitted
    again = RBM(model.event, hidden=4)
    again.fit(split, split, generator=stream(1), log=quiet, steps=3000, every=500)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), again.buffers(), strict=True))

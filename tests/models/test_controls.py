"""Controls: replayed images, a Gaussian and a mixture, each against an exact answer."""

from itertools import product

import numpy as np
import pytest
import torch

from gm.model import Event, Split
from gm.models.memoriser import Memoriser
from gm.models.mixture import Mixture
from gm.models.ppca import PPCA
from gm.models.resample import Resample


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int, event: Event, seed: int = 0) -> Split:
    """Correlated integers: a common level per image plus noise per pixel."""
    g = stream(seed)
    common = torch.randint(event.levels, (n, 1, 1, 1), generator=g)
    x = common + torch.randint(-1, 2, (n, *event.shape), generator=g)
    return Split(x.clamp(0, event.levels - 1).to(torch.uint8), torch.zeros(n, dtype=torch.long))


def quiet(step: int, total: int) -> None: ...


@pytest.mark.parametrize("control", [Resample, Memoriser])
def test_replay_is_without_replacement(control: type) -> None:
    """Up to as many images as are stored; of more, fresh ones cannot be had, and a replay goes round again."""
    event = Event((1, 4, 4), 256)
    data = Split(torch.arange(160).reshape(10, 1, 4, 4).to(torch.uint8), torch.zeros(10))
    model = control(event)
    model.fit(data, data, generator=stream(0), log=quiet)
    drawn = model.sample(10, generator=stream(1))
    assert drawn.dtype == torch.int64 and not torch.equal(drawn, data.x.long())
    assert torch.equal(drawn.flatten(1).sort(0).values, data.x.long().flatten(1))
    assert torch.equal(model.sample(4, generator=stream(1)), drawn[:4])
    if control is Resample:
        with pytest.raises(ValueError, match="at most 10, the fresh images"):
            model.sample(11, generator=stream(1))
    else:
        counts = model.sample(25, generator=stream(1)).flatten(1).unique(dim=0, return_counts=True)[1]
        assert len(counts) == 10 and set(counts.tolist()) == {2, 3}
    bounds = model.bounds(data.x + 0.5, generator=stream(2))
    assert bounds.kinds == ("none", "none") and model.outlier_scores(data.x, bounds, generator=stream(2)) == {}


@pytest.mark.parametrize("components", [0, 3, 11])
def test_ppca_is_the_maximum_likelihood_gaussian(components: int) -> None:
    """The density is scipy's N(mu, W W' + s2 I), the noise is the mean discarded eigenvalue, the kept ones stay."""
    from scipy.stats import multivariate_normal

    event = Event((1, 3, 4), 9)
    train, valid = images(300, event), images(80, event, 1)
    model = PPCA(event, components=components)
    model.fit(train, valid, generator=stream(0), log=quiet)

    x = train.x.flatten(1).double().numpy()
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True) + np.eye(12) / 12)[::-1]
    assert float(model.noise) == pytest.approx(eigenvalues[components:].mean(), rel=1e-10)
    covariance = (model.weight @ model.weight.T).numpy() + float(model.noise) * np.eye(12)
    kept = np.linalg.eigvalsh(covariance)[::-1][:components]
    np.testing.assert_allclose(kept, eigenvalues[:components], rtol=1e-10)

    y = valid.x + torch.rand(valid.x.shape, generator=stream(2))
    bounds = model.bounds(y, generator=stream(3))
    expected = multivariate_normal(x.mean(0) + 0.5, covariance).logpdf(y.flatten(1).double().numpy())
    assert bounds.kinds == ("exact", "exact")
    np.testing.assert_allclose(bounds.lower.numpy(), expected, rtol=1e-9)


def test_all_components_are_the_full_covariance() -> None:
    """components = -1: density of scipy's Gaussian with the data's covariance and 1/12."""
    from scipy.stats import multivariate_normal

    event = Event((1, 3, 4), 9)
    train, valid = images(300, event), images(80, event, 1)
    model = PPCA(event, components=-1)
    assert model.fit(train, valid, generator=stream(0), log=quiet).facts["components"] == 11
    x, y = train.x.flatten(1).double().numpy(), valid.x + torch.rand(valid.x.shape, generator=stream(2))
    expected = multivariate_normal(x.mean(0) + 0.5, np.cov(x.T, bias=True) + np.eye(12) / 12)
    found = model.bounds(y, generator=stream(3)).lower.numpy()
    np.testing.assert_allclose(found, expected.logpdf(y.flatten(1).double().numpy()), rtol=1e-9)


def test_ppca_chooses_by_expected_validation_likelihood() -> None:
    """The recorded curve is the mean over u of the Gaussian's density: 400 draws of u agree within 4 errors (6e-5)."""
    event = Event((1, 2, 3), 5)
    train, valid = images(100, event), images(40, event, 1)
    model = PPCA(event)
    history = model.fit(train, valid, generator=stream(0), log=quiet)
    curve = [row["valid"] for row in history.rows]
    assert history.facts["components"] == int(np.argmax(curve)) and len(curve) == 6
    u = torch.rand(400, *valid.x.shape, generator=stream(1))
    values = model.bounds((valid.x + u).flatten(0, 1), generator=stream(2)).lower.reshape(400, -1).mean(1)
    assert abs(values.mean() - max(curve)) < 4 * values.std() / 20


def test_ppca_samples_have_its_moments() -> None:
    """Away from the edges flooring adds -1/2 to the mean and about 1/12 to the variance; 4 standard errors (6e-5)."""
    event = Event((1, 2, 2), 256)
    g = stream(0)
    x = (128 + 12 * torch.randn(500, 1, 2, 2, generator=g)).long()
    model = PPCA(event, components=2)
    model.fit(Split(x, x), Split(x, x), generator=g, log=quiet)
    drawn = model.sample(20000, generator=stream(1)).flatten(1).double() + 0.5
    covariance = model.weight @ model.weight.T + (model.noise + 1 / 12) * torch.eye(4)
    assert ((drawn.mean(0) - model.mean).abs() < 4 * (covariance.diagonal() / 20000).sqrt()).all()
    assert ((drawn.var(0) / covariance.diagonal() - 1).abs() < 4 * (2 / 20000) ** 0.5).all()
    extreme = PPCA(Event((1, 2, 2), 3), components=1)
    extreme.fit(images(50, extreme.event), images(50, extreme.event), generator=g, log=quiet)
    assert extreme.sample(500, generator=g).unique().tolist() == [0, 1, 2]


def tiny_mixture(*, iterations: int = 10) -> Mixture:
    event = Event((1, 2, 1), 3)
    model = Mixture(event, components=[2, 3], smoothing=[0.5])
    model.fit(images(60, event), images(30, event, 1), generator=stream(0), log=quiet, iterations=iterations)
    return model


def test_mixture_sums_to_one() -> None:
    model = tiny_mixture()
    states = torch.tensor(list(product(range(3), repeat=2))).reshape(-1, 1, 2, 1)
    bounds = model.bounds(states + 0.25, generator=stream(1))
    assert bounds.kinds == ("exact", "exact")
    assert float(bounds.lower.exp().sum()) == pytest.approx(1, abs=1e-12)


def test_mixture_samples_follow_its_mass() -> None:
    """Chi-squared of 20000 draws over nine states, below its 1 - 1e-4 quantile at 8 degrees of freedom, 31.8."""
    model = tiny_mixture()
    states = torch.tensor(list(product(range(3), repeat=2))).reshape(-1, 1, 2, 1)
    mass = model.bounds(states.float(), generator=stream(1)).lower.exp()
    drawn = model.sample(20000, generator=stream(2)).flatten(1)
    count = torch.bincount(3 * drawn[:, 0] + drawn[:, 1], minlength=9)
    assert ((count - 20000 * mass).square() / (20000 * mass)).sum() < 31.8


def test_mixture_with_one_component_is_the_smoothed_margin() -> None:
    event = Event((1, 2, 1), 3)
    data = images(60, event)
    model = Mixture(event, components=[1], smoothing=[2.0], floor=3.0)
    model.fit(data, data, generator=stream(0), log=quiet, iterations=1)
    count = torch.stack([(data.x.flatten(1) == level).sum(0) for level in range(3)], 1).double()
    margin = (count + 1) / 63
    expected = (count + 2 * margin) / 62
    torch.testing.assert_close(model.log_table.exp().reshape(2, 3), expected)


def test_em_is_that_of_dense_indicators_and_stops_at_its_fixed_point() -> None:
    """The sparse steps against the same equations on one-hot arrays, from the same start, run far past the end."""
    event = Event((1, 2, 2), 4)
    data = images(80, event)
    model = Mixture(event, components=[3], smoothing=[0.5], floor=1.0)
    history = model.fit(data, data, generator=stream(0), log=quiet, iterations=2000, restarts=1)
    assert history.evals["density"] < 80 * 3 * 2000
    x = torch.nn.functional.one_hot(data.x.long().flatten(1), 4).double()
    prior = 0.5 * (x.sum(0) + 1 / 4) / 81
    table = x[torch.randint(80, (3,), generator=stream(0))] + prior
    weight = torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(2000):
        log_p = (table / table.sum(-1, keepdim=True)).log()
        r = (torch.einsum("ijl,kjl->ik", x, log_p) + weight.log()).softmax(1)
        weight, table = (r.sum(0) + 1) / 83, torch.einsum("ik,ijl->kjl", r, x) + prior
    torch.testing.assert_close(model.log_weight.exp(), weight, rtol=1e-8, atol=1e-10)
    expected = (table / table.sum(-1, keepdim=True)).log().flatten(1)
    torch.testing.assert_close(model.log_table, expected, rtol=1e-8, atol=1e-8)


def test_em_never_lowers_its_objective() -> None:
    """The training mass rises with the number of steps, up to the prior's pull, which is weak here."""
    event = Event((1, 4, 4), 5)
    data = images(200, event)
    means = []
    for iterations in (1, 3, 10, 30):
        model = Mixture(event, components=[5], smoothing=[0.01], floor=0.01)
        model.fit(data, data, generator=stream(0), log=quiet, iterations=iterations, restarts=1)
        means.append(float(model.bounds(data.x.float(), generator=stream(1)).lower.mean()))
    assert means == sorted(means)


@pytest.mark.parametrize("model", [PPCA(Event((1, 3, 4), 9)), Mixture(Event((1, 3, 4), 9), components=[4])])
def test_density_of_a_row_ignores_its_batch_and_same_seed_gives_same_bytes(model: PPCA | Mixture) -> None:
    data = images(100, model.event)
    model.fit(data, data, generator=stream(0), log=quiet)
    y = data.x + torch.rand(data.x.shape, generator=stream(1))
    whole = model.bounds(y, generator=stream(2)).lower
    torch.testing.assert_close(whole[7:8], model.bounds(y[7:8], generator=stream(2)).lower, rtol=1e-12, atol=1e-10)
    again = type(model)(model.event, **({"components": [4]} if isinstance(model, Mixture) else {}))
    again.fit(data, data, generator=stream(0), log=quiet)
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), again.buffers(), strict=True))
    assert torch.equal(model.sample(5, generator=stream(3)), again.sample(5, generator=stream(3)))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="'components' is 12"):
        PPCA(Event((1, 3, 4), 9), components=12)
    with pytest.raises(ValueError, match="'components' is \\[\\]"):
        Mixture(Event((1, 3, 4), 9), components=[])
    with pytest.raises(ValueError, match="'smoothing' and 'floor'"):
        Mixture(Event((1, 3, 4), 9), smoothing=[0.0])

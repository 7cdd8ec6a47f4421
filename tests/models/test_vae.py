import math
import re
from itertools import product

import numpy as np
import pytest
import torch

from gm.model import Diverged, Event, Split
from gm.models.vae import VAE


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quiet(step: int, total: int) -> None: ...


def data(n: int, event: Event, seed: int = 0) -> Split:
    """Half of the images are dark, half bright, pixel noise on top."""
    g = stream(seed)
    x = (event.levels - 1) * torch.randint(2, (n, 1, 1, 1), generator=g) * torch.ones(event.shape)
    x = x + torch.randint(-1, 2, x.shape, generator=g)
    return Split(x.clamp(0, event.levels - 1).to(torch.uint8), torch.zeros(n, dtype=torch.long))


@pytest.fixture(scope="module")
def fitted() -> VAE:
    event = Event((1, 4, 4), 5)
    torch.manual_seed(0)
    model = VAE(event, latent=3, encoder=[32], decoder=[32])
    model.fit(data(300, event), data(60, event, 1), generator=stream(0), log=quiet, steps=200, every=50)
    return model


def all_images(event: Event) -> torch.Tensor:
    return torch.tensor(list(product(range(event.levels), repeat=event.dim))).reshape(-1, *event.shape)


def quadrature(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """log p(x) by Gauss-Hermite quadrature over z, 40 nodes a dimension."""
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    z = torch.tensor(list(product(node, repeat=model.latent)))
    log_weight = torch.tensor(list(product(np.log(weight / math.sqrt(2 * math.pi)), repeat=model.latent))).sum(1)
    outputs = model.double().decoder(z)
    log_mass = model.likelihood.log_prob(x.flatten(1)[:, None], outputs) + log_weight
    model.float()
    return log_mass.logsumexp(1)


@pytest.mark.parametrize("levels,latent,scale", [(2, 1, "decoded"), (2, 2, "shared"), (3, 1, "decoded")])
def test_masses_sum_to_one_and_lie_between_the_ends(levels: int, latent: int, scale: str) -> None:
    """Images of a 1x2x2 event under random weights; the two means over all images fail with probability 3e-3."""
    event = Event((1, 2, 2), levels)
    torch.manual_seed(levels + latent)
    model = VAE(event, latent=latent, encoder=[8], decoder=[8], scale=scale)
    for parameter in model.decoder.parameters():
        parameter.data.mul_(3)
    x = all_images(event)
    with torch.no_grad():
        exact = quadrature(model, x)
    assert float(exact.exp().sum()) == pytest.approx(1, abs=1e-8)
    bounds = model.bounds(x + 0.5, generator=stream(0), sizes=[10, 500], simulated=5)
    assert bounds.kinds == ("certified", "heuristic") and bounds.slack == pytest.approx(math.log(20))
    error = 3 / math.sqrt(len(x))
    low, high = bounds.lower - exact, bounds.upper - exact
    assert low.mean() <= error * low.std() and high.mean() >= -error * high.std()
    assert low.mean() > -0.1 and high.mean() < 0.1
    assert (bounds.upper >= bounds.lower).all()
    assert bounds.terms["elbo"].mean() < bounds.terms["iw_500"].mean()
    assert (bounds.terms["iw_10"] <= bounds.terms["iw_500"] + 1e-9).all()
    assert torch.equal(bounds.terms["iw_500"], bounds.lower)
    assert bounds.evals == {"density": (2 * 64 + 999) * len(x) + (2 * 64 + 1000) * 5}


def test_samples_follow_the_mass() -> None:
    """Chi-squared of 40000 draws over 16 images, below its 1 - 1e-4 quantile at 15 degrees of freedom, 44.3."""
    event = Event((1, 2, 2), 2)
    torch.manual_seed(0)
    model = VAE(event, latent=1, encoder=[8], decoder=[8])
    with torch.no_grad():
        mass = quadrature(model, all_images(event)).exp()
    drawn = model.sample(40000, generator=stream(0)).flatten(1)
    count = torch.bincount((drawn * torch.tensor([8, 4, 2, 1])).sum(1), minlength=16)
    assert ((count - 40000 * mass).square() / (40000 * mass)).sum() < 44.3


def test_rows_do_not_depend_on_their_batch(fitted: VAE) -> None:
    y = data(12, fitted.event, 2).x + 0.25
    whole = fitted.bounds(y, generator=stream(0), sizes=[5, 20], simulated=3)
    order = torch.tensor([7, 2, 11])
    part = fitted.bounds(y[order], generator=stream(0), sizes=[5, 20], simulated=3)
    for name in ("lower", "upper"):
        assert torch.equal(getattr(whole, name)[order], getattr(part, name))
    assert all(torch.equal(term[order], part.terms[name]) for name, term in whole.terms.items())


def test_a_fitted_proposal_beats_the_encoders(fitted: VAE) -> None:
    """Equal numbers of weighted draws: the mean lower end rises, at one draw and at ten, towards one that is tight."""
    y = data(40, fitted.event, 2).x + 0.5
    own, full = (fitted.bounds(y, generator=stream(0), sizes=[10], rounds=r, simulated=0) for r in (0, 2))
    tight = fitted.bounds(y, generator=stream(0), sizes=[500], simulated=0).lower.mean()
    assert own.terms["elbo"].mean() < own.lower.mean() < full.lower.mean() - 0.1 < tight


def test_the_gap_on_simulated_images_is_in_the_note(fitted: VAE) -> None:
    """Both ends are certified there, so that the gap is no smaller than their slack, and not negative."""
    y = data(2, fitted.event, 2).x + 0.5
    note = fitted.bounds(y, generator=stream(0), sizes=[100], simulated=5).note
    gap, slack = (float(re.search(rf"([-.0-9]+) {after}", note)[1]) for after in ("nats", "of them slack"))
    assert slack == pytest.approx(2 * math.log(20) / 5, abs=1e-3) and slack <= gap < slack + 0.5
    assert "simulated" not in fitted.bounds(y, generator=stream(0), sizes=[100], simulated=0).note


def test_density_is_the_mass_at_the_floor(fitted: VAE) -> None:
    """Two noises for the same images: other draws, the same mass; means of 40 differences, 4 errors (6e-5)."""
    x = data(40, fitted.event, 2).x
    low, high = (fitted.bounds(x + u, generator=stream(0), sizes=[200], simulated=0).lower for u in (0.0, 0.99))
    assert abs((low - high).mean()) <= 4 * (low - high).std() / math.sqrt(40)


def test_same_seed_same_bytes(fitted: VAE) -> None:
    torch.manual_seed(0)
    again = VAE(fitted.event, latent=3, encoder=[32], decoder=[32])
    split = data(300, fitted.event), data(60, fitted.event, 1)
    torch.manual_seed(99)
    history = again.fit(*split, generator=stream(0), log=quiet, steps=200, every=50)
    assert all(torch.equal(a, b) for a, b in zip(fitted.parameters(), again.parameters(), strict=True))
    assert torch.equal(fitted.sample(9, generator=stream(1)), again.sample(9, generator=stream(1)))
    assert [row["step"] for row in history.rows] == [50, 100, 150, 200]
    assert history.facts["valid_elbo"] == max(row["valid"] for row in history.rows)


def test_learns_the_two_kinds_of_image(fitted: VAE) -> None:
    """Dark and bright images get more than independent uniform pixels, and noise scores higher as an outlier."""
    y = data(40, fitted.event, 2).x + 0.5
    noise = torch.randint(5, y.shape, generator=stream(3)) + 0.5
    inside, outside = (fitted.bounds(part, generator=stream(0), sizes=[50], simulated=0) for part in (y, noise))
    assert inside.lower.mean() > -16 * math.log(5) + 8
    for name in ("nll", "reconstruction"):
        scores = [
            fitted.outlier_scores(part, bounds, generator=stream(0))[name]
            for part, bounds in ((y, inside), (noise, outside))
        ]
        assert scores[0].max() < scores[1].min()


def test_divergence_is_a_result() -> None:
    event = Event((1, 2, 2), 5)
    torch.manual_seed(0)
    model = VAE(event, latent=2, encoder=[8], decoder=[8])
    with pytest.raises(Diverged, match="at step"):
        model.fit(data(50, event), data(20, event), generator=stream(0), log=quiet, steps=100, rate=1e30, every=10)

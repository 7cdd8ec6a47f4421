"""The Gaussian decoder, likelihood regret, dynamic binarisation and the choice of weights."""

import math

import pytest
import torch

from gm.model import Event, Split
from gm.models.vae import VAE, GaussianVAE


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quiet(step: int, total: int) -> None: ...


def split(x: torch.Tensor) -> Split:
    return Split(x, torch.zeros(len(x), dtype=torch.long))


def linear(event: Event, latent: int) -> GaussianVAE:
    """A decoder that is one affine map, whose density is a Gaussian in closed form; the encoder is off."""
    torch.manual_seed(0)
    model = GaussianVAE(event, latent=latent, encoder=[8], decoder=[])
    model.decoder[0].weight.data.normal_(0, 0.3, generator=stream(0))
    return model


def exact(model: GaussianVAE) -> torch.distributions.MultivariateNormal:
    """N(b, W W' + s^2 I) on the decoder's scale t = 2 y / L - 1, moved to y = (t + 1) L / 2."""
    half = model.event.levels / 2
    W, b = model.decoder[0].weight.detach().double(), model.decoder[0].bias.detach().double()
    s = model.decoder[1].value.detach().double().exp()
    covariance = half**2 * (W @ W.T + s.square() * torch.eye(len(b), dtype=torch.float64))
    return torch.distributions.MultivariateNormal((b + 1) * half, covariance)


def test_bounds_close_on_a_linear_gaussian() -> None:
    """A fitted Gaussian proposal is the posterior, so that both ends are the density itself, without error."""
    model = linear(Event((1, 3, 3), 6), 2)
    y = 6 * torch.rand(20, 1, 3, 3, generator=stream(1))
    truth = exact(model).log_prob(y.flatten(1).double())
    bounds = model.bounds(y, generator=stream(2), rounds=6, sizes=[5, 10], simulated=3)
    assert bounds.kinds == ("certified", "heuristic")
    torch.testing.assert_close(bounds.lower, truth, atol=1e-3, rtol=0)
    torch.testing.assert_close(bounds.upper, truth, atol=1e-3, rtol=0)
    slack = 2 * math.log(20) / 3
    assert f"{slack:.3f} nats apart, {slack:.3f} of them slack" in bounds.note


def test_simulated_rows_follow_the_density() -> None:
    """Draws of y before they are clipped: means and covariance of 20000 within 5 standard errors, 2e-6 a number."""
    model = linear(Event((1, 2, 2), 6), 2)
    z = torch.randn(20000, 2, generator=stream(1))
    with torch.no_grad():
        y = model.likelihood.draw(model.decoder(z), generator=stream(2)).double()
    law = exact(model)
    variance = law.covariance_matrix.diagonal()
    assert ((y.mean(0) - law.mean).abs() < 5 * (variance / 20000).sqrt()).all()
    error = ((variance[:, None] * variance + law.covariance_matrix.square()) / 20000).sqrt()
    assert ((torch.cov(y.T) - law.covariance_matrix).abs() < 5 * error).all()
    x = model.sample(500, generator=stream(3))
    assert x.dtype == torch.int64 and x.min() >= 0 and x.max() <= 5


@pytest.mark.parametrize("levels,scale", [(4, "shared"), (4, "decoded"), (2, "shared")])
def test_density_of_two_pixels_integrates_to_one(levels: int, scale: str) -> None:
    """The midpoint rule over a box far wider than the levels."""
    torch.manual_seed(1)
    model = GaussianVAE(Event((1, 1, 2), levels), latent=1, encoder=[4], decoder=[4], scale=scale)
    node = torch.linspace(-30, 34, 161)
    cell = float(node[1] - node[0]) ** 2
    y = torch.cartesian_prod(node, node)
    z = torch.randn(8, 1, generator=stream(0))
    with torch.no_grad():
        log_density = model.likelihood.log_prob(y[:, None], model.decoder(z))
    torch.testing.assert_close(log_density.exp().sum(0) * cell, torch.ones(8), atol=1e-3, rtol=0)


def test_scale_of_a_constant_pixel_stops_at_the_noise() -> None:
    """Whatever the decoder asks for, the density of y = x + u stays below that of u's own standard deviation."""
    model = GaussianVAE(Event((1, 1, 1), 256), latent=1, scale="shared")
    outputs = torch.tensor([[2 * 7.5 / 256 - 1, -80.0]])
    found = float(model.likelihood.log_prob(torch.tensor([[7.5]]), outputs))
    assert found == pytest.approx(0.5 * math.log(12 / (2 * math.pi)), abs=1e-4)


def test_fits_the_maximum_likelihood_gaussian() -> None:
    """A linear VAE reaches probabilistic PCA: its exact density on its own data, within 0.1 of the optimum's nats."""
    event = Event((1, 2, 2), 256)
    t = torch.randn(4000, 1, generator=stream(0)) @ torch.tensor([[30.0, -20.0, 10.0, 25.0]])
    x = (t + 128 + 6 * torch.randn(4000, 4, generator=stream(1))).round().clamp(0, 255).long().reshape(-1, 1, 2, 2)
    torch.manual_seed(0)
    model = GaussianVAE(event, latent=1, encoder=[16], decoder=[])
    model.fit(split(x[:3500]), split(x[3500:]), generator=stream(2), log=quiet, steps=600, rate=0.02)
    y = x.flatten(1).double() + 0.5
    values = torch.linalg.eigvalsh(torch.cov(y.T, correction=0) + torch.eye(4, dtype=torch.float64) / 12)
    noise = values[:-1].mean()
    best = -0.5 * (4 * math.log(2 * math.pi) + values[-1].log() + 3 * noise.log() + 4)
    assert float(exact(model).log_prob(y + torch.rand(y.shape, generator=stream(3)) - 0.5).mean()) > best - 0.1


@pytest.mark.parametrize("cls", [VAE, GaussianVAE])
def test_regret_is_a_gain(cls: type[VAE]) -> None:
    """Never negative, nothing where the encoder's posterior is the best already, much where the encoder is off."""
    torch.manual_seed(0)
    event = Event((1, 3, 3), 6)
    model = cls(event, latent=2, encoder=[8], decoder=[8])
    y = torch.randint(6, (12, 1, 3, 3), generator=stream(0)) + 0.5
    bounds = model.bounds(y, generator=stream(1), rounds=4, sizes=[5], simulated=0)
    regret = model.outlier_scores(y, bounds, generator=stream(2))["regret"]
    assert torch.equal(regret, bounds.terms["regret"]) and (regret >= 0).all()
    assert (bounds.terms["elbo"] + regret < bounds.terms["elbo"] + 50).all()
    model.encoder[-1].bias.data[:2] += 3
    off = model.bounds(y, generator=stream(1), rounds=4, sizes=[5], simulated=0)
    assert (off.terms["regret"] > regret + 0.5).all()
    known = linear(event, 2)
    with torch.no_grad():
        s, W = known.decoder[1].value.exp(), known.decoder[0].weight
        precision = torch.eye(2) + W.T @ W / s.square()
        full = known.bounds(y, generator=stream(1), rounds=6, sizes=[5], simulated=0)
    assert precision.diagonal().min() > 1
    torch.testing.assert_close(full.terms["elbo"] + full.terms["regret"], full.lower, atol=1e-3, rtol=0)
    alone = model.bounds(y, generator=stream(1), rounds=1, sizes=[5], simulated=0)
    assert "regret" not in model.outlier_scores(y, alone, generator=stream(2))


def test_grey_levels_are_drawn_afresh() -> None:
    """Means of 20000 draws within 5 standard errors (6e-7 each), zeros and ones for sure, and never x itself."""
    grey = torch.tensor([[0, 51, 128, 255]], dtype=torch.uint8).reshape(1, 1, 2, 2)
    known = Split(torch.full((1, 1, 2, 2), 9), torch.zeros(1).long(), grey)
    x = known.rows(torch.zeros(20000, dtype=torch.long), generator=stream(0))
    assert x.shape == (20000, 1, 2, 2) and x.dtype == torch.int64 and set(x.unique().tolist()) == {0, 1}
    mean, p = x.double().mean(0).flatten(), grey.double().flatten() / 255
    assert ((mean - p).abs() <= 5 * (p * (1 - p) / 20000).sqrt()).all()
    assert torch.equal(split(x).rows(torch.tensor([3, 1]), generator=stream(0)), x[[3, 1]])


def test_a_fit_takes_fresh_binarisations() -> None:
    """Images of grey 128 whose one draw was all zeros: the fit learns a half, not zero."""
    zeros = torch.zeros(200, 1, 2, 2, dtype=torch.long)
    train = Split(zeros, zeros[:, 0, 0, 0], torch.full((200, 1, 2, 2), 128, dtype=torch.uint8))
    torch.manual_seed(0)
    model = VAE(Event((1, 2, 2), 2), latent=1, encoder=[4], decoder=[4])
    model.fit(train, train, generator=stream(0), log=quiet, steps=150, rate=0.01, keep="last")
    assert 0.35 < float(model.sample(2000, generator=stream(1)).double().mean()) < 0.65


def test_keep_last_keeps_an_overfit() -> None:
    """On 30 random images the last weights fit the training images better, and the validation images worse."""
    event = Event((1, 4, 4), 8)
    x = torch.randint(8, (230, 1, 4, 4), generator=stream(0))
    found = {}
    for keep in ("best", "last"):
        torch.manual_seed(0)
        model = VAE(event, latent=8, encoder=[64], decoder=[64])
        history = model.fit(
            split(x[:30]), split(x[30:]), generator=stream(1), log=quiet, steps=400, every=50, rate=0.01, keep=keep
        )
        with torch.no_grad():
            noise = torch.randn(230, 8, generator=stream(2))
            own, other = (-model(x.flatten(1), noise)).split([30, 200])
        found[keep] = own.mean(), other.mean(), history.facts
    assert found["last"][0] > found["best"][0] + 3 and found["last"][1] < found["best"][1] - 3
    assert found["last"][2]["best_step"] == 400 and found["best"][2]["best_step"] < 400
    assert found["last"][2]["valid_elbo"] < found["best"][2]["valid_elbo"]

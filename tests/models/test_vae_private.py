"""A VAE under differential privacy: what it may not look at, and what it says of its budget."""

import pytest
import torch

from gm.model import Event, Split
from gm.models.vae import PrivateVAE
from gm.nets import private

EVENT = Event((1, 3, 3), 5)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split(n: int, seed: int) -> Split:
    x = torch.randint(5, (n, 1, 3, 3), generator=stream(seed))
    return Split(x, torch.zeros(n, dtype=torch.long))


def fitted(valid: Split, **given: float) -> tuple[PrivateVAE, dict]:
    torch.manual_seed(0)
    model = PrivateVAE(EVENT, latent=2, encoder=[8], decoder=[8], scale="shared")
    log = lambda step, total: None  # noqa: E731
    history = model.fit(split(60, 0), valid, generator=stream(1), log=log, batch=6, **{"steps": 20, **given})
    return model, history


def test_validation_images_are_not_looked_at() -> None:
    """The same weights whatever they are, even none; the same seed, the same bytes; and no loss is recorded."""
    first, history = fitted(split(5, 1), noise=1.0)
    second, _ = fitted(split(9, 2), noise=1.0)
    third, _ = fitted(Split(torch.empty(0, 1, 3, 3), torch.empty(0)), noise=1.0)
    for other in (second, third):
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert history.rows == [] and set(history.facts) == {"epsilon", "delta", "noise_multiplier"}
    assert history.evals == {"gradient": 120}
    assert all(parameter.grad_sample is None for parameter in first.parameters())


def test_the_budget_is_accounted() -> None:
    """By noise: the accountant's epsilon at rate 6/60. By epsilon: the noise that meets it."""
    _, by_noise = fitted(split(5, 1), noise=2.0)
    assert by_noise.facts["epsilon"] == private.epsilon(2.0, rate=0.1, steps=20, delta=1e-5)
    _, by_target = fitted(split(5, 1), epsilon=3.0, delta=1e-4)
    assert 2.9 < by_target.facts["epsilon"] <= 3.0 and by_target.facts["delta"] == 1e-4


@pytest.mark.slow
def test_learns_what_the_budget_allows() -> None:
    """Constant images under little noise: samples are mostly of that level, where they began as any of five."""
    x = torch.full((400, 1, 3, 3), 4)
    torch.manual_seed(0)
    model = PrivateVAE(EVENT, latent=2, encoder=[8], decoder=[8])
    log = lambda step, total: None  # noqa: E731
    known = Split(x, torch.zeros(400, dtype=torch.long))
    model.fit(known, known, generator=stream(1), log=log, batch=100, steps=150, rate=0.02, noise=0.8)
    assert float((model.sample(500, generator=stream(2)) == 4).double().mean()) > 0.8

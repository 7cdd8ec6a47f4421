import functools

import torch

from gm.model import Event, Split
from gm.models.flow import Flow
from gm.rng import seed_of, stream


def split(levels: int, n: int, name: str) -> Split:
    """Two pixels, of which the second repeats the first with chance 0.7."""
    generator = stream(name)
    x = torch.randint(levels, (n, 1, 1, 2), generator=generator)
    x[:, 0, 0, 1] = torch.where(torch.rand(n, generator=generator) < 0.7, x[:, 0, 0, 0], x[:, 0, 0, 1])
    return Split(x, torch.zeros(n, dtype=torch.long))


@functools.cache
def fitted(levels: int = 3, repeat: int = 0) -> Flow:
    torch.manual_seed(seed_of("initialise"))
    model = Flow(Event((1, 1, 2), levels), transforms=2, hidden=16)
    train, valid = split(levels, 300, "train"), split(levels, 100, "valid")
    model.fit(train, valid, steps=40, generator=stream("fit"), log=lambda step, total: None)
    return model.eval()


def test_density_integrates_to_one_and_masses_match_the_sampler():
    """Quadrature to 1e-3; then a chi-square of 10,000 draws on nine cells, 8 degrees, false-alarm rate 1e-4 (31.8)."""
    model, points, n = fitted(), 60, 10_000
    axis = (torch.arange(3 * points, dtype=torch.float64) + 0.5) / points
    y = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    density = model.bounds(y, generator=stream("score")).lower.exp()
    mass = density.reshape(3, points, 3, points).sum((1, 3)) / points**2
    assert abs(mass.sum() - 1) < 1e-3
    x = model.sample(n, generator=stream("sample")).flatten(1)
    counts = torch.bincount(3 * x[:, 0] + x[:, 1], minlength=9).reshape(3, 3)
    assert ((counts - n * mass) ** 2 / (n * mass)).sum() < 31.8


def test_the_fit_learns_and_repeats():
    a, b = fitted(), fitted(repeat=1)
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    held_out = split(3, 400, "test").x + 0.5
    gain = a.bounds(held_out, generator=stream("score")).lower - a.reference.log_prob(held_out)
    assert gain.mean() > 0


def test_a_row_does_not_depend_on_its_batch_to_rounding():
    model, y = fitted(), split(3, 40, "rows").x + 0.25
    whole = model.bounds(y, generator=stream("score")).lower
    alone = torch.cat([model.bounds(row[None], generator=stream("score")).lower for row in y])
    assert torch.allclose(whole, alone, rtol=0, atol=1e-10)

import functools

import pytest
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
def fitted(levels: int = 3, repeat: int = 0, axes: int | None = None) -> Flow:
    torch.manual_seed(seed_of("initialise"))
    model = Flow(Event((1, 1, 2), levels), transforms=2, hidden=16, axes=axes)
    train, valid = split(levels, 300, "train"), split(levels, 100, "valid")
    # the spline of a single axis is a constant, which learns by its biases alone
    rate = 0.05 if axes == 1 else 0.005
    model.fit(train, valid, steps=40, rate=rate, generator=stream("fit"), log=lambda step, total: None)
    return model.eval()


@pytest.mark.parametrize("axes", [None, 1, 2])
def test_density_integrates_to_one_and_masses_match_the_sampler(axes):
    """Quadrature to 1e-3; then a chi-square of 10,000 draws on nine cells, 8 degrees, false-alarm rate 1e-4 (31.8)."""
    model, points, n = fitted(axes=axes), 60, 10_000
    axis = (torch.arange(3 * points, dtype=torch.float64) + 0.5) / points
    y = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    density = model.bounds(y, generator=stream("score")).lower.exp()
    mass = density.reshape(3, points, 3, points).sum((1, 3)) / points**2
    assert abs(mass.sum() - 1) < 1e-3
    x = model.sample(n, generator=stream("sample")).flatten(1)
    counts = torch.bincount(3 * x[:, 0] + x[:, 1], minlength=9).reshape(3, 3)
    assert ((counts - n * mass) ** 2 / (n * mass)).sum() < 31.8


@pytest.mark.parametrize("axes", [None, 1])
def test_the_fit_learns_and_repeats(axes):
    a, b = fitted(axes=axes), fitted(repeat=1, axes=axes)
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    held_out = split(3, 400, "test").x + 0.5
    gain = a.bounds(held_out, generator=stream("score")).lower - a.reference.log_prob(held_out)
    assert gain.mean() > 0


def test_a_row_does_not_depend_on_its_batch_to_rounding():
    model, y = fitted(), split(3, 40, "rows").x + 0.25
    whole = model.bounds(y, generator=stream("score")).lower
    alone = torch.cat([model.bounds(row[None], generator=stream("score")).lower for row in y])
    assert torch.allclose(whole, alone, rtol=0, atol=1e-10)


def test_score_norm_is_the_gradient_s():
    """Central differences of log p in w along both axes, at eight rows, whatever the rows beside them."""
    model, y = fitted(axes=1), split(3, 8, "rows").x + 0.37
    bounds = model.bounds(y, generator=stream("score"))
    found = model.outlier_scores(y, bounds, generator=stream("outliers"))["score_norm"]
    w, h = model.reference.whiten(y), 1e-5

    def log_prob(w):
        y = model.reference.unwhiten(w)
        return model.bounds(y, generator=stream("score")).lower - model.reference.log_jacobian(y)

    columns = [(log_prob(w + h * e) - log_prob(w - h * e)) / (2 * h) for e in torch.eye(2, dtype=torch.float64)]
    assert torch.allclose(found, torch.stack(columns, 1).norm(dim=1), rtol=1e-4, atol=1e-6)
    alone = model.outlier_scores(y[3:4], bounds, generator=stream("outliers"))["score_norm"]
    assert torch.allclose(alone, found[3:4], rtol=0, atol=1e-10)


def test_axes_are_principal_and_orthogonal():
    """v = Q'w are principal components of z, divided by their standard deviations, the widest first."""
    generator = stream("many")
    x = torch.randint(3, (200, 1, 2, 2), generator=generator) + torch.randint(3, (200, 1, 1, 1), generator=generator)
    model = Flow(Event((1, 2, 2), 5), transforms=1, hidden=4, axes=3)
    data = Split(x, torch.zeros(200, dtype=torch.long))
    model.fit(data, data, steps=1, generator=stream("fit"), log=lambda step, total: None)
    Q, L = model.rotation, model.reference.factor
    assert torch.allclose(Q.T @ Q, torch.eye(4, dtype=torch.float64), atol=1e-12)
    covariance = (L @ Q).T @ (L @ Q)
    widths = covariance.diagonal()
    assert torch.allclose(covariance, widths.diag(), atol=1e-12) and (widths.diff() < 0).all()
    with pytest.raises(ValueError, match="'axes' is 5; expected None or 1..4"):
        Flow(Event((1, 2, 2), 5), axes=5)

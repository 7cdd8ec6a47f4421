import math

import pytest
import torch

from gm.model import Diverged, Event, Split
from gm.models.ebm import EBM, Energy
from gm.rng import seed_of, stream

CHEAP = {"steps": 40, "batch": 64, "checks": 2}


def split(n: int, name: str) -> Split:
    """Two pixels of three levels on a ring: equal, or both away from the middle; not a Gaussian dependence."""
    generator = stream(name)
    first = torch.randint(3, (n,), generator=generator)
    second = torch.where(first == 1, 1, 2 * torch.randint(2, (n,), generator=generator))
    x = torch.stack([first, second], 1).reshape(n, 1, 1, 2)
    return Split(x, torch.zeros(n, dtype=torch.long))


def fitted(**given: float) -> EBM:
    torch.manual_seed(seed_of("initialise"))
    model = EBM(Event((1, 1, 2), 3), width=16, pool=64)
    history = model.fit(
        split(300, "train"),
        split(100, "valid"),
        **(CHEAP | given),
        generator=stream("fit"),
        log=lambda step, total: None,
    )
    assert history.rows[-1]["step"] == (CHEAP | given)["steps"] and history.evals["gradient"] > 0
    return model.eval()


def test_bounds_enclose_the_density_by_quadrature():
    """log Z by quadrature lies in the shared interval; its certified end fails with probability .05, seed fixed."""
    model, points = fitted(), 150
    axis = (torch.arange(3 * points, dtype=torch.float64) + 0.5) / points
    y = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    log_z = (model.density.log_unnormalised(y).logsumexp(0) - 2 * math.log(points)).item()
    bounds = model.bounds(y[:5], temperatures=40, generator=stream("score"))
    assert bounds.kinds == ("heuristic", "certified")
    assert -bounds.shared[1] - 1e-3 <= log_z <= -bounds.shared[0] + 1e-3
    scores = model.outlier_scores(y[:5], bounds, generator=stream("outliers"))
    assert torch.equal(scores["tilt"], model.density.energy(y[:5]))
    assert torch.equal(scores["score_norm"], model.density.score_norm(y[:5]))


def test_a_convolutional_energy_is_row_wise_and_grows_linearly():
    """f(w), from z = L w: doubling a far point doubles f; a row is itself in any batch."""
    torch.manual_seed(seed_of("initialise"))
    energy = Energy((2, 9, 8), 16, (4, 6))
    energy.factor = 0.5 * torch.eye(144)
    w = torch.randn(5, 144, generator=stream("w"))
    z = (0.5 * w).reshape(5, 2, 9, 8)
    with torch.no_grad():
        assert torch.allclose(energy(w), energy.layers(energy.convolutions(z).flatten(1))[:, 0])
        assert torch.allclose(energy(w)[2:3], energy(w[2:3]), atol=1e-5)
        assert torch.allclose(energy(2e4 * w) / energy(1e4 * w), torch.tensor(2.0), rtol=1e-2)
    with pytest.raises(ValueError, match="2 convolutions halve 2 x 9 pixels to nothing"):
        Energy((1, 2, 9), 16, (4, 6))


def test_fit_and_samples_repeat():
    a, b = fitted(), fitted()
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    x, again = (m.sample(16, temperatures=10, moves=5, generator=stream("sample")) for m in (a, b))
    assert torch.equal(x, again) and x.dtype == torch.int64 and x.min() >= 0 and x.max() < 3


@pytest.mark.slow
def test_the_tilt_learns_what_the_copula_cannot():
    """Five standard errors of the mean gain over 500 images; false-alarm rate below 1e-6."""
    model, y = fitted(steps=200, checks=4), split(500, "test").x + 0.5
    gain = model.bounds(y, temperatures=40, generator=stream("score")).lower - model.density.reference.log_prob(y)
    assert gain.mean() > 5 * gain.std() / math.sqrt(len(gain))


def test_a_fit_that_runs_away_says_so():
    with pytest.raises(Diverged, match="step"):
        fitted(rate=1e6, decay=0.0)

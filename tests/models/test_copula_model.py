import torch

from gm.model import Event, Split
from gm.models.copula import Copula
from gm.rng import stream


def test_fit_sample_and_bounds():
    x = torch.randint(2, (60, 1, 2, 2), generator=stream("x"))
    split = Split(x, torch.zeros(60, dtype=torch.long))
    model = Copula(Event((1, 2, 2), 2))
    model.fit(split, split, generator=stream("fit"), log=lambda step, total: None)
    samples = model.sample(7, generator=stream("sample"))
    assert samples.shape == (7, 1, 2, 2) and samples.dtype == torch.int64
    assert samples.min() >= 0 and samples.max() < 2
    bounds = model.bounds(x[:9] + 0.5, generator=stream("score"))
    assert bounds.kinds == ("exact", "exact") and torch.equal(bounds.lower, bounds.upper)
    assert torch.equal(bounds.lower, model.density.log_prob(x[:9] + 0.5))

"""One Gaussian per class against scipy, and draws that carry their labels."""

import numpy as np
import pytest
import torch

from gm.model import Event, Split
from gm.models.class_ppca import ClassPPCA
from gm.rng import stream

EVENT = Event((1, 2, 3), 64)


def images(n: int, name: str) -> Split:
    """Labels 2 (a quarter) and 5: apart in mean and in spread, correlated within."""
    generator = stream(name)
    label = torch.where(torch.rand(n, generator=generator) < 0.25, 2, 5)
    spread = torch.where(label == 2, 3.0, 6.0).reshape(-1, 1, 1, 1)
    common = torch.randn(n, 1, 1, 1, generator=generator) + 0.5 * torch.randn(n, 1, 2, 3, generator=generator)
    x = torch.where(label == 2, 20, 40).reshape(-1, 1, 1, 1) + spread * common
    return Split(x.round().clamp(0, 63).to(torch.uint8), label)


def fitted(components: int | None = None, train: Split | None = None) -> ClassPPCA:
    model = ClassPPCA(EVENT, components=components)
    train = train or images(400, "train")
    model.fit(train, images(100, "valid"), generator=stream("fit"), log=lambda step, total: None)
    return model


@pytest.mark.parametrize("components", [1, -1])
def test_density_is_the_mixture_of_class_gaussians(components: int) -> None:
    """scipy's Gaussians, weighed by frequency: with all components their covariances are those of the classes."""
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    train, model = images(400, "train"), fitted(components)
    y = images(50, "test").x + torch.rand(50, 1, 2, 3, generator=stream("u"))
    parts = []
    for label in (2, 5):
        x = train.x[train.label == label].flatten(1).double().numpy()
        covariance = np.cov(x.T, bias=True) + np.eye(6) / 12
        if components == 1:
            values, vectors = np.linalg.eigh(covariance)
            values[:-1] = values[:-1].mean()
            covariance = vectors @ np.diag(values) @ vectors.T
        density = multivariate_normal(x.mean(0) + 0.5, covariance)
        parts.append(np.log(len(x) / 400) + density.logpdf(y.flatten(1).double().numpy()))
    bounds = model.bounds(y, generator=stream("score"))
    assert bounds.kinds == ("exact", "exact")
    np.testing.assert_allclose(bounds.lower.numpy(), logsumexp(parts, 0), rtol=1e-9)


def test_labels_go_with_their_images() -> None:
    """20,000 draws: class frequencies, and means and variances of each class; 4.5 errors each, rate below 2e-4."""
    train, model = images(400, "train"), fitted(-1)
    x, label = model.sample_labelled(20_000, generator=stream("draw"))
    assert x.shape == (20_000, 1, 2, 3) and x.dtype == label.dtype == torch.int64
    for c in (2, 5):
        own, data = x[label == c].double().flatten(1), train.x[train.label == c].double().flatten(1)
        share = len(data) / 400
        assert abs(len(own) / 20_000 - share) < 4.5 * (share * (1 - share) / 20_000) ** 0.5
        # rounding down adds about 1/12 to the variance
        variance = data.var(0, correction=0) + 1 / 6
        assert ((own.mean(0) - data.mean(0)).abs() < 4.5 * (variance / len(own)).sqrt()).all()
        assert ((own.var(0) / variance - 1).abs() < 4.5 * (2 / len(own)) ** 0.5).all()
    assert torch.equal(model.sample(20_000, generator=stream("draw")), x)


def test_one_number_of_components_is_chosen_under_each_image_s_own_class() -> None:
    """The choice maximises the sum over classes; validation images of unknown classes do not count."""
    train, valid = images(400, "train"), images(100, "valid")
    strange = Split(torch.cat([valid.x, 0 * valid.x]), torch.cat([valid.label, 0 * valid.label + 9]))
    model = ClassPPCA(EVENT)
    history = model.fit(train, strange, generator=stream("fit"), log=lambda step, total: None)
    curve = [row["valid"] for row in history.rows]
    assert history.facts["components"] == int(np.argmax(curve)) == model.weight.shape[2]
    u = torch.rand(300, *valid.x.shape, generator=stream("u"))
    values = torch.zeros(100, dtype=torch.float64)
    for c, density in zip((2, 5), model._densities(), strict=True):
        own = valid.label == c
        values[own] = density.log_prob((valid.x + u)[:, own].flatten(0, 1)).reshape(300, -1).mean(0)
    assert abs(float(values.mean()) - max(curve)) < 0.05


def test_a_class_of_one_image_and_validation_without_labels() -> None:
    train = images(40, "train")
    lonely = Split(train.x, torch.cat([train.label[:-1], torch.tensor([7])]))
    bounds = fitted(1, lonely).bounds(train.x + 0.5, generator=stream("score"))
    assert bounds.lower.isfinite().all()
    unlabelled = Split(train.x, train.label + 10)
    with pytest.raises(ValueError, match="label of the training images"):
        ClassPPCA(EVENT).fit(train, unlabelled, generator=stream("fit"), log=lambda step, total: None)
    with pytest.raises(ValueError, match="'components' is 6"):
        ClassPPCA(EVENT, components=6)

"""Trivial outlier scores against scikit-learn, by hand, and by name."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from gm.metrics import baselines


def images(seed, n, levels=17, size=8):
    """Low-rank images with noise."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(0).normal(size=(6, size * size))
    ink = 8 + 2 * rng.normal(size=(n, 6)) @ basis / 2 + rng.normal(size=(n, size * size))
    return np.clip(ink.round(), 0, levels - 1).astype(np.uint8).reshape(n, 1, size, size)


@pytest.mark.parametrize("components", [1, 10, 32])
def test_ppca_is_that_of_scikit_learn(components, monkeypatch):
    monkeypatch.setattr(baselines, "BLOCK", 37)
    train, x = images(1, 300), images(2, 50)
    theirs = PCA(components, svd_solver="full").fit(train.reshape(300, -1))
    subspace = baselines.principal(train, components)
    flat = x.reshape(50, -1)
    assert baselines.surprise(subspace, x) == pytest.approx(-theirs.score_samples(flat), rel=1e-9)
    rebuilt = theirs.inverse_transform(theirs.transform(flat))
    assert baselines.project(subspace, x)[1] == pytest.approx(np.linalg.norm(flat - rebuilt, axis=1), rel=1e-9)


def test_fewer_images_than_pixels_leave_noise():
    train = images(1, 20)
    subspace = baselines.principal(train, 19)
    assert subspace.noise > 0 and np.isfinite(baselines.surprise(subspace, images(2, 5))).all()
    with pytest.raises(ValueError, match="20 training images that are all the same"):
        baselines.principal(np.repeat(train[:1], 20, axis=0), 2)


def test_mixture_is_that_of_the_components():
    train, x = images(1, 450), images(2, 30)
    subspace = baselines.principal(train, 5)
    code = (train.reshape(450, -1) - subspace.mean) @ subspace.axes
    model = GaussianMixture(20, reg_covar=subspace.noise, random_state=0).fit(code)
    inside = model.score_samples((x.reshape(30, -1) - subspace.mean) @ subspace.axes)
    assert baselines.mixture(subspace, train)(x) == pytest.approx(-inside, rel=1e-6)


def test_png_length_is_fixed():
    """Lengths that every build of zlib gives: run lengths and Huffman codes leave it no choice."""
    ramp = np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8) % 17
    assert baselines.png_length(np.concatenate([np.zeros_like(ramp), ramp])).tolist() == [11.0, 59.0]


def test_scores_by_name():
    x = np.array([[[[0, 3], [4, 0]]], [[[1, 1], [1, 1]]], [[[9, 9], [9, 8]]]], np.uint8)
    found = baselines.pixel_scores(x[1:])(x)
    assert found["intensity"].tolist() == [1.75, 1.0, 8.75]
    nearest, other = np.sqrt(1 + 4 + 9 + 1), np.sqrt(81 + 36 + 25 + 64)
    assert found["pixel-nn"].tolist() == [nearest, 0.0, 0.0]
    assert found["pixel-5nn"].tolist() == [other, *[np.sqrt(3 * 64 + 49)] * 2]
    names = {"intensity", "dark", "png", "png-short", "pixel-nn", "pixel-5nn", "ppca", "ppca-reconstruction", "mixture"}
    assert set(found) == names
    for one, other in (("intensity", "dark"), ("png", "png-short")):
        assert (found[one] == -found[other]).all()


def test_what_is_unlike_the_training_images_scores_high():
    train, inside = images(1, 500), images(2, 100)
    outside = np.random.default_rng(3).integers(17, size=(100, 1, 8, 8), dtype=np.uint8)
    score = baselines.pixel_scores(train)
    inlier, outlier = score(inside), score(outside)
    for name in ("pixel-nn", "pixel-5nn", "ppca", "ppca-reconstruction"):
        assert outlier[name].min() > inlier[name].max(), name
    assert np.median(outlier["mixture"]) > np.quantile(inlier["mixture"], 0.95)

"""Nearest neighbours against all distances in double precision, one difference at a time."""

import numpy as np
import pytest

from gm.metrics import neighbours
from gm.metrics.neighbours import nearest


def every_distance(x, train):
    x, train = (a.reshape(len(a), -1).astype(np.float64) for a in (x, train))
    return np.sqrt(((x[:, None] - train[None]) ** 2).sum(-1))


def images(seed, n, levels=256, size=8):
    return np.random.default_rng(seed).integers(levels, size=(n, 1, size, size), dtype=np.uint8)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("levels", [2, 17, 256])
def test_equal_to_all_distances(levels, k, monkeypatch):
    """Integers: the same bits, the first of equals, whatever the block."""
    x, train = images(0, 40, levels), images(1, 300, levels)
    full = every_distance(x, train)
    order = np.argsort(full, axis=1, kind="stable")[:, :k]
    for entries in (2**24, 7 * 300, 1):
        monkeypatch.setattr(neighbours, "ENTRIES", entries)
        distance, index = nearest(x, train, k=k)
        assert (index == order).all() and (distance == np.take_along_axis(full, order, 1)).all()


def test_no_neighbour_is_missed_where_single_precision_cannot_tell_them_apart():
    """Images on a shell, their distances to the probe 1e-9 apart, far from the origin."""
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(200, 50))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    probe = rng.normal(size=(1, 50))
    train = probe + (1 + 1e-9 * rng.permutation(200))[:, None] * direction
    distance, index = nearest(probe + 1000, train + 1000, k=3)
    assert (index == np.argsort(every_distance(probe + 1000, train + 1000), axis=1)[:, :3]).all()
    assert distance[0, 0] == pytest.approx(1, abs=1e-8)


def test_a_copy_is_at_distance_zero():
    train = images(0, 500, size=28)
    distance, index = nearest(train[::7], train)
    assert (distance == 0).all() and (index[:, 0] == np.arange(500)[::7]).all()
    real = np.random.default_rng(0).normal(size=(500, 3, 4)) * 1e-3 + 1e4
    assert (nearest(real[::7], real)[0] == 0).all()


def test_identical_training_images_are_all_neighbours():
    train = np.zeros((50, 1, 3, 3), np.uint8)
    distance, index = nearest(images(0, 4, size=3), train, k=3)
    assert (index == [0, 1, 2]).all() and (distance == distance[:, :1]).all()


def test_no_images_have_no_distances():
    assert nearest(images(0, 0), images(1, 5), k=2)[0].shape == (0, 2)


def test_what_has_no_neighbours_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 8, 8\) and \(1, 4, 4\)"):
        nearest(images(0, 2), images(1, 3, size=4))
    with pytest.raises(ValueError, match=r"k = 4 and 3 training images; expected k in 1..3"):
        nearest(images(0, 2), images(1, 3), k=4)

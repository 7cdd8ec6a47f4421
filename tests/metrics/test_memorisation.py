"""Distances to the training set: exact, and read right at both ends."""

import numpy as np
import pytest

from gm.metrics import memorisation
from gm.metrics.memorisation import copies, nearest, nn_ratio


def images(rng, n):
    return rng.integers(17, size=(n, 1, 4, 4), dtype=np.uint8)


def test_nearest_is_exact_and_does_not_wrap(monkeypatch):
    rng = np.random.default_rng(0)
    x, train = images(rng, 20), images(rng, 30)
    x[:5] = train[[3, 9, 1, 7, 29]]
    monkeypatch.setattr(memorisation, "BLOCK", 7)
    difference = x[:, None].astype(int) - train[None].astype(int)
    expected = np.sqrt(np.square(difference).sum((2, 3, 4)).min(1))
    assert (nearest(x, train) == expected).all()
    assert (nearest(x, train)[:5] == 0).all()
    assert copies(nearest(x, train))[0] == 0.25


def test_ratio_of_fresh_data_and_of_copies():
    """Fresh data within four errors of 1 (false alarms below 1e-4); a copied half brings 1/2 off."""
    rng = np.random.default_rng(1)
    train, held_out, fresh = (images(rng, n) for n in (300, 200, 200))
    held_out, distance = nearest(held_out, train), nearest(fresh, train)
    value, se = nn_ratio(distance, held_out)
    assert abs(value - 1) < 4 * se
    half = distance * (np.arange(200) % 2)
    assert nn_ratio(half, held_out)[0] == pytest.approx(0.5, abs=0.05)
    assert nn_ratio(0 * distance, held_out) == (0.0, 0.0)


def test_ratio_has_the_spread_of_redrawn_distances():
    """300 redrawn sets: error within a fifth of the spread, whose own error is 4 %."""
    rng = np.random.default_rng(2)
    runs = np.array([nn_ratio(rng.gamma(9.0, size=100), rng.gamma(9.0, size=150)) for _ in range(300)])
    assert runs[:, 1].mean() / runs[:, 0].std() == pytest.approx(1.0, abs=0.2)


def test_errors_of_fractions_do_not_vanish():
    assert copies(np.ones(100)) == (0.0, pytest.approx(0.0134, abs=1e-3))
    assert copies(np.zeros(100))[1] == pytest.approx(copies(np.ones(100))[1])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="expected held-out data"):
        nn_ratio(np.ones(3), np.zeros(4))
    with pytest.raises(ValueError, match="one shape"):
        nearest(np.zeros((2, 1, 3, 3)), np.zeros((2, 1, 4, 4)))

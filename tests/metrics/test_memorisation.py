"""Memorisation: each measure on laws where its value is known, on fresh data, and on copies."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from gm.metrics.memorisation import authenticity, c_t, copies, dcr_share, duplicates, nn_ratio, share
from gm.metrics.neighbours import nearest


def images(rng, n):
    """Images of 4x4 pixels, levels 0..255, in a space of about six dimensions."""
    x = rng.normal(size=(n, 6)) @ np.random.default_rng(99).normal(size=(6, 16))
    return np.clip(128 + 20 * x, 0, 255).astype(np.uint8).reshape(n, 1, 4, 4)


def off(rng, x, levels):
    return np.clip(x + rng.integers(-levels, levels + 1, size=x.shape), 0, 255).astype(np.uint8)


def distances(samples, train):
    """To the two nearest training images, and of the nearest one to its own nearest."""
    distance, index = nearest(samples, train, k=2)
    return distance, nearest(train[index[:, 0]], train, k=2)[0][:, 1]


def test_ratio_of_fresh_data_and_of_copies():
    """Fresh data within four errors of 1 (false alarms below 1e-4); a copied half brings 1/2 off."""
    rng = np.random.default_rng(1)
    train, held_out, fresh = (images(rng, n) for n in (300, 200, 200))
    held_out, distance = (nearest(x, train)[0][:, 0] for x in (held_out, fresh))
    value, se = nn_ratio(distance, held_out)
    assert abs(value - 1) < 4 * se
    half = distance * (np.arange(200) % 2)
    assert nn_ratio(half, held_out)[0] == pytest.approx(0.5, abs=0.1)
    assert nn_ratio(0 * distance, held_out) == (0.0, 0.0)
    with pytest.raises(ValueError, match="expected held-out data"):
        nn_ratio(np.ones(3), np.zeros(4))


def test_ratio_has_the_spread_of_redrawn_distances():
    """300 redrawn sets: error within a fifth of the spread, whose own error is 4 %."""
    rng = np.random.default_rng(2)
    runs = np.array([nn_ratio(rng.gamma(9.0, size=100), rng.gamma(9.0, size=150)) for _ in range(300)])
    assert runs[:, 1].mean() / runs[:, 0].std() == pytest.approx(1.0, abs=0.2)


def test_errors_of_fractions_do_not_vanish():
    assert copies(np.ones(100)) == (0.0, pytest.approx(0.0134, abs=1e-3))
    assert copies(np.zeros(100))[1] == pytest.approx(copies(np.ones(100))[1])
    assert share(np.array([0.5, 1.0]))[0] == 0.75


def test_copies_are_caught_by_every_measure():
    """Training images, as they are and two levels off: all alarms, which fresh data do not raise, at 5 errors."""
    rng = np.random.default_rng(3)
    train, test, held_out, fresh = (images(rng, n) for n in (400, 300, 400, 300))
    of_test = nearest(test, train)[0][:, 0]

    def measured(samples):
        distance, of_neighbour = distances(samples, train)
        return {
            "nn_ratio": (nn_ratio(distance[:, 0], of_test), 1.0),
            "duplicates": (duplicates(distance), 0.0),
            "authenticity": (authenticity(distance[:, 0], of_neighbour), None),
            "dcr_share": (dcr_share(samples, train, held_out), 0.5),
            "c_t": (c_t(samples, test, train, rng=np.random.default_rng(0)), 0.0),
        }

    honest = measured(fresh)
    for name, ((value, se), expected) in honest.items():
        assert expected is None or abs(value - expected) < 4 * se, name
    for samples in (train[:300], off(rng, train[:300], 2)):
        for name, ((value, se), _) in measured(samples).items():
            (other, other_se), _ = honest[name]
            side = 1 if name in ("duplicates", "dcr_share") else -1
            assert side * (value - other) > 5 * max(se, other_se), name
        assert measured(samples)["authenticity"][0][0] < 0.02
        assert measured(samples)["dcr_share"][0][0] > 0.95
    assert copies(nearest(train[:300], train)[0][:, 0])[0] == 1


def test_duplicates_of_an_image_that_the_training_set_holds_twice():
    """Both distances are 0: a copy nonetheless; and no copy is authentic."""
    train = np.array([[0, 0], [0, 0], [9, 9]])
    distance, of_neighbour = distances(train[:1], train)
    assert duplicates(distance)[0] == 1
    assert authenticity(distance[:, 0], of_neighbour)[0] == 0


def test_authenticity_by_its_definition():
    rng = np.random.default_rng(4)
    train, samples = rng.normal(size=(30, 2)), rng.normal(size=(50, 2))
    hits = []
    for sample in samples:
        i = np.linalg.norm(train - sample, axis=1).argmin()
        rest = np.linalg.norm(np.delete(train, i, 0) - train[i], axis=1).min()
        hits.append(np.linalg.norm(train[i] - sample) > rest)
    distance, of_neighbour = distances(samples, train)
    assert authenticity(distance[:, 0], of_neighbour)[0] == np.mean(hits)


def test_authenticity_of_fresh_data_on_a_line():
    """Uniform points on a long line, whose gaps are exponential: 1/3, here to 4 errors of the mean of 40 draws.

    The training point nearest to a sample, at distance d, has its next one on the far side at a gap g, exponential with
    rate 1; on the sample's own side it is further than d for certain. P[g < d] = E[1 - exp(-d)] = 1/3, d having rate 2.
    """
    rng = np.random.default_rng(5)
    found = []
    for _ in range(40):
        train, samples = rng.uniform(0, 300, (300, 1)), rng.uniform(5, 295, (300, 1))
        distance, of_neighbour = distances(samples, train)
        found.append(authenticity(distance[:, 0], of_neighbour)[0])
    assert abs(np.mean(found) - 1 / 3) < 4 * np.std(found) / np.sqrt(40)


@pytest.mark.parametrize(("dim", "n", "h"), [(2, 200, 100), (40, 400, 100)])
def test_share_of_the_closer_half_covers_one_half(dim, n, h):
    """400 redraws of everything: 95 % intervals hold one half in 92.5 to 98.5 % (1 % false alarms each way).

    In 40 dimensions a binomial error covers far less: few images are the nearest of most samples.
    """
    rng = np.random.default_rng(6)
    found = np.array([dcr_share(*(rng.normal(size=(size, dim)) for size in (n, h, h))) for _ in range(400)])
    inside = np.abs(found[:, 0] - 0.5) <= 1.96 * found[:, 1]
    assert 0.925 <= inside.mean() <= 0.985
    if dim == 40:
        binomial = np.abs(found[:, 0] - 0.5) <= 1.96 * np.sqrt(0.25 / n)
        assert binomial.mean() < 0.8


def test_share_of_the_closer_half_counts_ties_as_halves():
    x = np.zeros((20, 3))
    assert dcr_share(x, x[:5], x[:5])[0] == 0.5
    with pytest.raises(ValueError, match="expected as many of both"):
        dcr_share(x, x[:5], x[:4])


def test_data_copying_statistic_is_standard_normal_on_fresh_data():
    """200 redraws: C_T over its error has mean 0 and spread 1, to 3.3 errors of each (2e-3 false alarms)."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        train, test, fresh = (rng.normal(size=(n, 3)) for n in (150, 120, 120))
        value, se = c_t(fresh, test, train, rng=rng, cells=3)
        found.append(value / se)
    assert abs(np.mean(found)) < 3.3 / np.sqrt(200)
    assert abs(np.std(found) - 1) < 3.3 / np.sqrt(400)


def test_data_copying_statistic_of_one_cell_is_mann_whitneys():
    rng = np.random.default_rng(8)
    train, test, samples = rng.normal(size=(60, 2)), rng.normal(size=(50, 2)), 0.3 * rng.normal(size=(70, 2))
    ours, others = (nearest(x, train)[0][:, 0] for x in (samples, test))
    u = mannwhitneyu(ours, others).statistic
    z = (u - 70 * 50 / 2) / np.sqrt(70 * 50 * 121 / 12)
    assert c_t(samples, test, train, rng=rng, cells=1) == (pytest.approx(z), 1.0)


def test_cells_weigh_by_their_test_images():
    """Two far cells; copies in the one with a quarter of the test images, and one cell without samples left out."""
    rng = np.random.default_rng(9)
    centre = np.array([[0.0, 0.0], [1000.0, 0.0], [0.0, 1000.0]])

    def draw(*sizes):
        return np.concatenate([c + rng.normal(size=(n, 2)) for c, n in zip(centre, sizes, strict=True)])

    train, test = draw(100, 100, 100), draw(30, 90, 40)
    samples = np.concatenate([train[:50], centre[1] + rng.normal(size=(50, 2)), centre[2] + rng.normal(size=(5, 2))])
    value, se = c_t(samples, test, train, rng=rng, cells=3)
    assert se == pytest.approx(np.hypot(0.25, 0.75))
    copied = (0 - 50 * 30 / 2) / np.sqrt(50 * 30 * 81 / 12)
    fresh, held_out = (nearest(x, train[100:200])[0][:, 0] for x in (samples[50:100], test[30:120]))
    u = mannwhitneyu(fresh, held_out).statistic
    assert value == pytest.approx(0.25 * copied + 0.75 * (u - 50 * 90 / 2) / np.sqrt(50 * 90 * 141 / 12))

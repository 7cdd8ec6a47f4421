"""Distances of draws from their target: closed forms, definitions, and the law of exact draws."""

import math

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import wasserstein_distance

from gm.metrics import draws
from gm.sampling.diagnostics import mode_tv_null


def rng(seed):
    return np.random.default_rng(seed)


def exact(source, sets, n, d):
    return (source.normal(size=(n, d)) for _ in range(sets))


def z(values, expected):
    return (np.mean(values) - expected) / (np.std(values, ddof=1) / math.sqrt(len(values)))


@pytest.fixture(scope="module")
def problem():
    """A Gaussian reference, and the null of 64 draws of it in two dimensions."""
    source = rng(0)
    reference = source.normal(size=(500, 2))
    return reference, draws.null(reference, exact(source, 1000, 64, 2), rng=rng(1), directions=16)


def test_mmd_is_its_definition():
    source = rng(0)
    x, y, h = source.normal(size=(7, 3)), source.normal(size=(9, 3)) + 1, 1.7

    def mean(a, b, same):
        values = [
            math.exp(-(np.linalg.norm(p - q) ** 2) / (2 * h**2))
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (same and i == j)
        ]
        return sum(values) / len(values)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    assert draws.mmd2(x, y, h) == pytest.approx(expected, rel=1e-12)
    assert draws.mmd2(x, y, h, np.full(7, 3.0)) == pytest.approx(expected, rel=1e-12)


def test_mmd_of_two_gaussians():
    """Mean over 300 pairs of sets against the closed form, |z| < 4.5: false alarm 1e-5."""
    source, a, h, d = rng(1), 0.7, 1.3, 2
    kernel = (h**2 / (h**2 + 2)) ** (d / 2)
    expected = 2 * kernel * (1 - math.exp(-(a**2) / (2 * (h**2 + 2))))
    shift = np.array([a, 0.0])
    values = [draws.mmd2(source.normal(size=(20, d)) + shift, source.normal(size=(25, d)), h) for _ in range(300)]
    assert abs(z(values, expected)) < 4.5


def test_mmd_is_unbiased():
    """Mean 0 over 400 pairs of sets of one law, |z| < 4.5: false alarm 1e-5. A diagonal would add 0.03 to it."""
    source = rng(2)
    values = [draws.mmd2(source.normal(size=(20, 3)), source.normal(size=(30, 3)), 1.5) for _ in range(400)]
    assert abs(z(values, 0.0)) < 4.5
    assert np.std(values) < 0.03


def test_blocks_and_origin_change_nothing(monkeypatch):
    x, y = rng(3).normal(size=(2, 50, 4))
    whole = draws.mmd2(x, y, 1.5), draws.median_distance(y)
    monkeypatch.setattr(draws, "ENTRIES", 350)
    assert draws.mmd2(x, y, 1.5) == pytest.approx(whole[0], rel=1e-12)
    assert draws.mmd2(x + 1e4, y + 1e4, 1.5) == pytest.approx(whole[0], abs=1e-9)
    assert draws.median_distance(y + 1e4) == pytest.approx(whole[1], rel=1e-9)


def test_median_distance():
    assert draws.median_distance(np.array([[0.0], [1.0], [3.0]])) == pytest.approx(2.0, rel=1e-12)


def test_sliced_w2_of_a_shift_is_that_of_its_projections():
    source = rng(4)
    r, a = source.normal(size=(40, 3)), np.array([1.0, -2.0, 0.5])
    axes = np.linalg.qr(source.normal(size=(3, 3)))[0]
    assert draws.sliced_w2(r + a, r, axes) == pytest.approx(a @ a / 3, rel=1e-12)
    assert draws.sliced_w2(2 * r, r, axes) == pytest.approx(np.square((r - 0.0) @ axes.T).mean(), rel=1e-12)


def test_sliced_w2_of_two_gaussians():
    """Scale 2, shift 1.5 in one dimension: 1.5^2 + (2 - 1)^2; the spread is 1 %, the band five of it."""
    source = rng(5)
    value = draws.sliced_w2(2 * source.normal(size=(40_000, 1)) + 1.5, source.normal(size=(40_000, 1)), np.ones((1, 1)))
    assert value == pytest.approx(3.25, rel=0.06)


def test_sliced_w2_of_unlike_sizes_and_weights():
    """Quantile functions put side by side on a fine common grid; and weights 1, 2 are draws written once, twice."""
    source = rng(6)
    x, r, log_w = source.normal(size=(6, 1)), source.normal(size=(4, 1)) + 1, np.log([1.0, 2, 3, 1, 4, 1])
    repeated = np.repeat(x, [1, 2, 3, 1, 4, 1], axis=0)
    fine = [np.repeat(np.sort(rows[:, 0]), 144 // len(rows)) for rows in (x, r)]
    assert draws.sliced_w2(x, r, np.ones((1, 1))) == pytest.approx(np.square(fine[0] - fine[1]).mean(), rel=1e-12)
    weighted = draws.sliced_w2(x, r, np.ones((1, 1)), log_w)
    assert weighted == pytest.approx(draws.sliced_w2(repeated, r, np.ones((1, 1))), rel=1e-12)
    point = draws.sliced_w2(np.zeros((2, 1)), r, np.ones((1, 1)), np.array([0.0, -5.0]))
    assert point == pytest.approx(np.square(r).mean(), rel=1e-12)
    assert wasserstein_distance(x[:, 0], r[:, 0]) ** 2 <= draws.sliced_w2(x, r, np.ones((1, 1)))


def test_moment_errors():
    """One draw pair of mean 1 about a reference of mean 0, variance 1 and fourth moment 1.5."""
    r = np.array([[-math.sqrt(2)], [math.sqrt(2)], [0.0], [0.0]]) + 5
    x = np.array([[2.0], [0.0]]) + 5
    assert draws.moment_errors(x, r) == pytest.approx(np.array([1.0, 1.0]))
    assert draws.moment_errors(x, r, np.log([3.0, 1.0])) == pytest.approx(np.array([2.25, 4.0]))
    with pytest.raises(ValueError, match="no variance"):
        draws.moment_errors(x, np.ones((4, 1)))
    constant = np.hstack([r, np.ones_like(r)])
    assert len(draws.moment_errors(np.hstack([x, x]), constant)) == 2


def test_b2_of_exact_draws_is_one_over_n():
    """Mean of b2 over 500 sets of 50 draws and 3 coordinates, |z| < 4.5: false alarm 1e-5."""
    source = rng(7)
    reference = source.normal(size=(4_000, 3))
    each = [draws.moment_errors(source.normal(size=(50, 3)), reference).mean() for _ in range(500)]
    assert abs(z(each, 1 / 50 + 1 / 4_000)) < 4.5


def test_null_is_calibrated(problem):
    """Of 400 fresh sets of exact draws 5 % lie above the null's 95 % quantile: 3 to 38, false alarm about 1e-3 (the
    quantile's own error counted), seeds fixed; and their mean ratio is 1, |z| < 4.5: 1e-5."""
    reference, null = problem
    found = draws.scores(rng(2).normal(size=(400, 64, 2)), reference, null)
    for name, (mean, sd, q95) in draws.laws(null).items():
        assert mean == pytest.approx(1.0)
        assert 3 <= (found[name] > q95).sum() <= 38
        assert abs(found[name].mean() - 1) < 4.5 * sd * math.sqrt(1 / 400 + 1 / 1000)


def test_ratio_is_n_over_what_the_draws_are_worth(problem):
    """16 exact draws, each written four times or with all the weight: ratio 64/16 (|z| < 4.5 for the mean of 200).

    The reference's own share moves sliced W2 below 4: 3 to 4.2.
    """
    reference, null = problem
    x = rng(3).normal(size=(200, 16, 2))
    repeated = np.repeat(x, 4, axis=1)
    padded = np.concatenate([x, np.ones((200, 48, 2))], axis=1)
    log_w = np.where(np.arange(64) < 16, 0.0, -np.inf) * np.ones((200, 1))
    twice = draws.scores(repeated, reference, null), draws.scores(padded, reference, null, log_w=log_w)
    for found in twice:
        assert abs(z(found["mmd"], 4.0)) < 4.5
        assert 3 < found["sliced_w2"].mean() < 4.2
        assert 0.5 < found["b2_mean"].mean() * 16 < 2
    assert twice[0]["mmd"] == pytest.approx(twice[1]["mmd"], rel=1e-9)


def test_importance_weights_bring_a_wrong_law_back(problem):
    """Draws of N(0.5, I) weighted to N(0, I) have smaller errors than without; errors scale with weights, not order."""
    reference, null = problem
    x = rng(4).normal(size=(50, 64, 2)) + 0.5
    log_w = (0.5**2 / 2 - 0.5 * x).sum(-1)
    plain, weighted = draws.scores(x, reference, null), draws.scores(x, reference, null, log_w=log_w + 700)
    for name in ("mmd", "sliced_w2", "b2_mean"):
        assert weighted[name].mean() < plain[name].mean() / 2, name
    order = rng(5).permutation(64)
    again = draws.scores(x[:, order], reference, null, log_w=log_w[:, order])
    for name, values in again.items():
        assert values == pytest.approx(weighted[name], rel=1e-9), name


def test_scores_see_a_missing_mode():
    """Half of the mass lost: mode_tv 1/2, where exact draws have 0.04; the distances far above their null."""
    source = rng(6)

    def mixture(n, share):
        label = (source.random(n) < share).astype(int)
        return source.normal(size=(n, 2)) + 4 * label[:, None], label

    reference = mixture(1000, 0.5)[0]
    null = draws.null(reference, (mixture(100, 0.5)[0] for _ in range(40)), rng=rng(7))
    weight = np.array([0.5, 0.5])
    for share, low, high in ((0.5, 0.0, 0.2), (0.0, 0.5, 0.5)):
        sets = [mixture(100, share) for _ in range(5)]
        x, label = (np.stack(part) for part in zip(*sets, strict=True))
        found = draws.scores(x, reference, null, modes=(label, weight))
        assert ((low <= found["mode_tv"]) & (found["mode_tv"] <= high)).all()
        assert (found["mmd"].mean() > 10) == (found["sliced_w2"].mean() > 10) == (share == 0.0)
    assert mode_tv_null(weight, 100) == pytest.approx(0.04, abs=0.001)


def test_summary():
    rows = {
        row["metric"]: row for row in draws.summary({"mmd": np.array([1.0, 2, 6]), "b2_mean": np.array([0.1, 0.3])}, 8)
    }
    assert list(rows) == ["mmd", "b2_mean", "ess", "ess_per_gradient"]
    half = student.ppf(0.975, 2) * math.sqrt(7 / 3)
    assert rows["mmd"]["value"] == 3.0 and rows["mmd"]["n"] == 3
    assert draws.NORMAL * rows["mmd"]["se"] == pytest.approx(half)
    assert rows["ess"]["value"] == pytest.approx(5.0) and rows["ess_per_gradient"]["value"] == pytest.approx(5 / 8)
    assert rows["ess"]["se"] == pytest.approx(rows["b2_mean"]["se"] * 25)
    assert rows["ess_per_gradient"]["se"] == pytest.approx(rows["ess"]["se"] / 8)
    assert "ess_per_gradient" not in {row["metric"] for row in draws.summary({"b2_mean": np.array([0.1, 0.3])})}
    with pytest.raises(ValueError, match="1 replicate"):
        draws.summary({"mmd": np.ones(1)})


def test_the_null_has_the_moment_errors_of_exact_draws(problem):
    """Mean over 1000 sets 1/64 + 1/500, up to the reference's own luck, within a fifth."""
    _, null = problem
    assert null["b2"].shape == (1000,) and null["b2"].mean() == pytest.approx(1 / 64 + 1 / 500, rel=0.2)


def test_ess_from_error_is_n_for_exact_draws(problem):
    """400 replicates of 64: 1 / (1/64 + 1/500) up to the reference's own luck, within a fifth."""
    reference, null = problem
    table = draws.scores(rng(8).normal(size=(400, 64, 2)), reference, null)
    ess = next(row["value"] for row in draws.summary(table) if row["metric"] == "ess")
    assert ess == pytest.approx(1 / (1 / 64 + 1 / 500), rel=0.2)
    assert (table["b2_worst"] >= table["b2_mean"]).all()


def test_errors(problem):
    reference, null = problem
    x = np.zeros((2, 64, 2))
    for call, text in (
        (lambda: draws.scores(x[:, :10], reference, null), "expected \\[G, 64, d\\]"),
        (lambda: draws.scores(np.full_like(x, np.nan), reference, null), "64 of 64 draws are not finite"),
        (lambda: draws.scores(x, reference, null, log_w=np.full((2, 64), -np.inf)), "maximum -inf"),
        (lambda: draws.scores(x, reference, null, log_w=np.zeros((2, 10))), "expected \\[64\\]"),
        (lambda: draws.scores(x[:, :, :1], reference, null), "one width"),
        (lambda: draws.null(reference, exact(rng(0), 5, 9, 2), rng=rng(0)), "at least 20"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


def test_ruler_is_of_the_reference_alone(problem):
    """The bandwidth, and the unit (1 - kappa)/(n - 1), by hand."""
    reference, null = problem
    assert null["bandwidth"] == draws.median_distance(reference)
    x = rng(9).normal(size=(1, 64, 2))
    D = draws.mmd2(x[0], reference, draws.median_distance(reference))
    pairs = np.square(reference[:, None] - reference).sum(-1)
    kernel = np.exp(-pairs / (2 * null["bandwidth"] ** 2))[~np.eye(500, dtype=bool)].mean()
    found = draws.scores(x, reference, null)
    assert found["mmd"] == pytest.approx(1 + (D - null["mmd"].mean()) * 63 / (1 - kernel), rel=1e-9)
    assert found["sliced_w2"][0] * null["sliced_w2"].mean() == pytest.approx(
        draws.sliced_w2(x[0], reference, null["directions"]), rel=1e-12
    )

"""Diagnostics of chains and weights against theory and definitions."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import lfilter

from gm.sampling.diagnostics import ess, mode_tv, mode_tv_null, nested_rhat, pareto_k, rhat


def rng(seed):
    return np.random.default_rng(seed)


def autoregressive(source, shape, rho):
    """Stationary AR(1) chains of variance 1 along the last axis; ess = n (1 - rho) / (1 + rho)."""
    noise = source.normal(size=shape) * math.sqrt(1 - rho**2)
    noise[..., 0] /= math.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.6, 0.9])
def test_bulk_size_of_autoregressive_chains(rho):
    """Mean of 20 runs of 4 chains of 2000 against theory, to 7 % (the spread of the mean is 2 %): 1e-3 a case."""
    found = np.mean([ess(autoregressive(rng(seed), (4, 2000), rho))[0] for seed in range(20)])
    assert found == pytest.approx(8000 * (1 - rho) / (1 + rho), rel=0.07)


def test_tail_size_sees_what_the_bulk_does_not():
    """Independent draws have both sizes near their number; one whose scale wanders has small tails (seeds fixed)."""
    z = rng(0).normal(size=(4, 1000))
    bulk, tail = ess(z)
    assert 3000 < bulk < 5000 and 3000 < tail < 5000
    wandering = z * np.exp(1.5 * autoregressive(rng(1), (4, 1000), 0.98))
    assert ess(wandering)[1] < 500 < ess(wandering)[0]


def test_rhat_of_agreeing_shifted_and_stretched_chains():
    """1 for chains that agree (4 runs below 1.01), above 1.1 where one is shifted, wider, or drifts (split)."""
    for seed in range(4):
        assert 0.995 < rhat(rng(seed).normal(size=(4, 1000))) < 1.01
    z = rng(9).normal(size=(4, 1000))
    assert rhat(z + np.array([[0.0], [0], [0], [2]])) > 1.1
    assert rhat(z * np.array([[1.0], [1], [1], [4]])) > 1.1
    assert rhat(z + np.linspace(-1, 1, 1000)) > 1.1
    assert rhat(np.tan(np.arctan(z) * 0.999)) == pytest.approx(rhat(z), abs=1e-9)


def test_worst_coordinate_counts():
    z = rng(2).normal(size=(4, 500, 3))
    z[0, :, 1] += 3
    z[:, :, 2] = autoregressive(rng(3), (4, 500), 0.95)
    assert rhat(z) == rhat(z[:, :, 1])
    assert ess(z)[0] == min(ess(z[:, :, k])[0] for k in range(3))
    assert nested_rhat(z[:, None]) == pytest.approx(nested_rhat(z[:, None, :, 1]), rel=1e-12)


def test_chains_that_stand_still_are_worth_nothing():
    z = rng(4).normal(size=(4, 100, 2))
    z[:, :, 1] = 3.0
    assert ess(z) == (0.0, 0.0) and rhat(z) == nested_rhat(z[:, None]) == math.inf
    apart = np.arange(4.0)[:, None] * np.ones((4, 100))
    assert ess(apart) == (0.0, 0.0) and rhat(apart) == nested_rhat(apart[:, None]) == math.inf


def test_nested_rhat_is_its_definition():
    x = rng(5).normal(size=(3, 4, 5)) + rng(6).normal(size=(3, 1, 1))
    mean = [np.mean(superchain) for superchain in x]
    grand = sum(mean) / 3
    between = sum((m - grand) ** 2 for m in mean) / 2
    within = 0.0
    for k in range(3):
        within += sum((np.mean(x[k, m]) - mean[k]) ** 2 for m in range(4)) / 3 / 3
        within += sum((x[k, m, n] - np.mean(x[k, m])) ** 2 for m in range(4) for n in range(5)) / 4 / 4 / 3
    assert nested_rhat(x) == pytest.approx(math.sqrt(1 + between / within), rel=1e-12)


def test_nested_rhat_is_that_of_the_reference_code():
    from arviz_stats.base import array_stats

    x = rng(7).normal(size=(6, 8, 10)) + 0.3 * rng(8).normal(size=(6, 1, 1))
    expected = array_stats.rhat_nested(x.reshape(48, 10), np.repeat(np.arange(6), 8), method="identity")
    assert nested_rhat(x) == pytest.approx(float(expected), rel=1e-12)


def test_nested_rhat_of_one_draw_per_chain():
    """Square 1 + 1/M at stationarity (mean of 400 runs, |z| < 4.5: 1e-5), far above it for superchains apart."""
    source, M = rng(9), 64
    squares = np.array([nested_rhat(source.normal(size=(8, M, 1))) ** 2 for _ in range(400)])
    spread = squares.std(ddof=1) / math.sqrt(400)
    assert abs(squares.mean() - (1 + 1 / M)) < 4.5 * spread
    apart = source.normal(size=(8, M, 1)) + np.arange(8)[:, None, None]
    assert nested_rhat(apart) > 2
    assert nested_rhat(source.normal(size=(8, 1, 200))) < 1.02


@pytest.mark.parametrize("k", [-0.4, 0.0, 0.3, 0.7, 1.2])
def test_pareto_k_of_a_generalised_pareto_sample(k):
    """Mean of 100 samples of 20 000 to 0.04: five times its error (the spread of one is about 0.07)."""
    source = rng(10)
    u = source.random((100, 20_000))
    log_w = np.log(-np.log(u)) if k == 0 else np.log((u**-k - 1) / k)
    assert np.mean([pareto_k(row) for row in log_w]) == pytest.approx(k, abs=0.04)


def test_pareto_k_is_of_the_largest_weights_whatever_their_scale():
    log_w = 0.8 * rng(11).exponential(size=4000)
    assert pareto_k(log_w) == pytest.approx(0.8, abs=0.25)
    assert pareto_k(-log_w) < 0.1
    assert pareto_k(log_w + 5000) == pytest.approx(pareto_k(log_w), abs=1e-6)
    assert pareto_k(log_w - 5000) == pytest.approx(pareto_k(log_w), abs=1e-6)
    assert pareto_k(log_w.reshape(40, 100)) == pareto_k(log_w)
    assert pareto_k(np.concatenate([log_w, np.full(10, -np.inf)])) == pytest.approx(pareto_k(log_w), abs=0.02)


def test_pareto_k_is_that_of_the_reference_code():
    from arviz_stats.base import array_stats

    for scale in (0.3, 0.6, 1.0):
        log_w = scale * rng(12).exponential(size=1000)
        expected = array_stats.psislw(-log_w)[1]  # it takes log ratios with the other sign
        assert pareto_k(log_w) == pytest.approx(float(expected), abs=0.02)


def test_pareto_k_where_there_is_no_tail():
    dominated = np.full(100, -np.inf)
    dominated[3] = 0.0
    assert pareto_k(dominated) == math.inf
    assert pareto_k(np.arange(10.0)) == math.inf
    assert pareto_k(np.zeros(100)) == 0.0
    assert pareto_k(300 * rng(13).normal(size=1000)) > 1
    for bad in (np.array([]), np.full(3, -np.inf), np.array([0.0, np.nan]), np.array([0.0, np.inf])):
        with pytest.raises(ValueError, match="expected a finite number"):
            pareto_k(bad)


def test_mode_tv():
    weight = np.array([0.5, 0.3, 0.2])
    label = np.array([0] * 5 + [1] * 3 + [2] * 2)
    assert mode_tv(label, weight) == pytest.approx(0.0, abs=1e-15)
    assert mode_tv(np.zeros(7, int), weight) == pytest.approx(0.5)
    assert mode_tv(np.arange(3), weight, np.log(weight) + 900) == pytest.approx(0.0, abs=1e-12)
    for bad in (np.array([3]), np.array([-1]), np.array([], int)):
        with pytest.raises(ValueError, match="expected \\[n\\], each in 0..2"):
            mode_tv(bad, weight)
    with pytest.raises(ValueError, match="probabilities"):
        mode_tv(label, np.array([0.5, 0.2, 0.2]))


def test_mode_tv_null_is_the_mean_over_all_outcomes():
    weight = np.array([0.5, 0.3, 0.2])
    for n in (1, 2, 5):
        outcomes = [np.array(labels) for labels in itertools.product(range(3), repeat=n)]
        mean = sum(np.prod(weight[labels]) * mode_tv(labels, weight) for labels in outcomes)
        assert mode_tv_null(weight, n) == pytest.approx(mean, rel=1e-12)
    assert mode_tv_null(np.array([1.0, 0.0]), 9) == 0.0
    assert mode_tv_null(np.array([0.5, 0.5]), 10**6) == pytest.approx(math.sqrt(2 / math.pi) / 2e3, rel=1e-3)


def test_too_few_and_not_finite():
    for call, text in (
        (lambda: rhat(np.zeros((1, 10))), "chains >= 2"),
        (lambda: ess(np.zeros((2, 3))), "draws >= 4"),
        (lambda: nested_rhat(np.zeros((1, 4, 4))), "K >= 2"),
        (lambda: nested_rhat(np.zeros((4, 1, 1))), "M N >= 2"),
        (lambda: rhat(np.full((2, 8), np.nan)), "16 of 16 entries are not finite"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


def test_importing_is_light():
    code = "import sys, gm.sampling.diagnostics; print(sorted({'torch', 'scipy', 'arviz_stats'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

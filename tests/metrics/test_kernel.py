"""The kernel distance against loops, torchmetrics, its null mean and its jackknife."""

import numpy as np
import pytest

from gm.metrics import kernel
from gm.metrics.kernel import kid


def naive(x, y):
    def k(a, b):
        return (a @ b / x.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    within_x = np.mean([k(x[i], x[j]) for i in range(n) for j in range(n) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(m) for j in range(m) if i != j])
    return within_x + within_y - 2 * np.mean([k(a, b) for a in x for b in y])


def spread(x, y):
    """Mean square of the doubly centred kernel over pairs, those of a row with itself left out; in sums over n m."""
    table = np.array([[(a @ b / x.shape[1] + 1) ** 3 for b in y] for a in x])
    if x is y:
        np.fill_diagonal(table, np.nan)
    centred = table - np.nanmean(table, 1, keepdims=True) - np.nanmean(table, 0, keepdims=True) + np.nanmean(table)
    return np.nansum(centred**2) / table.size


def test_equals_the_definition_and_its_jackknife():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(9, 3)) + 0.5
    value, se = kid(x, y)
    without_x = np.array([naive(np.delete(x, i, 0), y) for i in range(12)])
    without_y = np.array([naive(x, np.delete(y, i, 0)) for i in range(9)])
    assert value == pytest.approx(naive(x, y), rel=1e-12)
    second_order = 2 * spread(x, x) / 12**2 + 2 * spread(y, y) / 9**2 + 4 * spread(x, y) / (12 * 9)
    assert second_order < 0.2 * se**2
    assert se**2 == pytest.approx(11 * without_x.var() + 8 * without_y.var() - second_order, rel=1e-10)


@pytest.mark.slow  # its import takes seconds
def test_equals_torchmetrics():
    torch, kid_module = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.image.kid")
    x, y = np.random.default_rng(3).normal(size=(2, 80, 32))
    expected = kid_module.poly_mmd(torch.from_numpy(x), torch.from_numpy(y + 0.2), degree=3, gamma=None, coef=1.0)
    assert kid(x, y + 0.2)[0] == pytest.approx(float(expected), rel=1e-12)


def test_blocks_change_nothing(monkeypatch):
    x, y = np.random.default_rng(1).normal(size=(2, 50, 4))
    whole = kid(x, y)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert kid(x, y) == pytest.approx(whole, rel=1e-12)


def test_unbiased_under_the_null_with_an_honest_error():
    """400 replicates: mean within five errors of 0, rms error 0.8 to 1.25 spreads; false alarms below 1e-5."""
    rng = np.random.default_rng(2)
    runs = np.array([kid(rng.normal(size=(60, 4)), rng.normal(size=(80, 4))) for _ in range(400)])
    spread = runs[:, 0].std()
    assert abs(runs[:, 0].mean()) < 5 * spread / np.sqrt(400)
    assert 0.8 < np.sqrt(np.square(runs[:, 1]).mean()) / spread < 1.25


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="at least 3"):
        kid(np.zeros((2, 3)), np.zeros((5, 3)))

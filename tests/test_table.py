"""Intervals over seeds against SciPy, and verdicts against differences whose truth was put in."""

import math

import numpy as np
import pytest

from gm.table import checks, curves, interval, paired, summary, views

ROW = {"benchmark": "b", "dataset": "d", "model": "m", "seed": "0", "metric": "x", "se": "0.5", "n": "9"}
ROW |= {"kind": "estimate"}


def scores(lower, upper=None, kinds=("exact", "exact"), **constants):
    upper = lower if upper is None else upper
    return {"lower_test": lower, "upper_test": upper, "kinds": np.array(kinds), **constants}


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.3, -0.1, 4.0], list(np.linspace(0, 1, 9) ** 2)])
def test_interval_is_students(values):
    from scipy import stats

    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    row = summary.summarise([ROW | {"value": str(v), "status": "ok"} for v in values], {("d", "m"): len(values)})[0]
    assert (row["low"], row["high"]) == pytest.approx(expected, rel=1e-12)
    assert row["se"] == pytest.approx(stats.sem(values), rel=1e-12)
    assert row["over"] == "seeds"


def test_the_interval_of_a_share_ends_at_zero_and_one():
    """An area near 1 with errors that reach beyond; of a distance near 0 the interval may reach below."""
    for metric, values, ends in (("auroc/nll/x", (0.9, 1.0), (0, 1)), ("FD_pca@9", (0.1, 0.3), None)):
        rows = [ROW | {"metric": metric, "value": str(v), "status": "ok"} for v in values]
        row = summary.summarise(rows, {("d", "m"): 2})[0]
        half = interval.half_width(values)
        low, high = np.mean(values) - half, np.mean(values) + half
        assert (row["low"], row["high"]) == pytest.approx((max(low, 0), min(high, 1)) if ends else (low, high))


def test_one_seed_has_an_interval_over_items_only():
    row = summary.summarise([ROW | {"value": "1", "status": "ok"}], {("d", "m"): 3})[0]
    assert row["over"] == "items" and row["high"] == pytest.approx(1 + 0.5 * interval.NORMAL)
    assert (row["n_ok"], row["n_planned"]) == (1, 3)


def test_failed_seeds_are_counted_and_left_out():
    rows = [ROW | {"value": "1", "status": "ok"}, ROW | {"value": "9", "status": "diverged"}]
    row = summary.summarise(rows, {("d", "m"): 2})[0]
    assert (row["mean"], row["n_ok"], row["n_planned"]) == (1.0, 1, 2)


def test_infinite_ends_stay_infinite_without_an_interval():
    rows = [ROW | {"value": value, "status": "ok"} for value in ("1", "-inf")]
    row = summary.summarise(rows, {("d", "m"): 2})[0]
    assert row["mean"] == -math.inf and row["low"] is None


def test_across_covers_a_mean_whose_errors_are_shared_or_not():
    """Interval over three seeds with shared item noise; false alarm below 1e-6 (binomial, 2000 repeats, 0.95)."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = rng.normal(0, 1.0) + rng.normal(0, 0.5, 3)
        mean, half = interval.across(values, [1.0] * 3)
        hits += abs(mean) <= half
    assert hits / 2000 > 0.95 - 5 * math.sqrt(0.95 * 0.05 / 2000)


def test_likelihood_takes_the_ends_against_the_claim():
    y = np.arange(10.0)
    a = scores(y + 3, y + 4, ("heuristic", "certified"), shared_se=0.3)
    b = scores(y, y + 1, ("certified", "heuristic"), shared_se=0.4)
    row = paired.likelihood(a, b)
    assert (row["lower"], row["upper"]) == (2.0, 4.0)
    assert row["lower_se"] == pytest.approx(0.5)
    assert (row["kind_lower"], row["kind_upper"]) == ("heuristic", "certified")


def test_likelihood_pairs_by_image():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 100, 50)
    row = paired.likelihood(scores(hard + 1 + rng.normal(0, 0.1, 50)), scores(hard))
    assert row["lower_se"] < 0.05 and abs(row["lower"] - 1) < 0.2


def test_likelihood_gives_up_the_slack_of_certified_ends_only():
    y = np.zeros(10)
    certified = scores(y, y + 1, ("certified", "heuristic"), slack=np.float64(5.0))
    exact = scores(y)
    assert paired.likelihood(certified, exact)["lower"] == -0.5
    assert paired.likelihood(certified, exact)["upper"] == 1.0
    assert paired.likelihood(exact, certified)["upper"] == 0.5


def test_an_end_that_does_not_exist_is_unbounded():
    y = np.zeros(5)
    row = paired.likelihood(scores(y + 2, y + np.inf, ("certified", "none")), scores(y))
    final = paired.fold([row | {"seed": seed} for seed in (0, 1)], 2)[-1]
    assert (final["upper"], final["high"], final["kind_upper"]) == (math.inf, math.inf, "none")
    assert final["verdict"] == paired.WINS
    assert "unbounded" in checks.sentence(final | {"verdict": paired.OPEN} | {k: "x" for k in ("model", "reference")}
                                          | {"quantity": "logp"})  # fmt: skip


def test_likelihood_refuses_other_images():
    with pytest.raises(ValueError, match="expected the same images"):
        paired.likelihood(scores(np.zeros(5)), scores(np.zeros(6)))


@pytest.mark.parametrize(
    "values,error,verdict",
    [
        ([1.0, 1.1, 0.9], 0.1, paired.WINS),
        ([-1.0, -1.1, -0.9], 0.1, paired.LOSES),
        ([1.0, 1.1, 0.9], 0.6, paired.OPEN),
        ([0.1, 2.0, 4.0], 0.0, paired.OPEN),
    ],
)
def test_verdict(values, error, verdict):
    rows = paired.fold([{"seed": s} | paired.point(v, error, 9) for s, v in enumerate(values)], 3)
    assert [row["seed"] for row in rows] == [0, 1, 2, "all"]
    assert rows[-1]["verdict"] == verdict


def test_errors_over_seeds_are_standard_errors_and_the_interval_is_students():
    """Three seeds of spread 1 on shared items: s / sqrt(3) and the items' 0.5 in quadrature, no t in it."""
    rows = paired.fold([{"seed": s} | paired.point(v, 0.5, 9) for s, v in enumerate([1.0, 2.0, 3.0])], 3)
    assert [row["lower_se"] for row in rows[:3]] == [0.5] * 3
    assert rows[-1]["lower_se"] == rows[-1]["upper_se"] == pytest.approx(math.hypot(1 / math.sqrt(3), 0.5))
    half = interval.across([1.0, 2.0, 3.0], [0.5] * 3)[1]
    assert half > interval.NORMAL * rows[-1]["lower_se"]
    assert (rows[-1]["low"], rows[-1]["high"]) == pytest.approx((2 - half, 2 + half))


def test_two_scores_at_the_ceiling_are_shown_with_an_interval():
    from gm.metrics.roc import auroc_difference

    inside, outside = np.arange(250.0), np.arange(250.0) + 300
    rows = [{"seed": s} | paired.point(*auroc_difference((inside,) * 2, (outside,) * 2), 500) for s in range(3)]
    final = paired.fold(rows, 3)[-1]
    assert final["verdict"] == paired.OPEN
    assert (f"{final['low']:+.3f}", f"{final['high']:+.3f}") == ("-0.012", "+0.012")


def test_a_wide_interval_wins_only_by_its_lower_end():
    ends = {"lower": (-0.1, 0.01, 9, "heuristic"), "upper": (50.0, 0.01, 9, "certified")}
    assert paired.fold([{"seed": 0} | paired.interval(ends)], 1)[-1]["verdict"] == paired.OPEN


def floor_rows(fresh, model):
    base = ROW | {"metric": "FD_cnn@9", "status": "ok", "se": "0.01"}
    rows = [base | {"model": "resample", "seed": s, "value": str(v)} for s, v in enumerate(fresh)]
    return rows + [base | {"model": "flow", "seed": s, "value": str(v)} for s, v in enumerate(model)]


@pytest.mark.parametrize(
    "model,level", [([0.5, 0.51, 0.49], "alarm"), ([1.0, 1.2, 0.8], "ok"), ([2.0, 2.1, 1.9], "ok")]
)
def test_a_model_better_than_real_images_raises_the_alarm(model, level):
    rows = floor_rows([1.0, 1.0, 1.0], model)
    key = {"benchmark": "b", "dataset": "d", "quantity": "FD_cnn@9", "model": "flow", "reference": "resample"}
    final = paired.lower_is_better(rows, key, 3)[-1]
    models = {"resample": {"family": "control"}, "flow": {"family": "kl"}}
    assert [check["level"] for check in checks.controls("d", models, {}, [final])] == [level]


def test_a_memoriser_that_is_not_caught_raises_the_alarm():
    models = {"resample": {"family": "control"}, "memoriser": {"family": "control"}}

    def found(ratio):
        row = {"se_items": 0.05, "mean": 1.0}
        sums = {("d", "resample", "nn_ratio"): row, ("d", "memoriser", "nn_ratio"): row | {"mean": ratio}}
        return [check["level"] for check in checks.controls("d", models, sums, []) if check["subject"] == "memoriser"]

    assert found(0.0) == ["ok"] and found(1.0) == ["alarm"]


def test_a_failed_control_raises_the_alarm():
    sums = {("d", "copula", "run"): {"n_ok": 2, "n_planned": 3}}
    assert checks.controls("d", {"copula": {"family": "control"}}, sums, [])[0]["level"] == "alarm"


def test_statuses_count_planned_cells():
    cells = [{"dataset": "d", "model": "m", "status": status} for status in ("ok", "diverged")]
    cells.append({"dataset": "d", "model": "k", "status": "skipped"})
    rows = summary.statuses(cells)
    assert [(row["n_ok"], row["n_planned"]) for row in rows] == [(1, 2), (1, 2), (0, 0)]
    assert views.coverage(rows) == {("m", "d"): ("part", "1/2  diverged"), ("k", "d"): ("skipped", "skipped")}


def test_roc_has_the_area_that_ranks_say():
    """Against scikit-learn; the grid of 101 points costs less than 0.01."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(2)
    inside, outside = rng.normal(0, 1, 400), rng.normal(1, 1, 300)
    area = np.trapezoid(curves.roc([(inside, outside)]), curves.GRID)
    assert area == pytest.approx(roc_auc_score([0] * 400 + [1] * 300, [*inside, *outside]), abs=0.01)


def test_nearest_finds_the_copy():
    rng = np.random.default_rng(3)
    train = rng.integers(0, 17, (20, 1, 4, 4))
    near, distance = curves.nearest(train[5:6], train)
    assert np.array_equal(near, train[5:6]) and distance.tolist() == [0.0]


def test_a_number_that_no_seed_moves_has_an_interval_over_items():
    """A control that draws nothing: no spurious certainty from three equal seeds."""
    cell = {"benchmark": "b", "dataset": "d", "model": "m", "metric": "FD", "n": 9, "kind": "estimate", "status": "ok"}
    rows = [cell | {"value": 0.1, "se": 0.2, "seed": seed} for seed in range(3)]
    row = summary.summarise(rows, {("d", "m"): 3})[0]
    assert row["over"] == "items" and row["mean"] == 0.1
    assert row["high"] - row["mean"] == pytest.approx(1.96 * 0.2, rel=1e-3)
    assert row["half_total"] == pytest.approx(1.96 * 0.2, rel=1e-3)


def test_a_count_has_no_interval():
    cell = {"benchmark": "b", "dataset": "d", "model": "m", "metric": "fit/k", "n": 1, "kind": "count", "status": "ok"}
    rows = [cell | {"value": k, "se": "", "seed": k} for k in (20, 40, 40)]
    row = summary.summarise(rows, {("d", "m"): 3})[0]
    assert row["low"] is None and row["half_total"] is None


def test_a_mean_of_bounds_that_hold_by_themselves_is_no_bound():
    cell = {"benchmark": "b", "dataset": "d", "model": "m", "metric": "mia_eps/a", "seed": 0, "n": 9, "status": "ok"}
    rows = [cell | {"value": value, "se": "", "kind": "certified"} for value in (0.5, 1.5)]
    both, one = summary.summarise(rows, {})[0], summary.summarise(rows[:1], {})[0]
    assert (both["mean"], both["kind"], both["half_total"]) == (1.0, "estimate", None)
    assert one["kind"] == "certified"

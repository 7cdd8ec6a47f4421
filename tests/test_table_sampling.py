"""Statistics of the sampling benchmark against SciPy, and against laws whose truth was put in."""

import math

import numpy as np
import pytest

from gm.table import sampling, targets


def held(n, share, level=0.95, z=5.0):
    """Whether a share of n trials is at least `level`, up to z binomial errors."""
    return share > level - z * math.sqrt(level * (1 - level) / n)


@pytest.mark.parametrize(("hits", "n"), [(0, 24), (1, 24), (23, 24), (24, 24), (190, 200)])
def test_share_is_clopper_and_pearsons(hits, n):
    from scipy.stats import binomtest

    expected = binomtest(hits, n).proportion_ci(0.95, "exact")
    row = sampling.share(hits, n)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_pooled_is_students_over_all_replicates_where_seeds_are_alike():
    from scipy import stats

    runs = [np.array([1.0, 2.0, 3.0, 4.0]) + shift for shift in (0.0, 0.1, -0.1)]
    mean = sampling.pooled(runs)
    error = math.sqrt(sum(run.var(ddof=1) / 4 for run in runs)) / 3
    assert (mean.over, mean.n) == ("replicates", 12)
    assert mean.half == pytest.approx(stats.t.ppf(0.975, 9) * error, rel=1e-12)


def test_pooled_is_students_over_seeds_where_they_are_not():
    from scipy import stats

    runs = [np.array([0.0, 0.1, 0.2]) + 5 * seed for seed in range(3)]
    mean, means = sampling.pooled(runs), [run.mean() for run in runs]
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert mean.over == "seeds" and (mean.value - mean.half, mean.value + mean.half) == pytest.approx((low, high))


@pytest.mark.parametrize("between", [0.0, 0.4, 0.7, 3.0])
def test_the_interval_covers_its_mean(between):
    """Three seeds of eight replicates, alike, a little apart or far. Pooling after a look may cost two points of cover,
    a test at 5 % ten; false alarm below 1e-6 (binomial, 2000 repeats, 0.93)."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        runs = [rng.normal(between * rng.normal(), 1.0, 8) for _ in range(3)]
        mean = sampling.pooled(runs)
        hits += abs(mean.value) <= mean.half
    assert held(2000, hits / 2000, 0.93)


def test_the_interval_of_a_root_mean_square_covers_it():
    """Normal errors, 24 replicates: the log interval is that of the chi-square law up to a point or two; false alarm
    below 1e-6 (binomial, 2000 repeats, 0.92)."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(2000):
        row = sampling.positive(sampling.pooled([np.square(rng.normal(0, 0.3, 8)) for _ in range(3)]), 0.5)
        hits += row["low"] <= 0.3 <= row["high"]
    assert held(2000, hits / 2000, 0.92)


def test_a_widened_error_is_narrowed_again():
    from gm.metrics.draws import summary

    values = np.array([1.0, 2.0, 4.0, 8.0])
    (row,) = summary({"mmd": values})
    assert sampling.raw_error(row["se"], 4) == pytest.approx(values.std(ddof=1) / 2, rel=1e-12)


def run(point, width=1.0, kinds=("certified", "heuristic")):
    point = np.asarray(point, np.float64)
    ends = {"lower": point - width, "upper": point + width, "point": point, "alpha": np.full(len(point), 0.05)}
    return ends | {"evals": np.full(len(point), 100), "kinds": np.array([kinds] * len(point))}


def test_estimates_of_a_known_log_z():
    rows = sampling.estimates([run([1.0, 3.0]), run([1.0, 7.0])], 2.0)
    assert rows["rmse"]["value"] == pytest.approx(math.sqrt((1 + 1 + 1 + 25) / 4))
    assert rows["error"]["value"] == 1.0 and rows["lower_error"]["value"] == 0.0 and rows["width"]["value"] == 2.0
    assert rows["spread"]["value"] == pytest.approx(math.sqrt((2 + 18) / 2))
    assert (rows["cover"]["value"], rows["cover"]["n"], rows["cover"]["kind"]) == (0.75, 4, "certified/heuristic")
    assert rows["certified_lower"]["value"] == 0.75 and "certified_upper" not in rows
    assert (rows["certified_lower"]["level"], rows["cover"]["level"]) == pytest.approx((0.95, 0.925))


def test_what_intervals_promise_is_added_up_by_their_number():
    """Each end by its own alpha: 8 replicates at 0.05, 16 at 0.2; and an end that keeps the looser one is no alarm."""
    rows = [sampling.share(hits, n) | {"level": level} for hits, n, level in ((8, 8, 0.95), (12, 16, 0.8))]
    pools = {("a", "", "m"): {"certified_lower/9": rows[0]}, ("b", "", "m"): {"certified_lower/9": rows[1]}}
    found = targets.totals(pools, 9, "m", ("certified_lower",))["certified_lower"]
    assert (found["value"], found["n"], found["level"]) == pytest.approx((20 / 24, 24, 0.85))
    models = {"m": {"family": "annealed"}}
    assert [row[1] for row in targets.sampled_checks(pools, models, {}, [9], {})] == ["ok"]
    strict = {place: {"certified_lower/9": row["certified_lower/9"] | {"level": 0.99}} for place, row in pools.items()}
    assert [row[1] for row in targets.sampled_checks(strict, models, {}, [9], {})] == ["alarm"]


def test_an_end_that_touches_the_truth_holds():
    lower, upper = sampling.covered(np.array([2.0, 2.0 + 1e-8]), np.array([2.0, 3.0]), 2.0)
    assert lower.tolist() == [True, False] and upper.tolist() == [True, True]


def test_without_truth_there_is_no_error():
    rows = sampling.estimates([run([1.0, 3.0])], 0.0, truth=False)
    assert "rmse" not in rows and "cover" not in rows and rows["spread"]["value"] == pytest.approx(math.sqrt(2))


def test_unbounded_intervals_have_an_unbounded_width():
    rows = sampling.estimates([run([1.0, 3.0], math.inf, ("none", "none"))], 2.0)
    assert rows["width"]["value"] == math.inf and rows["width"]["low"] is None and rows["cover"]["value"] == 1.0


def test_one_heuristic_end_makes_the_end_heuristic():
    mixed = run([1.0, 2.0])
    mixed["kinds"][1, 0] = "heuristic"
    assert sampling.estimates([mixed], 1.0)["width"]["kind"] == "heuristic/heuristic"
    assert sampling.estimates([mixed], 1.0)["certified_lower"]["n"] == 1


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "not distinguishable"), (2.0, "wins"), (-2.0, "loses")])
def test_against_is_about_the_two_sample_test(shift, verdict):
    ours, theirs = ({"value": v, "low": v / 1.5, "high": v * 1.5} for v in (1.0, math.exp(shift)))
    value, low, high, found = sampling.against(ours, theirs, logs=True)
    half = math.sqrt(2) * math.log(1.5)
    assert found == verdict and (value, low, high) == pytest.approx((shift, shift - half, shift + half))


def cells(rng, noise, tops=9.0):
    for level, factor in (("1", 0.1), ("100", 0.3)):
        for dim in (2, 8, 32, 128):
            for evaluations in (1e3, 1e4, 1e5):
                value = factor * dim**0.5 * evaluations**-0.5 * math.exp(noise * rng.normal())
                ends = {"value": value, "low": value / 1.3, "high": value * 1.3}
                yield {"level": level, "dim": dim, "evaluations": evaluations, "rmse": ends, "ceiling": tops}


def test_scaling_finds_the_exponents():
    found = sampling.scaling(cells(np.random.default_rng(0), 0.0), ("dim", "evaluations"))
    assert [row["exponent"] for row in found] == pytest.approx([0.5, -0.5], abs=1e-12)
    assert [row["theory"] for row in found] == [0.5, -0.5] and found[0]["cells"] == 24


def test_the_interval_of_an_exponent_covers_it():
    """Log-normal errors; false alarm below 1e-6 (binomial, 500 repeats, 0.95)."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(500):
        row = sampling.scaling(cells(rng, 0.2), ("dim", "evaluations"))[0]
        hits += row["low"] <= 0.5 <= row["high"]
    assert held(500, hits / 500)


def test_cells_at_the_ceiling_are_left_out_and_counted():
    kept = list(cells(np.random.default_rng(0), 0.0, 0.05))
    saturated = [cell | {"rmse": {"value": 0.05, "low": 0.05, "high": 0.05}} for cell in kept[:3]]
    none = [cell | {"rmse": {"value": 0.0, "low": None, "high": None}} for cell in kept[3:5]]
    (row, _) = sampling.scaling(kept + saturated + none, ("dim", "evaluations"))
    large = sum(cell["rmse"]["high"] >= 0.05 for cell in kept)
    assert large and row["left_out"] == large + 5 and row["exponent"] == pytest.approx(0.5)
    (row, _) = sampling.scaling(saturated, ("dim", "evaluations"))
    assert "exponent" not in row and row["left_out"] == 3


def test_the_ceiling_is_what_the_least_mode_weighs():
    assert sampling.ceiling(np.array([2 / 3, 1 / 3])) == pytest.approx(-math.log(2 / 3))
    assert sampling.ceiling(np.array([0.9, 0.1, 0.0])) == pytest.approx(-math.log(0.9))
    assert sampling.ceiling(None) == sampling.ceiling(np.array([1.0])) == 1.0


def test_certified_ends_raise_no_false_alarm():
    """Ends that fail at exactly their level; an alarm at 1e-3, so that 3000 sets give 3, and 15 are below 1e-6."""
    fails = np.random.default_rng(3).binomial(72, 0.05, 3000)
    assert sum(sampling.fails_too_often(72 - int(f), 72, 0.05, 1) for f in fails) < 15
    assert sampling.fails_too_often(72 - 15, 72, 0.05, 1) and not sampling.fails_too_often(72, 72, 0.05, 1)


def test_reciprocals_are_pooled_as_errors():
    """b2 of 0.01 and 0.03 are 0.02 on average: 50 effective draws, not the mean of 100 and 33."""
    row = {"dataset": "d", "model": "m", "metric": "ess/dim=2", "n": "8", "status": "ok"}
    rows = [row | {"value": str(1 / b2), "se": str(0.005 / b2**2)} for b2 in (0.01, 0.03)]
    found = targets.draws(rows)["d", "dim=2", "m"]["ess"]
    assert found["value"] == pytest.approx(50.0) and found["low"] < 50 < found["high"] and found["n"] == 16


def test_the_exact_control_is_that_of_the_target():
    models = {name: {"family": "control"} for name in ("base", "exact", "gibbs-exact")}
    pools = {("ising", "", "gibbs-exact"): {}, ("normal", "", "exact"): {}, ("dark", "", "base"): {}}
    found = [targets.exact_of(models, pools, name, "") for name in ("ising", "normal", "dark")]
    assert found == ["gibbs-exact", "exact", None]

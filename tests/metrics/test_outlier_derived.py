"""Derived outlier scores against exact laws and by hand."""

import numpy as np
import pytest
from scipy import stats

from gm.metrics import scores
from gm.metrics.groups import outliers
from gm.metrics.roc import auroc
from gm.metrics.run import Run

DIM = 400


def shells(n=400):
    """Negative log-likelihoods under a standard normal law of draws of its own, and of draws shrunk by a tenth."""
    rng = np.random.default_rng(0)
    nll = lambda x: 0.5 * (x**2).sum(1) + 0.5 * DIM * np.log(2 * np.pi)  # noqa: E731
    usual, inlier, outlier = rng.normal(size=(3, n, DIM))
    return nll(usual), nll(inlier), nll(0.9 * outlier)


def test_inner_shell_is_likelier_and_untypical():
    """Twice a nll is a chi-square, plus a constant: both areas are integrals; four errors of each, odds 1e-4."""
    usual, inlier, outlier = shells()
    law, grid = stats.chi2(DIM), np.linspace(0, 3 * DIM, 200_001)
    inner = 0.81 * grid
    likelihood = np.trapezoid(law.pdf(grid) * law.cdf(inner), grid)
    nearer = law.cdf(DIM + abs(inner - DIM)) - law.cdf(DIM - abs(inner - DIM))
    typical = np.trapezoid(law.pdf(grid) * nearer, grid)
    assert likelihood < 0.02 and typical > 0.95
    area, se = auroc(inlier, outlier)
    assert abs(area - likelihood) < 4 * se
    area, se = auroc(*(scores.typicality(nll, usual) for nll in (inlier, outlier)))
    assert abs(area - typical) < 4 * se


def test_batches_sharpen_typicality():
    """Means of disjoint batches by hand, and an outer shell that single images hardly show."""
    nll = np.arange(7.0)
    assert scores.batch_means(nll, 3, order=np.array([6, 5, 4, 0, 1, 2, 3])).tolist() == [5.0, 1.0]
    rng = np.random.default_rng(1)
    usual, inlier, outlier = rng.normal(size=(3, 1000))
    outlier = outlier + 1
    areas = []
    for size in (1, 10, 25):
        order = np.arange(1000)
        means = [scores.batch_means(nll, size, order=order) for nll in (inlier, outlier)]
        areas.append(auroc(*(scores.typicality(nll, usual) for nll in means))[0])
    assert areas[0] < 0.75 < 0.95 < areas[1] < areas[2]


def test_complexity_is_in_bits():
    """A blank image of 8 x 8 pixels is 11 bytes, 88 bits; a uniform law over 256 levels needs 512 bits."""
    blank = np.zeros((1, 1, 8, 8), np.uint8)
    assert scores.complexity(np.array([64 * np.log(256)]), blank) == pytest.approx([512 - 88])


def test_density_of_states_is_that_of_scipy(monkeypatch):
    monkeypatch.setattr(scores, "ENTRIES", 1000)
    rng = np.random.default_rng(0)
    usual = {"nll": rng.normal(size=300) * 30 + 700, "norm": rng.exponential(size=300)}
    found = {"nll": rng.normal(size=50) * 60 + 700, "norm": rng.exponential(size=50)}
    expected = sum(stats.gaussian_kde(usual[name]).logpdf(found[name]) for name in usual)
    assert scores.density_of_states(found, usual) == pytest.approx(-expected, rel=1e-9)
    for broken in ({}, {"other": found["nll"]}):
        with pytest.raises(ValueError, match="expected the same, one or more"):
            scores.density_of_states(broken, usual)
    with pytest.raises(ValueError, match=r"'nll' have a standard deviation of 0\.0"):
        scores.density_of_states({"nll": found["nll"]}, {"nll": np.ones(9)})


def test_density_of_states_of_many_usual_images_takes_their_quantiles(monkeypatch):
    """5000 usual images through 2000 quantiles: the log density moves by less than 0.02 in their range."""
    rng = np.random.default_rng(1)
    usual, found = {"nll": rng.gamma(4.0, size=5000)}, {"nll": np.linspace(0.5, 10, 40)}
    thinned = scores.density_of_states(found, usual)
    monkeypatch.setattr(scores, "MOST", 5000)
    whole = scores.density_of_states(found, usual)
    assert whole == pytest.approx(-stats.gaussian_kde(usual["nll"]).logpdf(found["nll"]), rel=1e-9)
    assert 0 < np.abs(thinned - whole).max() < 0.02


def test_density_of_states_ranks_as_the_known_density_does():
    """Normal scores: the rank correlation with the exact density is above 0.98; infinite scores come last."""
    rng = np.random.default_rng(0)
    usual, found = {"nll": rng.normal(size=2000)}, np.append(2 * rng.normal(size=500), np.inf)
    rarity = scores.density_of_states({"nll": found}, usual)
    assert stats.spearmanr(rarity[:-1], np.abs(found[:-1])).statistic > 0.98
    assert rarity[-1] == np.inf > rarity[:-1].max()


def a_run(kind="exact", drop=(), dtype=np.uint8):
    rng = np.random.default_rng(0)
    sizes = {"test": 60, "nonmember": 80, "outlier_flip": 60, "outlier_noise": 30}
    data = {f"x_{part}": rng.integers(17, size=(n, 1, 4, 4)).astype(dtype) for part, n in sizes.items()}
    data["aligned"] = np.array(["outlier_flip"])
    found = {"kinds": np.array([kind, kind])}
    for part, n in sizes.items():
        if part not in drop:
            nll = rng.normal(size=n)
            found |= {f"score_nll_{part}": nll, f"score_tilt_{part}": nll + rng.normal(size=n)}
    return Run(data, {}, {}, found, {}, [])


def names(run):
    rows = outliers.rows(run, np.random.default_rng(0))
    return {row["metric"].split("/")[1] for row in rows}, rows


def test_rows_of_a_run():
    run = a_run()
    found, rows = names(run)
    singles = {"complexity", "typicality", "dose"}
    assert found == {"nll", "tilt", *singles, "typicality@2", "typicality@10", "typicality@25"}
    size = {row["metric"]: row["n"] for row in rows}
    assert size["auroc/nll/noise"] == 90 and size["auroc/typicality@10/noise"] == 6 + 3
    assert "auroc/typicality@25/flip" in size and "auroc/typicality@25/noise" not in size
    assert {key.split("_")[1] for key in run.items} == singles
    usual = {name: run.scores[f"score_{name}_nonmember"] for name in ("nll", "tilt")}
    test = {name: run.scores[f"score_{name}_test"] for name in ("nll", "tilt")}
    assert (run.items["score_dose_test"] == scores.density_of_states(test, usual)).all()
    assert (run.items["score_typicality_test"] == scores.typicality(test["nll"], usual["nll"])).all()


def test_scores_need_what_they_are_made_of():
    assert names(a_run("none"))[0] == {"tilt"}
    assert names(a_run(drop=["nonmember"]))[0] == {"nll", "tilt", "complexity"}
    assert "complexity" not in names(a_run(dtype=np.float32))[0]
    run = a_run()
    run.scores["score_tilt_nonmember"][0] = np.inf
    usual = {"nll": run.scores["score_nll_nonmember"]}
    assert "dose" in names(run)[0]
    alone = scores.density_of_states({"nll": run.scores["score_nll_test"]}, usual)
    assert (run.items["score_dose_test"] == alone).all()


def test_batches_of_aligned_sets_are_aligned():
    """The batch means of a set that is the test set shifted are those of the test set shifted."""
    run = a_run()
    nll = {"test": run.scores["score_nll_test"], "nonmember": np.array([-1e6, 0.0])}
    nll["outlier_flip"] = nll["test"] + 1
    found = outliers.batched(nll, np.random.default_rng(0).random(max(map(len, nll.values()))))
    for size in (2, 10, 25):
        apart = found[f"typicality@{size}"]["outlier_flip"] - found[f"typicality@{size}"]["test"]
        assert apart == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["auroc", "aupr", "auprin", "fpr95", "fpr95out"])
def test_each_row_is_its_metric(name):
    run = a_run()
    rows = {row["metric"]: row for row in names(run)[1]}
    sides = run.scores["score_tilt_test"], run.scores["score_tilt_outlier_flip"]
    value, se = outliers.METRICS[name](*sides, aligned=True)
    assert (rows[f"{name}/tilt/flip"]["value"], rows[f"{name}/tilt/flip"]["se"]) == (value, se)


def test_scores_told_from_few_non_members_have_their_error():
    """Typicality from 60 non-members: mean standard error over 150 redraws against the spread of the area, 0.8 to 1.4.

    The error over images alone is less than 0.8 of that spread. The spread is known to 6 %.
    """
    rng, rows, alone = np.random.default_rng(2), [], []
    sizes, shift = {"test": 400, "nonmember": 60, "outlier_a": 400}, {"outlier_a": 0.7}
    for _ in range(150):
        nll = {part: rng.normal(shift.get(part, 0.0), 1.0, size=n) for part, n in sizes.items()}
        found = {"kinds": np.array(["exact", "exact"])} | {f"score_nll_{part}": score for part, score in nll.items()}
        data = {f"x_{part}": np.zeros((n, 1, 1, 1), np.float32) for part, n in sizes.items()}
        made = {row["metric"]: row for row in outliers.rows(Run(data, {}, {}, found, {}, []), rng)}
        rows.append([made["auroc/typicality/a"][name] for name in ("value", "se")])
        score = [scores.typicality(nll[part], nll["nonmember"]) for part in ("test", "outlier_a")]
        alone.append(outliers.METRICS["auroc"](*score)[1])
    spread = np.std([value for value, _ in rows], ddof=1)
    assert np.mean(alone) / spread < 0.8 < np.mean([se for _, se in rows]) / spread < 1.4

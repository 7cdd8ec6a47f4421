"""Rows of a whole run: names, and that no group moves another's numbers."""

import numpy as np
import pytest

from gm.metrics.groups.outliers import baselines, outlier_rows
from gm.metrics.rows import METRICS, evaluate
from gm.metrics.run import Run

NETS = ["a", "b"]
ROC = ("auroc", "aupr", "auprin", "fpr95", "fpr95out")
TRIVIAL = ("intensity", "dark", "png", "png-short", "pixel-nn", "pixel-5nn", "ppca", "ppca-reconstruction", "mixture")


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    image = lambda n: rng.integers(17, size=(n, 1, 4, 4), dtype=np.uint8)  # noqa: E731
    parts = {"train": 80, "test": 40, "outlier_noise": 40, "outlier_class-9": 30}
    data = {f"x_{part}": image(n) for part, n in parts.items()} | {"levels": np.array(17)}
    ruler = {f"{net}_test": rng.normal(size=(40, 3)) for net in NETS}
    samples, features = {"x": image(40)}, {net: rng.normal(size=(40, 3)) for net in NETS}
    scores = {"kinds": np.array(["exact", "exact"]), "shared": np.zeros(2), "shared_se": np.array(0.0)}
    scores |= {"slack": np.array(0.0), "alpha": np.array(0.0), "note": np.array("")}
    for part in ("test", "outlier_noise", "outlier_class-9"):
        row = rng.normal(size=parts[part])
        scores |= {f"lower_{part}": row, f"upper_{part}": row, f"score_nll_{part}": -row}
        scores |= {f"score_grad_norm_{part}": row**2, f"term_ess_{part}": row}
    return data, ruler, samples, scores, features


def rows(run, metrics=METRICS, nets=NETS):
    return evaluate(Run(*run, nets=nets), metrics=list(metrics), rng=np.random.default_rng(1))


def test_names(run):
    found = {row["metric"] for row in rows(run)}
    expected = {"logp_lower", "logp_upper", "bpd_lower", "bpd_upper", "nn_ratio", "copies", "copies/test"}
    expected |= {"duplicates", "c_t", "authenticity"}
    expected |= {
        f"{name}_{net}@40" for name in ("FD", "KID", "precision", "recall", "density", "coverage") for net in NETS
    }
    expected |= {f"FDinf_{net}" for net in NETS}
    expected |= {
        f"{name}/{score}/{part}"
        for name in ROC
        for score in ("nll", "grad_norm", "complexity")
        for part in ("noise", "class-9")
    }
    assert found == expected
    assert all(list(row) == ["metric", "value", "se", "n", "kind"] for row in rows(run))
    assert all(np.isfinite([row["value"], row["se"]]).all() for row in rows(run))


def test_bits_interval_is_ordered_as_the_nats_are(run):
    run[3]["lower_test"] = run[3]["lower_test"] - 1
    found = {row["metric"]: row["value"] for row in rows(run, ["likelihood"])}
    assert found["bpd_lower"] == pytest.approx(-found["logp_upper"] / (16 * np.log(2)))
    assert found["bpd_lower"] < found["bpd_upper"]


def test_groups_do_not_move_each_other(run):
    whole = rows(run)
    apart = [row for name in METRICS for row in rows(run, [name])]
    assert apart == whole


def test_run_without_density_or_samples(run):
    data, ruler, _, scores, _ = run
    scores |= {"kinds": np.array(["none", "none"])}
    found = {row["metric"].split("/")[0] for row in rows((data, ruler, {}, scores, {}))}
    assert found == set(ROC)
    assert not [row for row in rows((data, ruler, {}, scores, {})) if "nll" in row["metric"]]
    assert rows((data, ruler, {}, {}, {})) == []


def test_unknown_names_are_refused(run):
    with pytest.raises(ValueError, match=r"unknown metric \['fid'\]; expected some of \['frechet'"):
        rows(run, ["fid"])
    with pytest.raises(ValueError, match="unknown net"):
        rows(run, nets=["inception"])


def test_baselines_become_rows(run):
    scores = baselines(run[0])
    assert sorted(scores) == sorted(TRIVIAL)
    assert {part: len(score) for part, score in scores["png"].items()} == {
        "test": 40,
        "outlier_noise": 40,
        "outlier_class-9": 30,
    }
    found = outlier_rows(scores, aligned=())
    assert len(found) == len(ROC) * len(TRIVIAL) * 2
    alone = outlier_rows({"png": scores["png"]}, aligned=())
    assert alone == [row for row in found if "/png/" in row["metric"]]


def test_rows_of_aligned_sets_have_errors_over_images(run):
    """A mirrored image is as bright: its AUROC is one half whatever the images are, and no other set's error moves."""
    data = run[0] | {"x_outlier_hflip": run[0]["x_test"][..., ::-1]}
    scores = baselines(data)
    apart, together = (
        {row["metric"]: row["se"] for row in outlier_rows(scores, aligned=parts)} for parts in ((), ["outlier_hflip"])
    )
    assert together["auroc/intensity/hflip"] == 0 < apart["auroc/intensity/hflip"]
    assert all(name.endswith("/hflip") for name in apart if apart[name] != together[name])


def test_a_run_reads_from_its_data_which_sets_are_aligned(run):
    data, ruler, samples, scores, features = run
    plain = {row["metric"]: row["se"] for row in rows(run, ["outliers"])}
    data = data | {"aligned": np.array(["outlier_noise"])}
    found = {row["metric"]: row["se"] for row in rows((data, ruler, samples, scores, features), ["outliers"])}
    moved = {name for name in plain if plain[name] != found[name]}
    assert {"auroc/nll/noise", "auroc/grad_norm/noise"} <= moved <= {name for name in plain if "/noise" in name}

"""What the figures of fidelity, privacy and use are given, against brute force and against rows put in by hand."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from gm.table import agreement, checks, curves, panels, summary, views

MODELS = {name: {"family": family, "labels": False, "measure": "density"} for name, family in (
    ("resample", "control"), ("memoriser", "control"), ("ppca", "control"), ("flow", "kl"), ("ebm", "kl"))}  # fmt: skip


def row(mean, error=0.02, n=100, **more):
    half = 1.96 * error
    ends = {"low": mean - half, "high": mean + half, "over": "items", "se": None, "se_items": error, "half_total": half}
    return {"mean": mean, "n": n, "n_ok": 3, "n_planned": 3, "kind": "estimate", **ends, **more}


def test_detection_is_the_best_share_found_within_the_false_alarms():
    """Against all thresholds tried one by one, on scores with ties."""
    rng = np.random.default_rng(0)
    member, nonmember = rng.integers(0, 12, 40).astype(float) + 2, rng.integers(0, 12, 30).astype(float)
    alarms = np.array([0.0, 0.03, 0.1, 1 / 3, 0.8, 1.0])
    expected = []
    for share in alarms:
        thresholds = [-math.inf, *np.unique([*member, *nonmember])]
        expected.append(max((member > t).mean() for t in thresholds if (nonmember > t).mean() <= share + 1e-12))
    assert curves.detection([(member, nonmember)], alarms).tolist() == pytest.approx(expected)


def test_detection_averages_seeds():
    pairs = [(np.array([1.0, 3.0]), np.array([0.0, 2.0])), (np.array([0.0, 0.0]), np.array([1.0, 2.0]))]
    assert curves.detection(pairs, np.array([0.1])).tolist() == [0.25]


def test_band_of_guesses_holds_95_per_cent_of_them():
    """4000 attacks that know nothing, 60 members, 80 non-members. The counts are discrete, so that at least 95 % must
    be inside, and hardly more than 98 %. False alarm below 1e-6 (binomial, six points of one seed)."""
    rng = np.random.default_rng(1)
    alarms = np.array([0.0, 0.05, 0.1, 0.3, 0.5, 0.9])
    band = curves.chance(alarms, 60, 80)
    found = np.array([curves.detection([(rng.normal(size=60), rng.normal(size=80))], alarms) for _ in range(4000)])
    inside = ((found >= band[0] - 1e-12) & (found <= band[1] + 1e-12)).mean(0)
    slack = 5 * math.sqrt(0.05 * 0.95 / 4000)
    assert (inside > 0.95 - slack).all() and (inside[2:] < 0.985).all()


def test_band_of_guesses_ends_where_all_are_flagged():
    assert curves.chance(np.array([1.0]), 10, 10).tolist() == [[1.0], [1.0]]


def test_ecdf_counts_what_lies_at_a_point():
    assert curves.ecdf([np.array([0.0, 1.0]), np.array([1.0, 3.0])], np.array([0.0, 1.0, 2.0])).tolist() == [
        0.25, 0.75, 0.75]  # fmt: skip


def test_nearest_is_found_across_blocks(monkeypatch):
    monkeypatch.setattr(curves, "BLOCK", 7)
    rng = np.random.default_rng(3)
    x, train = rng.integers(0, 9, (5, 1, 3, 3)), rng.integers(0, 9, (40, 1, 3, 3))
    near, distance = curves.nearest(x, train)
    every = np.sqrt(((x[:, None] - train[None]).astype(float) ** 2).sum((2, 3, 4)))
    assert distance == pytest.approx(every.min(1)) and (near == train[every.argmin(1)]).all()


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (1, 0, 2, 4, 3), (4, 2, 3, 1, 0), (2, 0, 4, 1, 3)])
def test_kendall_against_every_order(order):
    """τ and its exact p-value from all 120 orders of five models."""

    def tau(y):
        pairs = list(itertools.combinations(range(5), 2))
        return sum(1 if y[j] > y[i] else -1 for i, j in pairs) / len(pairs)

    every = np.array([tau(y) for y in itertools.permutations(range(5))])
    found, p = agreement.kendall(range(5), order)
    assert found == pytest.approx(tau(order))
    assert p == pytest.approx((np.abs(every) > abs(tau(order)) - 1e-9).mean())


def test_kendall_of_a_column_of_ties_is_none():
    assert all(map(math.isnan, agreement.kendall([1, 1, 1], [1, 2, 3])))


def test_critical_is_the_least_correlation_that_differs_from_none():
    """The published table of two-sided 5 % points: 1 at n = 5, 0.511 at 10, 0.390 at 15; none below five models."""
    assert [round(agreement.critical(n), 3) for n in (4, 5, 10, 15)] == [math.inf, 1.0, 0.511, 0.390]


def test_agreement_pairs_models_that_both_metrics_have():
    columns = {"a": {"x": 1.0, "y": 2.0, "z": 3.0, "w": 4.0}, "b": {"v": 9.0, "z": 1.0, "x": 3.0, "y": 2.0}}
    tau, p, n = agreement.matrix(columns)
    assert n.tolist() == [[4, 3], [3, 4]]
    assert tau[0, 1] == tau[1, 0] == -1.0 and p[0, 1] == pytest.approx(1 / 3)


def fidelity_rows():
    sums = {}
    for i, model in enumerate(MODELS):
        sums["d", model, "FD_cnn@100"] = row(10.0 - i)
        sums["d", model, "coverage_cnn@100"] = row(0.1 * i)
        sums["d", model, "coverage_cnn/class-10"] = row(0.2, 0.05)
        sums["d", model, "coverage_cnn/class-9"] = row(0.1 * i, 0.05)
    return sums


def test_agreement_is_of_goodness_and_without_the_controls_made_of_real_images():
    columns = panels.goodness(fidelity_rows(), "d", MODELS)
    assert list(columns) == ["FD_cnn@100", "coverage_cnn@100"]
    assert all(list(column) == ["ppca", "flow", "ebm"] for column in columns.values())
    assert agreement.matrix(columns)[0][0, 1] == 1.0


def test_metrics_of_a_net_stand_together_and_classes_apart():
    sums = fidelity_rows()
    assert panels.by_net(sums, "d", "FD_", "coverage_") == {"cnn": ["FD_cnn@100", "coverage_cnn@100"]}
    (found,) = views.classes(sums, "d", MODELS)
    assert (found["name"], found["columns"]) == ("coverage_cnn", ["9", "10"])
    assert found["values"][3].tolist() == pytest.approx([0.3, 0.2]) and found["halves"][0, 0] == pytest.approx(0.098)


def test_front_is_the_closest_of_each_family_beside_the_controls():
    assert panels.front(fidelity_rows(), "d", MODELS, "FD_cnn@100") == ["resample", "memoriser", "ppca", "ebm"]


def test_areas_are_grouped_by_score_with_baselines_last():
    sums = {("d", "trivial", "auroc/png/mnist"): row(0.9)}
    for model in ("flow", "ebm"):
        sums |= {("d", model, f"auroc/{score}/mnist"): row(0.4) for score in ("typicality", "nll")}
    sums["d", "ebm", "auroc/nll/noise"] = row(1.0)
    found = views.areas(sums, "d", MODELS)
    assert [panel["name"] for panel in found] == ["nll", "typicality", "trivial baselines"]
    assert found[0]["rows"] == [("flow", "kl"), ("ebm", "kl")] and found[2]["rows"] == [("png", "trivial")]
    assert np.isnan(found[0]["values"][0, 1]) and found[0]["values"][1].tolist() == [0.4, 1.0]


def test_bits_hold_every_contestant_of_every_dataset_and_the_sets_of_all():
    sums = {}
    for dataset, part in (("one", "noise"), ("two", "mnist")):
        for end in ("logp_lower", "logp_upper", "bpd_lower", "bpd_upper"):
            sums[dataset, "flow", end] = row(3.0, kind="exact")
        sums[dataset, "flow", f"auroc/nll/{part}"] = row(0.3)
    found = panels.bits(sums, {"one": MODELS, "two": MODELS})
    assert found["sets"] == ["noise", "mnist"]
    assert [(m["dataset"], m["name"], list(m["areas"])) for m in found["rows"]] == [
        ("one", "flow", ["noise"]), ("two", "flow", ["mnist"])]  # fmt: skip
    (panel,) = panels.observation(sums, {"one": MODELS, "two": MODELS})
    assert (panel["dataset"], panel["set"], panel["models"][0]["auroc"]["mean"]) == ("two", "mnist", 0.3)


def test_the_outlier_sets_of_the_observation_figure_are_those_that_the_datasets_name():
    """Every dataset whose outliers are all of MNIST or of Fashion-MNIST calls them by a name that the figure knows."""
    found = {}
    for file in sorted((Path(__file__).resolve().parents[1] / "config/datasets").glob("*.yaml")):
        for name, options in (yaml.safe_load(file.read_text()).get("outliers") or {}).items():
            if (options or {}).get("dataset") in ("mnist", "fashion-mnist"):
                found.setdefault(name, []).append(file.stem)
    assert set(found) == set(panels.NALISNICK) and min(map(len, found.values())) > 1


def test_numbers_of_all_seeds_count_the_seeds_that_ran():
    base = {"benchmark": "b", "dataset": "d", "model": "m", "n": 9, "kind": "estimate", "status": "ok", "se": 0.1}
    rows = [base | {"metric": "logp_lower", "value": 1.0, "seed": str(seed)} for seed in (0, 2)]
    rows.append(base | {"metric": "auroc/waic/x", "value": 0.5, "seed": "all"})
    found = {row["metric"]: row for row in summary.summarise(rows, {("d", "m"): 3})}
    assert {name: (row["n_ok"], row["n_planned"]) for name, row in found.items()} == {
        "logp_lower": (2, 3), "auroc/waic/x": (2, 3)}  # fmt: skip


def accuracies(dataset, lift=0.0):
    sums = {("d" if dataset is None else dataset, model, f"accuracy/logistic/{regime}"): row(value + lift)
            for model in ("flow", "ebm")
            for regime, value in (("trtr", 0.8), ("tstr", 0.6), ("fresh=1", 0.9), ("fresh=5", 0.95),
                                  ("synthetic=1", 0.81), ("synthetic=5", 0.82))}  # fmt: skip
    return sums


def test_augmentation_of_one_dataset_is_drawn_against_the_ratio():
    (panel,) = panels.augmentation(accuracies("d"), {"d": 500}, MODELS)
    lines = {line["label"]: [(x, point["mean"]) for x, point in line["points"]] for line in panel["lines"]}
    assert not panel["several"] and panel["ratio"] is None
    assert lines["flow"] == [(1.0, 0.81), (5.0, 0.82)] and lines["fresh real images"] == [(1.0, 0.9), (5.0, 0.95)]
    assert lines["real images alone"] == [(1.0, 0.8), (5.0, 0.8)] and len(lines) == 4


def test_augmentation_of_several_sizes_is_drawn_against_them():
    sums = accuracies("small") | accuracies("large", 0.1)
    found = panels.augmentation(sums, {"large": 2000, "small": 500}, MODELS)
    assert [(panel["classifier"], panel["ratio"], panel["several"]) for panel in found] == [
        ("logistic", 1.0, True), ("logistic", 5.0, True)]  # fmt: skip
    lines = {line["label"]: [(x, point["mean"]) for x, point in line["points"]] for line in found[1]["lines"]}
    assert lines["flow"] == [(500, 0.82), (2000, pytest.approx(0.92))]
    assert lines["real images alone"] == [(500, 0.8), (2000, pytest.approx(0.9))]


def levels(sums, subject, models=("resample", "memoriser")):
    found = checks.controls("d", {name: MODELS[name] for name in models}, sums, [])
    return [(check["level"], check["text"].split()[0]) for check in found if check["subject"] == subject]


@pytest.mark.parametrize("metric", ["mia_auc/nearest", "dcr_share"])
@pytest.mark.parametrize("mean,level", [(0.5, "ok"), (0.53, "ok"), (0.57, "alarm"), (0.43, "alarm")])
def test_fresh_images_that_are_told_from_others_raise_the_alarm(metric, mean, level):
    assert (level, metric) in levels({("d", "resample", metric): row(mean)}, "resample")


def test_alarms_of_many_attacks_are_corrected_for_their_number():
    """Each of eight at p = 0.03: none is an alarm by Holm; p = 0.001 among them is one, and alone."""
    sums = {("d", "resample", f"mia_auc/{i}"): row(0.5 + 2.17 * 0.02) for i in range(8)}
    assert {level for level, text in levels(sums, "resample") if text.startswith("mia")} == {"ok"}
    sums["d", "resample", "mia_auc/0"] = row(0.5 + 3.3 * 0.02)
    assert [text for level, text in levels(sums, "resample") if (level, text[:3]) == ("alarm", "mia")] == ["mia_auc/0"]


def test_each_measure_of_memorisation_must_catch_the_replay():
    caught = {"nn_ratio": (1.0, 0.0), "copies": (0.0, 1.0), "duplicates": (0.0, 1.0), "dcr_share": (0.5, 0.8),
              "c_t": (0.0, -5.0), "authenticity": (0.5, 0.0)}  # fmt: skip

    def alarms(values):
        sums = {}
        for metric, (fresh, copy) in values.items():
            sums["d", "resample", metric], sums["d", "memoriser", metric] = row(fresh), row(copy)
        found = checks.controls("d", {name: MODELS[name] for name in ("resample", "memoriser")}, sums, [])
        lines = [check for check in found if check["subject"] == "memoriser"]
        assert len(lines) == len(values)
        return [check["text"].split(" by ")[1].split()[0] for check in lines if check["level"] == "alarm"]

    assert alarms(caught) == []
    assert alarms(caught | {"dcr_share": (0.5, 0.57)}) == []  # fresh images have one half, known without an error
    for metric, (fresh, copy) in caught.items():
        assert alarms(caught | {metric: (fresh, fresh)}) == [metric]
        assert alarms(caught | {metric: (fresh, 2 * fresh - copy)}) == [metric]  # beyond fresh images, the wrong way

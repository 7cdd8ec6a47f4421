"""Rows of the fidelity groups: their names, what they leave for figures, and that no net moves another's."""

import numpy as np
import pytest

from gm.metrics.groups import fidelity
from gm.metrics.prdc import prdc
from gm.metrics.run import Run


def run(nets, label=True):
    rng = np.random.default_rng(0)
    features = {net: rng.normal(size=(60, 4)) + 0.2 for net in ("a", "b")}
    ruler = {f"{net}_test": rng.normal(size=(60, 4)) for net in ("a", "b")}
    data = {"label_test": np.arange(60) % 3} if label else {}
    return Run(data, ruler, {}, {}, features, nets=nets)


def by_name(group, whole):
    return {row["metric"]: row for row in group(whole, np.random.default_rng(1))}


def test_distances_and_their_limits():
    whole = run(["a", "b"])
    rows = by_name(fidelity.frechet_rows, whole)
    assert list(rows) == ["FD_a@60", "FDinf_a", "FD_b@60", "FDinf_b"]
    for net in ("a", "b"):
        curve = whole.items[f"fd_curve/{net}"]
        assert curve[0].tolist() == pytest.approx([1 / 60, rows[f"FD_{net}@60"]["value"]])
        assert rows[f"FDinf_{net}"]["value"] < rows[f"FD_{net}@60"]["value"] < curve[-1, 1]
        assert rows[f"FDinf_{net}"]["n"] == 60 and rows[f"FDinf_{net}"]["se"] > 0
    alone = by_name(fidelity.frechet_rows, run(["b"]))
    assert alone == {name: row for name, row in rows.items() if "_b" in name}


def test_no_limit_of_fewer_images_than_features():
    whole = run(["a"])
    whole.features["a"], whole.ruler["a_test"] = np.random.default_rng(2).normal(size=(2, 60, 30))
    assert list(by_name(fidelity.frechet_rows, whole)) == ["FD_a@60"] and not whole.items


def test_coverage_by_class():
    whole = run(["a"])
    rows = by_name(fidelity.prdc_rows, whole)
    assert {name for name in rows if "/" in name} == {f"coverage_a/class-{c}" for c in range(3)}
    assert {name for name in rows if "@60" in name} == {
        f"{name}_a@60" for name in ("precision", "recall", "density", "coverage")
    }
    expected = prdc(whole.ruler["a_test"], whole.features["a"], label=whole.data["label_test"])["coverage/class-2"]
    row = rows["coverage_a/class-2"]
    assert (row["value"], row["se"], row["n"]) == (*expected, 20)
    assert not [name for name in by_name(fidelity.prdc_rows, run(["a"], label=False)) if "/" in name]

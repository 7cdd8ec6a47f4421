"""Rows of memorisation and of membership: which there are, of what, and what they leave for the figures."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gm.metrics.groups import memorisation, privacy
from gm.metrics.run import Run

SAMPLED = {"nearest", "monte-carlo", "nearest-calibrated", "domias", "discriminator"}
DENSITY = {"likelihood", "calibrated"}


def run(rng, *, samples=True, scores=True, reference=60, candidates=120, kind="exact", reconstruction=True, levels=9):
    sizes = {"train": max(150, candidates), "test": 60, "reference": reference}
    data = {f"x_{part}": rng.integers(levels, size=(n, 1, 4, 4), dtype=np.uint8) for part, n in sizes.items()}
    parts = {"member": candidates // 2, "nonmember": candidates - candidates // 2}
    for part, n in parts.items():
        data[f"x_{part}"] = rng.integers(levels, size=(n, 1, 4, 4), dtype=np.uint8)
        data[f"u_{part}"] = rng.random((n, 1, 4, 4))
    data["x_train"][: parts["member"]] = data["x_member"]
    given = {"kinds": np.array([kind, "none"])} | {f"lower_{part}": rng.normal(size=n) for part, n in parts.items()}
    if reconstruction:
        given |= {f"score_reconstruction_{part}": rng.random(n) for part, n in parts.items()}
    drawn = {"x": rng.integers(levels, size=(60, 1, 4, 4), dtype=np.uint8)} if samples else {}
    return Run(data=data, ruler={}, samples=drawn, scores=given if scores else {}, features={}, nets=[])


def attacks_of(rows):
    return {name.removeprefix("mia_auc/") for row in rows if (name := row["metric"]).startswith("mia_auc/")}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SAMPLED | DENSITY | {"reconstruction"}),
        ({"samples": False}, DENSITY | {"reconstruction"}),
        ({"scores": False}, SAMPLED),
        ({"kind": "none", "reconstruction": False}, SAMPLED),
        ({"reference": 0, "reconstruction": False}, {"nearest", "monte-carlo", "likelihood"}),
        ({"candidates": 0}, set()),
    ],
)
def test_attacks_are_those_whose_inputs_there_are(given, expected):
    whole = run(np.random.default_rng(0), **given)
    rows = list(privacy.rows(whole, np.random.default_rng(1)))
    assert attacks_of(rows) == expected
    assert set(whole.items) == {f"attack/{name}/{part}" for name in expected for part in ("member", "nonmember")}


def test_rows_of_an_attack():
    """A likelihood that is higher for every member; 1000 non-members allow the lower rate too."""
    whole = run(np.random.default_rng(2), samples=False, reconstruction=False, reference=0, candidates=2000)
    whole.scores["lower_member"][:] = 5 + np.arange(1000) / 1000
    whole.scores["lower_nonmember"][:] = np.arange(1000) / 1000
    rows = {row["metric"]: row for row in privacy.rows(whole, np.random.default_rng(3))}
    names = ["mia_auc", "mia_tpr@1%", "mia_tpr@0.1%", "mia_eps"]
    assert list(rows) == [f"{name}/likelihood" for name in names]
    assert [rows[f"{name}/likelihood"]["value"] for name in names[:3]] == [1.0, 1.0, 1.0]
    assert [row["n"] for row in rows.values()] == [2000, 2000, 2000, 1000]
    bound = rows["mia_eps/likelihood"]
    assert bound["kind"] == "certified"
    assert "se" not in bound
    assert 3 < bound["value"] < 7
    assert (whole.items["attack/likelihood/member"] == whole.scores["lower_member"]).all()


def test_calibration_takes_off_a_density_at_y():
    """The reference model scores y = x + u on images with noise of their own; reconstruction errors change sign."""
    whole = run(np.random.default_rng(4), samples=False, levels=2, reference=4000)
    found = privacy.scores(whole, np.random.default_rng(5))
    reference = found["likelihood"] - found["calibrated"]
    # Sixteen independent pixels uniform on [0, 2): a normal law of variance 1/3 has this mean there, whatever the axes.
    assert reference.mean() == pytest.approx(-8 * (np.log(2 * np.pi / 3) + 1), abs=0.5)
    assert (found["reconstruction"][:60] == -whole.scores["score_reconstruction_member"]).all()


def test_rows_of_memorisation_and_what_they_leave():
    whole = run(np.random.default_rng(6))
    rows = {row["metric"]: row for row in memorisation.rows(whole, np.random.default_rng(7))}
    expected = ["nn_ratio", "copies", "copies/test", "duplicates", "authenticity", "c_t", "dcr_share"]
    assert list(rows) == expected
    assert len(whole.items["nn/samples"]) == len(whole.items["nn/held_out"]) == 60
    train, samples = (x.reshape(len(x), -1).astype(float) for x in (whole.data["x_train"], whole.samples["x"]))
    near = cdist(samples, train).argmin(1)
    others = np.sort(cdist(train[near], train), axis=1)[:, 1]
    assert rows["authenticity"]["value"] == np.mean(cdist(samples, train).min(1) > others)
    bare = run(np.random.default_rng(6), reference=0, candidates=0)
    assert [row["metric"] for row in memorisation.rows(bare, np.random.default_rng(7))] == expected[:-1]
    assert list(memorisation.rows(run(np.random.default_rng(6), samples=False), np.random.default_rng(7))) == []


def test_copies_of_training_images_raise_the_rows():
    whole = run(np.random.default_rng(8))
    whole.samples["x"][:] = whole.data["x_train"][:60]
    rows = {row["metric"]: row["value"] for row in memorisation.rows(whole, np.random.default_rng(9))}
    assert [rows[name] for name in ("nn_ratio", "copies", "copies/test", "duplicates", "authenticity")] == [
        0,
        1,
        0,
        1,
        0,
    ]
    assert rows["dcr_share"] > 0.7
    assert rows["c_t"] < -5


def test_same_stream_gives_the_same_rows():
    first, second = (
        [*privacy.rows(whole, np.random.default_rng(11)), *memorisation.rows(whole, np.random.default_rng(12))]
        for whole in (run(np.random.default_rng(10)), run(np.random.default_rng(10)))
    )
    assert first == second

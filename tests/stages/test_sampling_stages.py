"""The verbs on targets: what they leave, how a member fails on its own, and what the controls must say."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gm import catalogue, io, source
from gm.densities.targets.gaussian import RotatedGaussian
from gm.densities.targets.mixture import TwoModes
from gm.model import Diverged, History
from gm.sampler import Draws, Sampler, build, load
from gm.samplers.annealed import AIS
from gm.samplers.controls import Base, Exact
from gm.sampling.logz import LogZ, one_sided
from gm.stages import job
from gm.stages.job import Failed, roots_of
from gm.stages.sampling import embed, evaluate, prepare, ruler, sample, score, train
from gm.stages.sampling.members import each, key

FAMILY = {
    "grid": "targets",
    "target": "gm.densities.targets.mixture.TwoModes",
    "members": {"separation=2": {"dim": 2, "separation": 2.0}, "separation=5": {"dim": 2, "separation": 5.0}},
}
AIS_CLASS = "gm.samplers.annealed.AIS"
SMALL = {"class": AIS_CLASS, "model": {"blocks": 4, "chains": 2}, "fit": {"population": 16, "rounds": 1, "pilot": 16}}


def g(seed=0):
    return torch.Generator().manual_seed(seed)


def fitted(sampler, target):
    sampler.fit(target, generator=g(1), log=lambda step, total: None)
    return sampler


def test_a_job_of_targets_is_another_module_whose_code_holds_target_and_sampler():
    roots = roots_of("train", FAMILY | SMALL)
    assert roots == ("gm.stages.sampling.train", "gm.samplers.annealed", "gm.densities.targets.mixture")
    assert {"gm.sampler", "gm.sampling.anneal", "gm.sampling.path"} <= set(source.closure(*roots))
    assert roots_of("train", {"class": "gm.models.vae.VAE"}) == ("gm.stages.train", "gm.models.vae")


def test_a_member_fails_alone_and_all_together_fail_the_run():
    def work(place):
        if place == 1:
            raise FloatingPointError("weights are not finite")
        if place == 2:
            raise Diverged("energy 1e30")
        return place

    assert each([0, 1, 2], work) == (
        {0: 0},
        {1: ["diverged", "weights are not finite"], 2: ["diverged", "energy 1e30"]},
    )
    with pytest.raises(Failed, match="weights are not finite") as caught:
        each([1, 2], work)
    assert caught.value.status == "diverged" and each([], work) == ({}, {})


def test_the_reference_is_exact_and_a_member_has_a_stream_of_its_own(tmp_path):
    spec = FAMILY | {"truth": True, "seed": 3, "draws": 64}
    prepare.run(tmp_path / "data.npz", spec=spec)
    arrays = io.read_arrays(tmp_path / "data.npz")
    assert arrays["x/separation=2"].shape == (64, 2) and arrays["log_z/separation=2"] == 1.5
    assert arrays["identity/separation=2"] != arrays["identity/separation=5"]
    alone = spec | {"members": {"separation=5": FAMILY["members"]["separation=5"]}}
    prepare.run(tmp_path / "alone.npz", spec=alone)
    np.testing.assert_array_equal(io.read_arrays(tmp_path / "alone.npz")["x/separation=5"], arrays["x/separation=5"])
    target = TwoModes(dim=2, separation=5.0)
    x = torch.from_numpy(arrays["x/separation=5"])
    np.testing.assert_allclose(arrays["energy/separation=5"], -target.log_prob(x).numpy(), rtol=1e-12)
    np.testing.assert_array_equal(arrays["label/separation=5"], target.mode(x).numpy())


def test_without_exact_draws_there_is_no_reference_and_no_ruler(tmp_path):
    prepare.run(tmp_path / "data.npz", spec=FAMILY | {"truth": False, "seed": 0, "draws": 64})
    arrays = io.read_arrays(tmp_path / "data.npz")
    assert not any(name.startswith(("x", "energy", "label")) for name in arrays)
    ruler.run(
        tmp_path / "data.npz",
        tmp_path / "f.npz",
        tmp_path / "w.safetensors",
        tmp_path / "t.npz",
        spec=FAMILY | {"seed": 0, "draws": 32},
        log=lambda step, total: None,
    )
    assert io.read_arrays(tmp_path / "f.npz") == {}


def test_a_torus_too_large_for_exact_draws_keeps_its_log_z(tmp_path):
    (tmp_path / "large.yaml").write_text("target: gm.densities.targets.ising.IsingTorus\nparameters: {side: 12}\n")
    prepare.run(tmp_path / "data.npz", spec=catalogue.dataset(tmp_path / "large.yaml"))
    arrays = io.read_arrays(tmp_path / "data.npz")
    assert arrays["log_z"] > 0 and "x" not in arrays


def test_the_verbs_in_a_row_leave_rows_for_every_member(tmp_path):
    def path(name):
        return tmp_path / name

    grid = {"seed": 0, "draws": 32}
    job.run(prepare, spec=FAMILY | {"truth": True, "seed": 0, "draws": 128}, data=path("data.npz"))
    made = {"data": path("data.npz"), "features": path("ruler.npz"), "weights": path("ruler.safetensors")}
    made |= {"trivial": path("trivial.npz")}
    job.run(ruler, spec=FAMILY | grid, **made)
    tuned = {"data": path("data.npz"), "weights": path("model.safetensors")}
    assert job.run(train, spec=FAMILY | SMALL, seed=0, **tuned, history=path("history.csv")) == "ok"
    assert set(load(path("model.safetensors"))) == set(FAMILY["members"])
    first = load(path("model.safetensors"))["separation=2"].lams
    assert first[0] == 0 and first[-1] == 1 and (first.diff() > 0).all()
    spec = FAMILY | {"class": AIS_CLASS, "groups": 3}
    job.run(sample, spec=spec | {"draws": 32}, seed=0, samples=path("samples.npz"), **tuned)
    job.run(score, spec=spec | {"budgets": [64, 128]}, seed=0, scores=path("scores.npz"), **tuned)
    seen = {"samples": path("samples.npz"), "ruler": path("ruler.safetensors"), "features": path("features.npz")}
    job.run(embed, spec=FAMILY, seed=0, **seen)
    arrays = {name: path(f"{name}.npz") for name in ("data", "ruler", "samples", "scores", "features")}
    metrics = ["logz", "moments", "ess", "modes", "discrepancy"]
    job.run(
        evaluate,
        spec={"grid": "targets", "metrics": metrics},
        seed=0,
        weights=path("model.safetensors"),
        metrics=path("metrics.csv"),
        per_item=path("items.npz"),
        **arrays,
    )
    rows = {row["metric"]: row for row in io.read_rows(path("metrics.csv"))}
    for member in FAMILY["members"]:
        for name in ("b2_mean", "b2_worst", "ess", "ess_per_gradient", "mode_tv", "mmd", "sliced_w2", "fit/barrier"):
            assert float(rows[f"{name}/{member}"]["value"]) >= 0
        for name in ("point", "width", "evals", "error", "bias", "cover"):
            assert rows[f"logz_{name}/128/{member}"]["n"] == "3"
        ess = float(rows[f"ess/{member}"]["value"]) / (32 * 121)  # a start and 15 moves of 8 leapfrog steps
        assert float(rows[f"ess_per_gradient/{member}"]["value"]) == pytest.approx(ess)
    scored = io.read_arrays(path("scores.npz"))
    bias = scored["point/64/separation=2"] - 1.5
    assert float(rows["logz_error/64/separation=2"]["value"]) == pytest.approx(np.abs(bias).mean())
    assert float(rows["logz_bias/64/separation=2"]["value"]) == pytest.approx(bias.mean())


class Spy(Sampler):
    """Gives away the first number of each of its streams."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(0))

    def fit(self, target, *, generator, log):
        self.seen = torch.rand(1, generator=generator)
        return History(evals={"gradient": 1})

    def sample(self, target, n, *, groups, generator):
        return Draws(torch.rand(groups, n, target.dim, generator=generator), None, 0)

    def log_z(self, target, *, groups, budget, generator):
        point = float(torch.rand(1, generator=generator))
        return [LogZ(point, point, point, 0.0, ("heuristic", "heuristic"), 0.05, 1.0)] * groups


def test_every_verb_member_and_budget_has_a_stream_of_its_own(tmp_path):
    spec = FAMILY | {"class": f"{__file__}:Spy", "groups": 2, "draws": 16, "budgets": [8, 16]}
    weights, arrays = tmp_path / "model.safetensors", tmp_path / "arrays.npz"
    found = {}
    for seed in (0, 1):
        train.run(weights, weights, tmp_path / "history.csv", spec=spec, seed=seed, log=print)
        found |= {(seed, "fit", member): float(spy.seen) for member, spy in load(weights).items()}
        sample.run(weights, weights, arrays, spec=spec, seed=seed)
        drawn = io.read_arrays(arrays)
        found |= {(seed, "x", member): float(drawn[key("x", member)][0, 0, 0]) for member in FAMILY["members"]}
        score.run(weights, weights, arrays, spec=spec, seed=seed, log=lambda step, total: None)
        found |= {(seed, name): point[0] for name, point in io.read_arrays(arrays).items() if name.startswith("point")}
    assert len(found) == 2 * (2 + 2 + 4) and len(set(found.values())) == len(found)


def test_rows_of_log_z_against_numbers_by_hand():
    scores = {
        "lower/10": np.array([0.0, 1.0]),
        "upper/10": np.array([2.0, math.inf]),
        "point/10": np.array([0.0, 3.0]),
        "evals/10": np.array([10, 12]),
        "kinds/10": np.array([["certified", "heuristic"]] * 2),
    }
    rows = {row["metric"]: row for row in evaluate.log_z_rows(scores, {"log_z": np.float64(0.5)})}
    assert rows["logz_error/10"]["value"] == 1.5 and rows["logz_bias/10"]["value"] == 1.0
    assert rows["logz_cover/10"]["value"] == 0.5 and rows["logz_cover/10"]["kind"] == "heuristic"
    assert rows["logz_width/10"]["value"] == math.inf and rows["logz_evals/10"]["value"] == 11
    assert set(evaluate.log_z_rows(scores, {})[0]) >= {"metric", "value", "se", "n", "kind"}
    assert {row["metric"] for row in evaluate.log_z_rows(scores, {})} == {
        "logz_point/10",
        "logz_width/10",
        "logz_evals/10",
    }


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (Draws(torch.zeros(2, 5, 3), None, 0), "expected \\(2, 4, 3\\)"),
        (Draws(torch.full((2, 4, 3), math.nan), None, 0), "not finite"),
        (Draws(torch.zeros(2, 4, 3), torch.full((2, 4), -math.inf), 0), "log weights are not finite"),
        (Draws(torch.zeros(2, 4, 3), torch.zeros(2, 3), 0), "log weights have shape"),
    ],
)
def test_draws_that_are_none_are_refused(draws, message):
    with pytest.raises((Failed, Diverged), match=message):
        sample.checked(draws, (2, 4), 3)


def test_intervals_that_are_none_are_refused():
    good = LogZ(0.0, 1.0, 0.5, 0.1, ("certified", "heuristic"), 0.05, 1.0, {"gradient": 7})
    arrays = score.checked([good, good], 2)
    assert arrays["evals"].tolist() == [7, 7] and arrays["kinds"].shape == (2, 2)
    with pytest.raises(Failed, match="one per replicate"):
        score.checked([good], 2)
    with pytest.raises(Failed, match="lower end above"):
        score.checked([LogZ(1.0, 0.0, 0.5, 0.1, ("exact", "exact"), 0.05, 1.0)], 1)
    with pytest.raises(Failed, match="expected two of"):
        score.checked([LogZ(0.0, 1.0, 0.5, 0.1, ("sure", "exact"), 0.05, 1.0)], 1)
    with pytest.raises(Diverged):
        score.checked([LogZ(0.0, 1.0, math.nan, 0.1, ("exact", "exact"), 0.05, 1.0)], 1)


def test_the_contract_says_none_by_default():
    target = SimpleNamespace(dim=2)
    sampler = build({"class": "gm.sampler.Sampler"})
    assert sampler.sample(target, 3, groups=2, generator=g()) is None
    assert sampler.log_z(target, groups=2, budget=9, generator=g()) == []
    assert sampler.fit(target, generator=g(), log=print).rows == [] and isinstance(sampler, Sampler)
    assert key("x", "") == "x" and key("x", "dim=2") == "x/dim=2"


def test_one_sided_refuses_weights_that_are_all_zero():
    with pytest.raises(FloatingPointError, match="expected a positive number"):
        one_sided(torch.full((4, 2), -math.inf), 0.05)


@pytest.mark.parametrize(
    "make", [lambda: Base(), lambda: Exact(blocks=32), lambda: AIS(chains=2, kernel="hmc", length=4)]
)
def test_a_certified_lower_end_lies_below_the_truth_and_the_budget_is_kept(make):
    """64 replicates of a lower end that fails with probability 0.05: more than 12 failures have probability 1e-5."""
    target = RotatedGaussian(dim=3, condition=4.0)
    sampler = fitted(make(), target)
    found = sampler.log_z(target, groups=64, budget=2048, generator=g(2))
    assert len(found) == 64 and sum(z.lower > target.log_z for z in found) <= 12
    assert all(sum(z.evals.values()) <= 1.25 * 2048 for z in found)
    assert abs(np.mean([z.point for z in found]) - target.log_z) < 0.1
    upper = "certified" if isinstance(sampler, Exact) else "heuristic"
    assert all(z.kinds == ("certified", upper) for z in found)
    if upper == "certified":
        assert sum(z.upper < target.log_z for z in found) <= 12
        assert np.mean([z.upper - z.lower for z in found]) < 0.5


def test_the_exact_control_sees_a_mode_that_forward_runs_miss():
    """Fixed seeds; four replicates, each within 0.5 nats: about 3 standard errors of a replicate's point."""
    target = TwoModes(dim=4, separation=12.0, weight=0.1, origin=0.0, spread=1.0)
    exact, blind = (fitted(sampler, target) for sampler in (Exact(), AIS()))
    found = exact.log_z(target, groups=4, budget=4096, generator=g(5))
    assert all(abs(z.point - target.log_z) < 0.5 and z.lower < target.log_z < z.upper for z in found)
    missed = blind.log_z(target, groups=4, budget=4096, generator=g(5))
    assert all(z.lower < target.log_z and z.kinds[1] == "heuristic" for z in missed)
    assert all(z.upper < target.log_z for z in missed), "nothing in the weights shows the missed mode"


def test_weighted_draws_have_the_target_s_moments():
    """4 standard errors of the mean square over 20 replicates, two samplers: false alarm below 2e-3 (t, 19 degrees)."""
    target = RotatedGaussian(dim=2, condition=4.0)
    for sampler in (fitted(Base(), target), fitted(AIS(), target), fitted(Exact(), target)):
        draws = sampler.sample(target, 400, groups=20, generator=g(3))
        log_w = torch.zeros(20, 400, dtype=torch.float64) if draws.log_w is None else draws.log_w
        found = (log_w.softmax(1) * draws.x.double().square().sum(-1)).sum(1)
        exact = float(target.sample(200_000, generator=g(4)).double().square().sum(-1).mean())
        assert abs(found.mean() - exact) < 4 * (found.std() / 20**0.5) + 0.02

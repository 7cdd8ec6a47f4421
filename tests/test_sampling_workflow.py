"""A grid of targets through the same workflow: made, made again, edited, refused where it has a mistake."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from test_workflow import copy, environment, gm

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

GRID = """
benchmark: few
datasets: [line.yaml, modes.yaml]
models: [base, exact, quick.yaml, broken.yaml]
seeds: [0]
metrics: [logz, moments, ess, modes, discrepancy]
budgets: [512, 1024]
groups: 4
draws: 32
only: {line: [base, quick, broken]}
"""
TARGETS = {
    "line": "target: own.py:Line\nparameters: {dim: 2}\n",
    "modes": "target: gm.densities.targets.mixture.TwoModes\nparameters: {dim: 2}\nvary: {separation: [2.0, 6.0]}\n"
    "draws: 256\n",
}
OWN = '''
"""A target without exact draws, and a sampler that fails on one of two."""

import torch

from gm.densities.targets.target import Target
from gm.model import Diverged, History
from gm.sampler import Sampler


class Line(Target):
    def __init__(self, *, dim: int, constant: float = 1.5) -> None:
        super().__init__(dim=dim, spread=1.0, log_z=None, constant=constant)

    def value_and_grad(self, x):
        return self.constant - x.double().square().sum(-1) / 2, -x


class Broken(Sampler):
    serves = ("density",)

    def fit(self, target, *, generator, log):
        if target.log_z is None:
            raise FloatingPointError("V is infinite at step 7")
        return History()

    def log_z(self, target, *, groups, budget, generator):
        if budget > 512:
            raise Diverged("too much budget")
        return []
'''


def make(folder):
    return gm(folder, "run", "mine/few.yaml", "--cores", "2")


def planned(folder) -> dict[str, int]:
    """Number of jobs per rule that Snakemake would run."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "mine/few.yaml", "--cores", "1", "-n"]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stats = re.search(r"^job +count\n-+ +-+\n(.*?)^total", done.stdout, re.S | re.M)
    rows = [line.split() for line in stats[1].splitlines()] if stats else []
    return {name: int(count) for name, count in rows if name != "all"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One finished benchmark."""
    folder = copy(tmp_path_factory.mktemp("targets") / "project")
    mine = folder / "mine"
    (mine / "few.yaml").write_text(GRID)
    for name, text in TARGETS.items():
        (mine / f"{name}.yaml").write_text(text)
    (mine / "own.py").write_text(OWN)
    (mine / "broken.yaml").write_text("class: own.py:Broken\n")
    quick = "class: gm.samplers.annealed.AIS\nmodel: {blocks: 8, chains: 2}\nfit: {population: 16, rounds: 1}\n"
    (mine / "quick.yaml").write_text(quick)
    return folder, make(folder)


def test_an_archive_of_targets_is_verified(made):
    folder, _ = made
    packed = gm(folder, "archive", "mine/few.yaml", "--out", "few.zip")
    assert packed.returncode == 0, packed.stdout + packed.stderr
    done = gm(folder, "verify", "few.zip", "--cells", "0")
    assert done.returncode == 0 and "remade, the same bytes" in done.stdout, done.stdout + done.stderr


def test_a_grid_of_targets_makes_a_report_and_tells_what_failed(made):
    folder, done = made
    assert done.returncode == 3, done.stdout + done.stderr
    assert "failed: line/broken/0 diverged: V is infinite at step 7" in done.stdout
    root = folder / "results/few"
    assert (root / "report/index.html").is_file() and (root / "figures/coverage/all.svg").is_file()
    with open(root / "table.csv", newline="") as file:
        rows = {(row["dataset"], row["model"], row["metric"]): row for row in csv.DictReader(file)}
    for member in ("separation=2", "separation=6"):
        for model in ("base", "exact", "quick"):
            for name in ("error", "bias", "cover", "width", "point", "evals"):
                assert ("modes", model, f"logz_{name}/1024/{member}") in rows
            for name in ("b2_mean", "b2_worst", "ess", "mode_tv", "mmd", "sliced_w2"):
                assert float(rows["modes", model, f"{name}/{member}"]["value"]) > 0
        cover = rows["modes", "exact", f"logz_cover/512/{member}"]
        assert cover["kind"] == "certified" and float(cover["value"]) == 1
        assert ("modes", "exact", f"ess_per_gradient/{member}") not in rows, "exact draws cost no gradient"
        failed = rows["modes", "broken", f"logz_error/1024/{member}"]
        assert failed["status"] == "diverged" and failed["value"] == ""
    assert ("line", "quick", "logz_point/512") in rows and ("line", "quick", "logz_error/512") not in rows
    assert not any(where == "line" and metric.startswith("mmd") for where, _, metric in rows)


def test_a_paper_of_a_grid_of_targets(made):
    folder, _ = made
    done = gm(folder, "run", "mine/few.yaml", "--cores", "1", "--", "paper")
    root = folder / "results/few"
    assert (root / "paper.pdf").read_bytes().startswith(b"%PDF"), done.stdout + done.stderr
    with open(root / "tables/line-logz.csv", newline="") as file:
        rows = {row["sampler"]: row for row in csv.DictReader(file)}
    with open(root / "pooled.csv", newline="") as file:
        pooled = {(row["dataset"], row["model"], row["quantity"], row["budget"]): row for row in csv.DictReader(file)}
    assert rows["quick"]["width"] == pooled["line", "quick", "width", "1024"]["value"]
    assert rows["quick"]["width low"] == pooled["line", "quick", "width", "1024"]["low"] and "RMSE" not in rows["quick"]
    assert {path.stem for path in root.glob("tables/*.tex")} == {path.stem for path in root.glob("tables/*.csv")}


def test_what_a_job_leaves(made):
    folder, _ = made
    with np.load(folder / "results/few/modes/data.npz") as data:
        assert data["x/separation=6"].shape == (256, 2) and data["log_z/separation=6"] == 1.5
        assert set(data["label/separation=6"]) == {0, 1} and len(str(data["identity/separation=2"])) == 64
    with np.load(folder / "results/few/modes/quick/0/samples.npz") as samples:
        assert samples["x/separation=2"].shape == (4, 32, 2) and samples["log_w/separation=2"].shape == (4, 32)
    with np.load(folder / "results/few/modes/quick/0/scores.npz") as scores:
        assert scores["kinds/512/separation=2"].tolist() == [["certified", "heuristic"]] * 4
        assert (scores["lower/512/separation=2"] <= scores["upper/512/separation=2"]).all()
        assert (scores["evals/1024/separation=2"] <= 1.2 * 1024).all()
    record = json.loads((folder / "results/few/modes/quick/0/model.json").read_text())
    assert {"gm.sampler", "gm.samplers.annealed", "gm.densities.targets.mixture"} <= set(record["code"]["parts"])


def test_a_second_run_has_nothing_to_do_and_a_change_remakes_what_follows_it(made):
    folder, _ = made
    assert planned(folder) == {}
    assert "nothing to do" in make(folder).stderr
    grid = folder / "mine/few.yaml"
    text = grid.read_text()
    grid.write_text(text.replace("[512, 1024]", "[512, 2048]"))
    try:
        assert planned(folder) == {"score": 7, "evaluate": 7, "report": 1}
        assert "key budgets: [512,1024] -> [512,2048]" in gm(folder, "why", "--grid", "mine/few.yaml", "score").stdout
    finally:
        grid.write_text(text)
    source = folder / "mine/own.py"
    own = source.read_text()
    source.write_text(own.replace("/ 2, -x", "/ 2 + 0.0, -x"))
    try:
        line, broken = 3, 1  # runs on the edited target, and one beside them of the sampler in the same file
        stages = {"prepare": 1, "ruler": 1} | dict.fromkeys(
            ("train", "sample", "score", "embed", "evaluate"), line + broken
        )
        assert planned(folder) == stages | {"report": 1}
    finally:
        source.write_text(own)


def test_a_mistake_starts_no_job(made):
    folder, _ = made
    path = folder / "mine/modes.yaml"
    text = path.read_text()
    path.write_text(text.replace("separation:", "seperation:"))
    try:
        told = gm(folder, "run", "mine/few.yaml")
        assert told.returncode == 2 and "did you mean 'separation'" in told.stderr and "modes.yaml" in told.stderr
    finally:
        path.write_text(text)
    assert gm(folder, "status", "mine/few.yaml").stdout.count("●") == 1 + 6  # the legend, and the runs

"""A fit that is cut off goes on where it was, and leaves the bytes of one that never was."""

import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import torch

from gm import catalogue, io
from gm.contract.case import Case
from gm.model import Event, build
from gm.nets.steps import Checkpoint, resumable
from gm.rng import stream
from gm.stages import checkpoint, train
from gm.stages.checkpoint import Kept

ROOT = Path(__file__).parents[2]
SHORT = {
    "gm.models.vae.VAE": {"steps": 12, "every": 3},
    "gm.models.vae.GaussianVAE": {"steps": 12, "every": 3},
    "gm.models.vae.PrivateVAE": {"steps": 12, "batch": 20},
    "gm.models.flow.Flow": {"steps": 12, "every": 3},
    "gm.models.ebm.EBM": {"steps": 12, "checks": 4},
    "gm.models.rbm.RBM": {"steps": 12, "every": 3},
    "gm.models.maxent.MaxEntRandom": {"steps": 12, "burn": 5, "draws": 4},
    "gm.models.maxent.MaxEntLearned": {"steps": 12, "burn": 5, "draws": 4},
}


class CutOff(Exception):
    """What a time limit is to a fit."""


class Memory(Checkpoint):
    """Keeps the state of every step in memory as a file would, and ends the fit after one of them."""

    def __init__(self, last=None, kept=None):
        self.last, self.kept, self.seen = last, kept, []

    def __call__(self, step, steps):
        self.seen.append(step)

    def restore(self):
        return self.kept

    def keep(self, state):
        if self.seen[-1] == self.last:
            file = BytesIO()
            torch.save(state(), file)
            file.seek(0)
            self.kept = torch.load(file, weights_only=True)
            raise CutOff


def spec_of(reference):
    levels = {"VAE": 2, "RBM": 2, "PrivateVAE": 2}.get(reference.rpartition(".")[2], 4)
    small = {"channels": [4], "units": 4} if "maxent" in reference else {}
    return {"class": reference, "model": small, "event": [(1, 4, 4), levels]}


def fitted(spec, log, options):
    """Weights, rows, counts and facts of a fit to the rows of the contract's own law."""
    torch.manual_seed(3)
    model = build(spec)
    case = Case({"class": spec["class"], "model": spec["model"]}, Event(*spec["event"]))
    train, valid = case.split("train", 200), case.split("valid", 60)
    history = model.fit(train, valid, generator=stream(0, "train"), log=log, **options)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, history


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 7, 12])
@pytest.mark.parametrize("reference", SHORT)
def test_every_iterative_fit_goes_on_to_the_same_bytes(reference, cut):
    spec, options = spec_of(reference), SHORT[reference]
    weights, history = fitted(spec, lambda step, steps: None, options)
    first = Memory(last=cut)
    with pytest.raises(CutOff):
        fitted(spec, first, options)
    second = Memory(kept=first.kept)
    again, told = fitted(spec, second, options)
    assert first.seen == list(range(1, cut + 1)) and second.seen == list(range(cut + 1, 13))
    assert weights.keys() == again.keys() and all(torch.equal(weights[name], again[name]) for name in weights)
    assert (history.rows, history.evals, history.facts) == (told.rows, told.evals, told.facts)


def test_every_class_that_iterates_is_tried():
    """A contestant of config/models whose fit has `steps` stands in the table above."""
    files = (ROOT / "config/models").glob("*.yaml")
    classes = {catalogue.contestant(file).spec.get("class", "") for file in files}
    with_steps = {name for name in classes if name and "resumable" in source_of(name)}
    assert with_steps == {name for name in SHORT if name in classes}


def source_of(reference):
    module = reference.rpartition(".")[0]
    return (ROOT / f"{module.replace('.', '/')}.py").read_text() + ("resumable" if "maxent" in reference else "")


def test_steps_of_a_plain_log_start_at_one():
    told = []
    assert list(resumable(3, lambda *step: told.append(step), {})) == [1, 2, 3] and told == [(1, 3), (2, 3), (3, 3)]


def state(step):
    return {"step": step, "parts": [], "values": {"sum": 1.5}}


def test_a_file_of_another_fit_or_a_broken_one_counts_for_nothing(tmp_path):
    path, about = tmp_path / "model.safetensors", {"seed": 1}
    kept = Kept(path, print, about, every=0.0)
    assert kept.restore() is None
    kept.keep(lambda: state(4))
    assert Kept(path, print, about).restore() == state(4)
    assert Kept(path, print, {"seed": 2}).restore() is None
    kept.path.write_bytes(kept.path.read_bytes()[:-40])
    assert Kept(path, print, about).restore() is None
    kept.path.write_bytes(b"no checkpoint")
    assert Kept(path, print, about).restore() is None
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_no_pickle_but_tensors_and_plain_values_is_read(tmp_path):
    path = tmp_path / "model.safetensors"
    kept = Kept(path, print, {})
    torch.save({"key": kept.key, "step": 1, "parts": [], "values": {"bad": Path("x")}}, kept.path)
    assert kept.restore() is None


def test_a_state_is_kept_no_more_often_than_asked(tmp_path):
    kept = Kept(tmp_path / "model.safetensors", print, {}, every=1e9)
    kept.keep(lambda: pytest.fail("it was not time"))


SPEC = {"class": "gm.models.vae.VAE", "model": {}, "fit": {"steps": 400, "every": 50, "batch": 20}}
JOB = """
import json, sys
from pathlib import Path
from gm.stages import job, train
Kept = train.Kept
class Slow(Kept):
    def __init__(self, *given):
        super().__init__(*given, every=0.0)
    def __call__(self, step, steps):
        super().__call__(step, steps)
        print(step, flush=True)
train.Kept = Slow
folder = Path(sys.argv[1])
job.run(train, spec=json.loads(sys.argv[2]), seed=0, data=folder / "data.npz", weights=folder / "model.safetensors",
        history=folder / "history.csv")
"""


@pytest.mark.slow
def test_a_killed_job_goes_on(tmp_path):
    """`kill -9` in the middle of a fit, then the same command: the same bytes as without, and no checkpoint is left."""
    x = torch.randint(0, 2, (80, 1, 4, 4), generator=stream(0, "x")).to(torch.uint8).numpy()
    for name in ("whole", "cut"):
        arrays = {f"{kind}_{part}": x if kind == "x" else x[:, 0, 0, 0] for part in ("train", "valid")
                  for kind in ("x", "label")}  # fmt: skip
        io.write_arrays(tmp_path / name / "data.npz", arrays | {"levels": 2})
    command = [sys.executable, "-c", JOB]
    subprocess.run([*command, str(tmp_path / "whole"), io.canonical(SPEC)], check=True, capture_output=True)
    given = [*command, str(tmp_path / "cut"), io.canonical(SPEC)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 150:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    (tmp_path / "cut/..model.safetensors.checkpoint.1").touch()  # as if it had been killed while it wrote one
    again = subprocess.run(given, check=True, capture_output=True, text=True)
    assert "goes on after step" in again.stderr and int(again.stdout.split()[0]) >= 150
    for name in ("model.safetensors", "history.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "cut").glob(".*checkpoint*"))


def test_a_fit_that_fails_leaves_no_checkpoint(tmp_path, monkeypatch):
    """What diverged would diverge again."""
    x = torch.zeros(20, 1, 4, 4, dtype=torch.uint8).numpy()
    io.write_arrays(tmp_path / "data.npz", {f"{kind}_{part}": x if kind == "x" else x[:, 0, 0, 0]
                    for part in ("train", "valid") for kind in ("x", "label")} | {"levels": 2})  # fmt: skip
    monkeypatch.setattr(checkpoint.Kept.__init__, "__defaults__", (0.0,))
    spec = SPEC | {"fit": {"steps": 100, "every": 10, "rate": 1e30}}
    with pytest.raises(train.Failed):
        train.run(tmp_path / "data.npz", tmp_path / "model.safetensors", tmp_path / "history.csv", spec=spec, seed=0,
                  log=lambda step, steps: None)  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]

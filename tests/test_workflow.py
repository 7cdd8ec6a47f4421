"""The workflow for real: one small benchmark, made, made again, edited, killed and resumed.

Everything happens in copies of the project, so that sources can be edited without touching the ones under test.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[1]
GRID = """
benchmark: small
datasets: [digits]
models: [resample, mixture, vae-small.yaml, broken.yaml, own.yaml, handed-in.yaml]
seeds: [0]
metrics: [likelihood, frechet, outliers, memorisation]
nets: [pca, random]
compare: [[vae-small, mixture]]
"""
OWN = '''
"""A contestant outside the repository: independent uniform pixels, exact mass."""

import math

import torch

from gm.model import Bounds, Diverged, History, Model


class Uniform(Model):
    family = "control"

    def fit(self, train, valid, *, generator, log):
        return History(rows=[{"step": 0, "nothing": 0.0}])

    def sample(self, n, *, generator):
        return torch.randint(self.event.levels, (n, *self.event.shape), generator=generator)

    def bounds(self, y, *, generator):
        return Bounds.exact(torch.full((len(y),), -self.event.dim * math.log(self.event.levels), dtype=torch.float64))


class Broken(Uniform):
    def fit(self, train, valid, *, generator, log):
        raise Diverged("loss 1e30 at step 7")
'''


def copy(folder: Path) -> Path:
    """A copy of the project with a small grid and contestants of its own."""
    skip = shutil.ignore_patterns(
        ".git", ".venv", "results", ".snakemake", "__pycache__", "*.egg-info", ".pytest_cache"
    )
    shutil.copytree(REPOSITORY, folder, ignore=skip)
    mine = folder / "mine"
    mine.mkdir()
    (mine / "small.yaml").write_text(GRID)
    (mine / "own.py").write_text(OWN)
    (mine / "own.yaml").write_text("class: own.py:Uniform\n")
    (mine / "broken.yaml").write_text("class: own.py:Broken\n")
    vae = (folder / "config/models/vae.yaml").read_text()
    assert "class: gm.models.vae.VAE" in vae
    (mine / "vae-small.yaml").write_text("class: gm.models.vae.VAE\nfit: {steps: 30}\nscore: {sizes: [10]}\n")
    (mine / "handed-in.yaml").write_text("external: {samples: handed-in.npz, datasets: [digits]}\n")
    images = np.random.default_rng(0).integers(17, size=(250, 1, 8, 8)).astype(np.uint8)
    np.savez(mine / "handed-in.npz", x=images)
    return folder


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def gm(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gm", *words]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def make(folder: Path) -> subprocess.CompletedProcess:
    return gm(folder, "run", "mine/small.yaml", "--cores", "2")


def make_paper(folder: Path) -> subprocess.CompletedProcess:
    return gm(folder, "run", "mine/small.yaml", "--cores", "1", "--", "paper")


def planned(folder: Path, *words: str) -> dict[str, int]:
    """Number of jobs per rule that Snakemake would run."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "mine/small.yaml", "--cores", "1", "-n", *words]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    stats = re.search(r"^job +count\n-+ +-+\n(.*?)^total", done.stdout, re.S | re.M)
    rows = [line.split() for line in stats[1].splitlines()] if stats else []
    return {name: int(count) for name, count in rows if name != "all"}


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of everything that the same seed must reproduce: arrays, weights, tables, figures."""
    found = {}
    for path in sorted((folder / "results/small").rglob("*")):
        covered = path.suffix in {".npz", ".safetensors", ".csv", ".svg", ".pdf", ".png"} and path.name != "cost.csv"
        if covered:
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One finished benchmark."""
    folder = copy(tmp_path_factory.mktemp("made") / "project")
    done = make(folder)
    assert done.returncode == 3, done.stdout + done.stderr
    return folder, done


def test_what_is_packed_is_up_to_date_and_verified(made):
    folder, _ = made
    assert gm(folder, "archive", "mine/small.yaml", "--out", "fresh.zip").returncode == 0
    verified = gm(folder, "verify", "fresh.zip", "--cells", "0")
    assert verified.returncode == 0 and "remade, the same bytes" in verified.stdout, verified.stdout + verified.stderr
    path = folder / "mine/vae-small.yaml"
    text = path.read_text()
    path.write_text(text.replace("steps: 30", "steps: 31"))
    stale = gm(folder, "archive", "mine/small.yaml", "--out", "stale.zip")
    path.write_text(text)
    assert stale.returncode == 2 and "train digits/vae-small/0: key fit.steps: 30 -> 31" in stale.stderr
    assert not (folder / "stale.zip").exists()


def test_one_command_makes_a_report_and_tells_what_failed(made):
    folder, done = made
    assert "report:" in done.stdout
    assert "failed: digits/broken/0 diverged: loss 1e30 at step 7" in done.stdout
    assert "5 of 6 runs ok" in done.stdout
    root = folder / "results/small"
    table = (root / "table.csv").read_text()
    assert "small,digits,broken,0,run,0" in table and ",diverged" in table
    for model in ("own", "handed-in"):
        assert re.search(rf"small,digits,{model},0,FD_pca@250,\d", table), "contestants from outside are ranked"
    assert "handed-in" in (root / "report/index.html").read_text()


def test_a_second_run_has_nothing_to_do(made):
    folder, _ = made
    before = hashes(folder)
    assert planned(folder) == {}
    done = make(folder)
    assert "nothing to do" in done.stderr and hashes(folder) == before


def test_a_paper_is_made_of_the_report_alone(made):
    folder, _ = made
    assert planned(folder, "paper") in ({"paper": 1}, {})
    done = make_paper(folder)
    assert (folder / "results/small/paper.pdf").read_bytes().startswith(b"%PDF"), done.stdout + done.stderr
    classes = (folder / "results/small/tables/contestants.csv").read_text()
    assert "own,mine/own.py:Uniform,control" in classes and "handed-in,made elsewhere" in classes
    assert planned(folder, "paper") == {} and planned(folder) == {}


def test_touching_and_commenting_remake_nothing(made):
    folder, _ = made
    for path in [*folder.glob("gm/**/*.py"), *folder.glob("workflow/**/*"), *folder.glob("config/**/*.yaml")]:
        path.touch()
    source = folder / "gm/models/vae.py"
    text = source.read_text()
    source.write_text(text + "\n# a remark\n")
    assert planned(folder) == {}
    source.write_text(text)


def test_an_edited_function_remakes_its_model_alone_and_why_names_it(made):
    folder, _ = made
    source = folder / "gm/models/vae.py"
    text = source.read_text()
    edited = re.sub(r"(    def sample\(.*?\n)(?=        [a-z])", r"\1        n = int(n)\n", text, count=1, flags=re.S)
    assert edited != text
    source.write_text(edited)
    try:
        assert planned(folder) == {"train": 1, "sample": 1, "score": 1, "embed": 1, "evaluate": 1, "report": 1}
        told = gm(folder, "why", "--grid", "mine/small.yaml").stdout
        assert "code gm.models.vae: VAE.sample()" in told and "mixture" not in told
    finally:
        source.write_text(text)
    assert planned(folder) == {}


def test_an_edited_section_remakes_what_follows_it(made):
    folder, _ = made
    path = folder / "mine/vae-small.yaml"
    text = path.read_text()
    path.write_text(text.replace("[10]", "[12]"))
    try:
        assert planned(folder) == {"score": 1, "evaluate": 1, "report": 1}
        assert "key score.sizes: [10] -> [12]" in gm(folder, "why", "--grid", "mine/small.yaml", "score").stdout
    finally:
        path.write_text(text)


def test_a_mistake_in_the_configuration_starts_no_job(made):
    folder, _ = made
    path = folder / "mine/vae-small.yaml"
    text = path.read_text()
    path.write_text(text.replace("steps: 30", "steps: 1e-3"))
    try:
        told = gm(folder, "run", "mine/small.yaml")
        assert told.returncode == 2 and "write 1.0e-3" in told.stderr and "Traceback" not in told.stderr
        command = [sys.executable, "-m", "snakemake", "--configfile", "mine/small.yaml", "--cores", "1"]
        run = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
        assert run.returncode == 1 and "write 1.0e-3" in run.stderr and "Traceback" not in run.stderr
    finally:
        path.write_text(text)


def test_killed_and_resumed_elsewhere_gives_the_same_bytes(made, tmp_path):
    folder, _ = made
    other = copy(tmp_path / "elsewhere")
    command = [sys.executable, "-m", "gm", "run", "mine/small.yaml", "--cores", "2"]
    process = subprocess.Popen(
        command, cwd=other, env=environment(other), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 300
    while not list(other.glob("results/small/*/*/0/model.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = make(other)
    assert done.returncode == 3, done.stdout + done.stderr
    for place in (folder, other):
        make_paper(place)
    found = hashes(other)
    assert found == hashes(folder) and "results/small/paper.pdf" in found


def test_a_second_run_in_the_same_folder_refuses(made):
    folder, _ = made
    script = "import sys, time; from pathlib import Path; from gm.commands.lock import lock\n"
    script += "with lock(Path('results')): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script]
    holder = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        done = make(folder)
        assert done.returncode == 4 and f"another run (process {holder.pid} on " in done.stderr
    finally:
        holder.kill()
        holder.wait()

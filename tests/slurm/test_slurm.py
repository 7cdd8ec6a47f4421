"""A grid through the Slurm profile, on a real Slurm: the same bytes as on one machine, whatever happens to its jobs."""

import contextlib
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from slurm.cluster import cluster, missing, wait
from test_workflow import copy, environment, gm

ABSENT = [
    *missing(),
    *(["the Slurm plugin"] if not importlib.util.find_spec("snakemake_executor_plugin_slurm") else []),
]
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (slurm-wlm, munge; pip: the extra slurm)"
    ),
]

GRID = """
benchmark: few
datasets: [digits]
models: [mixture, vae-small.yaml, vae-gpu.yaml]
seeds: [0]
metrics: [likelihood, frechet]
nets: [pca, random]
compare: [[vae-small, mixture]]
"""
JOBS = 9  # prepare, ruler, report; for each of three runs its fit, and a group of what judges it
COSTS = {"cost.csv", "snakemake.log"}


def project(folder: Path) -> Path:
    copy(folder)
    (folder / "mine/few.yaml").write_text(GRID)
    small = (folder / "mine/vae-small.yaml").read_text()
    (folder / "mine/vae-gpu.yaml").write_text(f"{small}device: gpu\n")
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every result but records, logs and costs, which hold wall times."""
    root = folder / "results/few"
    covered = [p for p in root.rglob("*") if p.is_file() and p.suffix not in {".json", ".log"} and p.name not in COSTS]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(covered)}


@contextlib.contextmanager
def submitted(folder: Path, slurm):
    """Snakemake with the profile, as a user would call it, but asking for news more often."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "snakemake"]
    command += ["--workflow-profile", "workflow/profiles/slurm"]
    command += ["--configfile", "mine/few.yaml", "--slurm-init-seconds-before-status-checks", "2"]
    with open(folder / "said.log", "wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(folder) | slurm.environment | {"PYTHONPATH": str(folder)},
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def done(process: subprocess.Popen, folder: Path) -> str:
    """Wait for its end, and return what it said."""
    code = process.wait(timeout=900)
    said = (folder / "said.log").read_text()
    assert code == 0, said
    return said


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The grid, made by `gm run` on this machine."""
    folder = project(tmp_path_factory.mktemp("local") / "project")
    made = gm(folder, "run", "mine/few.yaml", "--cores", "2")
    assert made.returncode == 0, made.stdout + made.stderr
    assert {"report/index.html", "table.csv", "digits/vae-small/0/model.safetensors"} <= set(hashes(folder))
    return folder


@pytest.fixture
def slurm(tmp_path):
    with cluster(tmp_path / "slurm") as running:
        yield running


def test_a_grid_on_slurm_has_the_bytes_of_a_local_run(local, slurm, tmp_path):
    folder = project(tmp_path / "project")
    with submitted(folder, slurm) as process:
        said = done(process, folder)
    assert hashes(folder) == hashes(local)
    assert said.count("submitted with SLURM jobid") == JOBS
    asked = slurm.ask("squeue", "--states=all", "--noheader", "--format=%k %m %l %T").splitlines()
    assert "rule_train_wildcards_digits_vae-small_0 2500M 4:00:00 COMPLETED" in asked
    devices = slurm.ask("squeue", "--states=all", "--noheader", "--Format=tres-per-job:20").split()
    assert devices.count("gres:gpu:1") == 2 and len(set(devices)) == 2, "a fit, and a group that judges it"
    log = (folder / "results/few/digits/vae-gpu/0/train.log").read_text()
    assert "no GPU is usable here; this job runs on the CPU" in log, "the cluster's GPU is pretended"


def test_jobs_cancelled_and_nodes_lost_are_made_good(local, slurm, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(local, folder)
    root = folder / "results/few"
    run = root / "digits/vae-small/0"
    for path in [run, *(path for path in root.iterdir() if path.name != "digits")]:  # what is left to be made
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with submitted(folder, slurm) as process:
        wait((run / "train.log").exists, "a fit that runs", 300)
        (fit,) = slurm.running()
        subprocess.run(["scancel", fit], env=slurm.environment, check=True)
        wait(lambda: fit not in slurm.running(), "a fit that is cancelled")
        assert not (run / "model.safetensors").exists()
        wait((run / "score.log").exists, "a group that runs, after the fit was made again", 300)
        (judge,) = slurm.running()
        slurm.tell(state="down", reason="a test")
        wait(lambda: not slurm.running(), "a group that ends with its node")
        assert not (run / "scores.npz").exists()
        slurm.tell(state="resume")
        wait(slurm.running, "a group that Slurm starts again", 300)
        (run / "score.log").unlink(missing_ok=True)
        wait((run / "score.log").exists, "a group that runs again", 300)
        slurm.tell(state="drain", reason="a test")
        wait(lambda: not slurm.running(), "a group that runs to its end on a node that is drained", 300)
        assert (run / "metrics.csv").exists()
        slurm.tell(state="resume")
        said = done(process, folder)
    assert "SLURM status is: 'CANCELLED'" in said and said.count("Trying to restart job") == 1
    assert said.count("submitted with SLURM jobid") == 4, "the fit twice, what judges it, and the report"
    assert "Restarts=1" in slurm.ask("scontrol", "show", "job", judge), (
        "Slurm itself has put the group back into its queue"
    )
    assert hashes(folder) == hashes(local)

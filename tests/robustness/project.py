"""A copy of the project with a small benchmark of its own, and what must come out of it byte for byte."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
LEFT_OUT = (".git", ".venv", "results", ".snakemake", "__pycache__", "*.egg-info", ".pytest_cache", ".ruff_cache")
RUN = (sys.executable, "-m", "gm", "run", "small.yaml", "--cores", "2")
GRID = """
benchmark: small
datasets: [digits]
models: [resample, mixture, ppca, vae-small.yaml]
seeds: [0]
metrics: [likelihood, frechet, outliers, memorisation]
nets: [pca, random]
compare: [[vae-small, mixture]]
"""
VAE = "class: gm.models.vae.VAE\nfit: {steps: 30}\nscore: {sizes: [10]}\n"
SUFFIXES = (".npz", ".safetensors", ".csv", ".svg", ".pdf", ".png", ".html")
UNPROMISED = ("cost.csv",)  # wall time and memory


def copy(folder: Path) -> Path:
    """The project without what was made of it."""
    shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return folder


def workplace(folder: Path) -> Path:
    """A folder with a small grid: four contestants on real digits, half a minute of CPU time."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(GRID)
    (folder / "vae-small.yaml").write_text(VAE)
    return folder


def environment(code: Path, **more: str) -> dict[str, str]:
    """Variables of a process that uses a copy of the project, one thread each."""
    given = {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg"}
    return os.environ | given | more


def hashes(root: Path) -> dict[str, str]:
    """sha256 of every result that the same seed must reproduce: arrays, weights, tables, figures and the page."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.suffix in SUFFIXES and path.name not in UNPROMISED and not path.name.startswith("."):
            try:
                found[path.relative_to(root).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError:  # a job that still runs may replace what it made before
                continue
    return found


class Undisturbed(NamedTuple):
    """A run that came to its end: the copy of the project that made it, its results, its duration in seconds."""

    code: Path
    results: dict[str, str]
    seconds: float


def undisturbed(place: Path) -> Undisturbed:
    """Copy the project, and make the small benchmark with it."""
    code, folder, started = copy(place / "code"), workplace(place / "undisturbed"), time.monotonic()
    done = subprocess.run(RUN, cwd=folder, env=environment(code), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the undisturbed run ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return Undisturbed(code, hashes(folder / "results"), time.monotonic() - started)

"""Plainly nothing to do, or Snakemake decides."""

import os
from pathlib import Path

import pytest

from gm import io
from gm.commands.records import Job, untouched


@pytest.fixture
def made(tmp_path):
    """One prepared dataset and one fit, each file older than its record."""
    found = []
    for tick, (stage, names) in enumerate([("prepare", ["data.npz"]), ("train", ["model.safetensors", "history.csv"])]):
        wildcards = {"dataset": "d"} if stage == "prepare" else {"dataset": "d", "model": "m", "seed": 0}
        for name in [*names, Path(names[0]).with_suffix(".json").name]:
            io.write_text(tmp_path / name, "{}")
            os.utime(tmp_path / name, ns=(0, 10**9 * (tick + 1)))
        found.append(Job(stage, wildcards, tmp_path / names[0], (), "ok"))
    return found


def test_untouched(made):
    assert untouched(made)


def test_a_reason_a_missing_file_or_a_newer_one_leaves_it_to_snakemake(made, tmp_path):
    reasoned = [made[0], Job("train", made[1].wildcards, made[1].target, ("key fit.steps: 1 -> 2",), "ok")]
    assert not untouched(reasoned)
    os.utime(tmp_path / "data.npz", ns=(0, 10**10))
    assert not untouched(made), "newer than its record"
    os.utime(tmp_path / "data.json", ns=(0, 10**10))
    assert not untouched(made), "newer than what was made from it"
    os.utime(tmp_path / "data.npz", ns=(0, 10**9))
    assert untouched(made)
    (tmp_path / "history.csv").unlink()
    assert not untouched(made)

"""A model's failure is a result, a machine's is an error; the planned code is the code that runs."""

import types

import pytest

from gm import io, provenance
from gm.stages import job
from gm.stages.job import Failed, Input, Outcome, Output


def stage(run, name="gm.stages.sample", empty=None):
    module = types.SimpleNamespace(__name__=name, run=run)
    if empty:
        module.empty = empty
    return module


def work(source: Input, target: Output, *, spec: dict) -> Outcome:
    if spec.get("fail"):
        raise Failed("diverged", "loss 1e30 at step 3")
    io.write_text(target, source.read_text().upper())
    return Outcome(evals={"density": 3})


def empty(target: Output) -> None:
    io.write_text(target, "")


def test_a_record_stands_beside_the_artefact(tmp_path):
    (tmp_path / "in.txt").write_text("a")
    status = job.run(stage(work), spec={}, seed=1, source=tmp_path / "in.txt", target=tmp_path / "out.txt")
    record = io.read_json(tmp_path / "out.json")
    assert status == "ok" and (tmp_path / "out.txt").read_text() == "A"
    assert record["status"] == "ok" and record["evals"] == {"density": 3} and record["seed"] == 1
    assert record["inputs"]["source"] == io.sha256(tmp_path / "in.txt")
    assert record["outputs"]["target"] == io.sha256(tmp_path / "out.txt")
    assert {"seconds", "peak_mb", "versions", "commit", "device"} <= set(record)


def test_a_models_failure_leaves_valid_empty_files_and_travels_on(tmp_path):
    (tmp_path / "in.txt").write_text("a")
    first = stage(work, empty=empty)
    assert job.run(first, spec={"fail": True}, source=tmp_path / "in.txt", target=tmp_path / "mid.txt") == "diverged"
    assert provenance.status_of(tmp_path / "mid.txt") == ("diverged", "loss 1e30 at step 3")
    assert job.run(first, spec={}, source=tmp_path / "mid.txt", target=tmp_path / "end.txt") == "diverged"
    assert provenance.status_of(tmp_path / "end.txt") == ("diverged", "loss 1e30 at step 3")
    assert (tmp_path / "end.txt").read_text() == ""


def test_an_error_of_the_machine_writes_nothing(tmp_path):
    (tmp_path / "in.txt").write_text("a")

    def broken(source: Input, target: Output, *, spec: dict) -> Outcome:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        job.run(stage(broken, empty=empty), spec={}, source=tmp_path / "in.txt", target=tmp_path / "out.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt"]


def test_code_that_was_not_planned_does_not_run(tmp_path):
    (tmp_path / "in.txt").write_text("a")
    with pytest.raises(job.StaleCode, match="plan again"):
        job.run(stage(work), spec={}, code="0" * 16, source=tmp_path / "in.txt", target=tmp_path / "out.txt")


def test_progress_is_written_rarely_and_whole(tmp_path):
    log = job.progress(tmp_path / "model.safetensors", every=1e9)
    log(1, 10)
    assert not list(tmp_path.iterdir()), "a short job leaves no trace"
    log = job.progress(tmp_path / "model.safetensors", every=0.0)
    log(2, 10)
    beat = io.read_json(tmp_path / ".model.safetensors.progress")
    assert (beat["step"], beat["total"]) == (2, 10)


def test_a_contestants_exception_becomes_a_typed_failure():
    from gm.model import Diverged
    from gm.stages.contestant import contestant

    with pytest.raises(Failed, match="energy 1e9") as caught, contestant():
        raise Diverged("energy 1e9")
    assert caught.value.status == "diverged"
    with pytest.raises(Failed, match="ValueError: shape") as caught, contestant():
        raise ValueError("shape")
    assert caught.value.status == "error"
    with pytest.raises(MemoryError), contestant():
        raise MemoryError

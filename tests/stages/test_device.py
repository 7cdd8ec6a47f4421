"""A job computes where it was told to, alone there, and its noise is the same everywhere."""

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from elsewhere import elsewhere

from gm import io, rng, source
from gm.contract.case import law
from gm.model import Event
from gm.stages import device, sample, score, train
from gm.stages.device import described, device_for, held

SMALL = {
    "gm.models.vae.VAE": {"fit": {"steps": 8, "every": 4}, "score": {"sizes": [2, 4], "simulated": 3}},
    "gm.models.vae.GaussianVAE": {"fit": {"steps": 8, "every": 4}, "score": {"sizes": [2, 4], "simulated": 3}},
    "gm.models.flow.Flow": {"fit": {"steps": 8, "every": 4}},
    "gm.models.ebm.EBM": {
        "fit": {"steps": 8, "batch": 32, "checks": 2},
        "score": {"chains": 8, "temperatures": 40},
    },
}


def data(folder, levels):
    """What `prepare` leaves, of a small law."""
    event, arrays = Event((1, 4, 4), levels), {"levels": np.int64(levels)}
    for name, n in {"train": 80, "valid": 40, "test": 10, "outlier": 6}.items():
        split = law(event, n, seed=0, generator=rng.stream(0, name))
        arrays |= {f"x_{name}": split.x.to(torch.uint8).numpy(), f"label_{name}": split.label.numpy()}
    for name in ("test", "outlier"):
        u = torch.randint(2**16, arrays[f"x_{name}"].shape, generator=rng.stream(1, name)) / 2**16
        arrays[f"u_{name}"] = u.numpy().astype(np.float32)
    io.write_arrays(folder / "data.npz", arrays)
    return folder / "data.npz"


def stages(folder, found, spec):
    """Fit, draw and score as jobs do, and the bytes of all that they leave."""
    folder.mkdir()
    weights, history = folder / "model.safetensors", folder / "history.csv"
    samples, scores = folder / "samples.npz", folder / "scores.npz"
    train.run(found, weights, history, spec=spec, seed=3, log=lambda step, steps: None)
    sample.run(found, weights, samples, spec=spec, seed=3)
    score.run(found, weights, scores, spec=spec, seed=3)
    return {path.name: path.read_bytes() for path in (weights, history, samples, scores)}


@pytest.mark.slow
@pytest.mark.parametrize("reference", SMALL)
def test_a_class_that_runs_on_a_gpu_gives_the_same_bytes_on_a_pretended_one(tmp_path, monkeypatch, reference):
    assert "gpu" in source.attribute(reference, "devices")
    found, spec = data(tmp_path, 4), {"class": reference, **SMALL[reference]}
    here = stages(tmp_path / "here", found, spec)
    for stage in (train, sample, score):
        monkeypatch.setattr(stage, "device_for", elsewhere)
    assert stages(tmp_path / "there", found, spec) == here


def test_every_class_that_runs_on_a_gpu_is_tried_on_a_pretended_one():
    claims = set()
    for path in sorted((source.PACKAGE / "models").glob("[a-z]*.py")):
        for name in source.classes(path):
            reference = f"gm.models.{path.stem}.{name}"
            if "gpu" in (source.attribute(reference, "devices") or ()):
                claims.add(reference)
    assert claims == set(SMALL)


def test_the_pretended_gpu_refuses_what_a_gpu_refuses():
    generator = torch.Generator().manual_seed(0)
    with elsewhere() as there:
        x = torch.ones(3).to(there)
        assert x.device == there and float((2 * x).sum()) == 6
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="two devices"):
            torch.ones(3)[torch.tensor([0, 1]).to(there)]
        with pytest.raises(RuntimeError, match="two devices"):
            torch.stack([x.sum(), torch.tensor(1.0)])
        assert float(x[torch.tensor([0, 1])].sum() + torch.tensor(1.0)) == 3
        with pytest.raises(RuntimeError, match="generator of the CPU"):
            torch.randn(3, generator=generator, device=there)


def test_without_a_gpu_a_job_says_so_and_runs_on_the_cpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with device_for({"device": "gpu"}) as found:
        assert found == torch.device("cpu")
    assert capsys.readouterr().err == "no GPU is usable here; this job runs on the CPU\n"
    assert described(found) == {"device": "cpu"}


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_is_held_set_and_described(monkeypatch, tmp_path, deterministic):
    chosen = []
    monkeypatch.setattr(device.tempfile, "gettempdir", lambda: str(tmp_path))
    pretended = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_properties": lambda index: SimpleNamespace(uuid=f"GPU-{index}"),
        "get_device_name": lambda found: f"Pretended {found.index}",
        "max_memory_reserved": lambda found: 3 * 2**20,
        "reset_peak_memory_stats": lambda index: None,
        "set_device": chosen.append,
    }
    for name, function in pretended.items():
        monkeypatch.setattr(torch.cuda, name, function)
    with device_for({"device": "gpu"}), device_for({"device": "gpu", "deterministic": deterministic}) as second:
        assert second == torch.device("cuda", 1) and chosen == [0, 1]
        assert described(second) == {"device": "Pretended 1", "device_peak_mb": 3.0}
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.deterministic is deterministic and not torch.backends.cudnn.allow_tf32
    assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.allow_tf32
    assert len(list(tmp_path.iterdir())) == 2


def test_a_device_is_free_again_when_its_job_is_killed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "POLL", 0.05)
    code = f"""
        import sys, time
        from pathlib import Path
        from gm.stages.device import held
        with held(["a"], Path({str(tmp_path)!r})):
            print("held", flush=True)
            time.sleep(600)
    """
    job = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
    assert job.stdout.readline() == b"held\n"
    with held(["a", "b"], tmp_path) as index:
        assert index == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device.time, "sleep", lambda seconds: job.kill() or job.wait())
        with held(["a"], tmp_path) as index:
            assert index == 0
    assert capsys.readouterr().err == "waits for one of 1 GPUs, which other jobs hold\n"

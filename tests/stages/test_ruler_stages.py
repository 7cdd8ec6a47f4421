"""ruler and embed: the nets that the grid names, no other, and the weights made elsewhere on record."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gm import io
from gm.stages import embed, ruler


class Half(torch.nn.Module):
    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return images.float().flatten(2).mean(2) if return_features else images.float()


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"levels": np.array(17)}
    for split, n in {"train": 60, "valid": 10, "test": 20, "fresh": 20}.items():
        arrays[f"x_{split}"] = rng.integers(17, size=(n, 1, 8, 8), dtype=np.uint8)
        arrays[f"label_{split}"] = np.arange(n) % 3
    arrays["x_outlier_noise"] = rng.integers(17, size=(20, 1, 8, 8), dtype=np.uint8)
    io.write_arrays(tmp_path / "data.npz", arrays)
    io.write_arrays(tmp_path / "samples.npz", {"x": arrays["x_test"]})
    return tmp_path


def made(folder, spec):
    paths = [folder / name for name in ("data.npz", "features.npz", "model.safetensors", "trivial.npz")]
    outcome = ruler.run(*paths, spec={"seed": 0} | spec, log=None)
    embed.run(folder / "samples.npz", paths[2], folder / "embedded.npz", spec=spec)
    return outcome.facts, io.read_arrays(paths[1]), io.read_arrays(folder / "embedded.npz")


def test_all_nets(data):
    torch.jit.script(Half()).save(data / "mine.pt")
    sha256 = io.sha256(data / "mine.pt")
    own = {"file": str(data / "mine.pt"), "sha256": sha256}
    facts, features, embedded = made(data, {"nets": ["cnn", "pca", "lite0", "inception"], "inception": own})
    widths = {"cnn": 64, "pca": 32, "lite0": 1280, "inception": 3}
    assert {name: f.shape for name, f in embedded.items()} == {net: (20, d) for net, d in widths.items()}
    assert {name: f.shape for name, f in features.items()} == {
        f"{net}_{split}": (n, d)
        for net, d in widths.items()
        for split, n in (("train", 60), ("test", 20), ("fresh", 20))
    }
    for net, f in embedded.items():
        assert f.dtype == (np.float64 if net == "pca" else np.float32)
        np.testing.assert_array_equal(f, features[f"{net}_test"])
    assert facts["inception_sha256"] == sha256 and facts["lite0_sha256"].startswith("5793")
    assert len(facts["cnn_accuracy"]) == 3
    (data / "mine.pt").write_bytes(b"another")
    with pytest.raises(ValueError, match="TorchScript file has sha256"):
        made(data, {"nets": ["inception"], "inception": own})


def test_of_many_training_images_some_are_embedded(data, monkeypatch):
    monkeypatch.setattr(ruler, "TRAIN", 25)
    facts, features, _ = made(data, {"nets": ["pca"]})
    assert features["pca_train"].shape == (20, 32) and features["pca_test"].shape == (20, 32)
    monkeypatch.setattr(ruler, "TRAIN", 60)
    np.testing.assert_array_equal(made(data, {"nets": ["pca"]})[1]["pca_train"][::3], features["pca_train"])
    assert facts == {}


def test_a_net_that_is_not_named_is_not_imported(data):
    code = (
        "import sys; from pathlib import Path; from gm.stages import ruler; p = Path(sys.argv[1]);"
        "names = ['data.npz', 'features.npz', 'model.safetensors', 'trivial.npz'];"
        "ruler.run(*[p / name for name in names], spec={'seed': 0, 'nets': ['pca']}, log=None);"
        "sys.exit(any(name.startswith('efficientnet') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(data)], check=False).returncode == 0

"""What the stage writes beside the images of a conditional model."""

import numpy as np
import pytest
import torch

from gm import io
from gm.model import Event, Split
from gm.models.memoriser import Memoriser
from gm.models.ppca import PPCA
from gm.rng import stream
from gm.stages import sample, train
from gm.stages.job import Failed

EVENT = Event((1, 2, 2), 3)


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    x, label = rng.integers(3, size=(40, 1, 2, 2)).astype(np.uint8), rng.integers(4, size=40)
    arrays = {"x_train": x, "label_train": label, "x_test": x[:25], "levels": np.int64(3)}
    io.write_arrays(tmp_path / "data.npz", arrays)
    return arrays


def drawn(tmp_path, cls, arrays):
    model = cls(EVENT)
    known = Split(torch.from_numpy(arrays["x_train"]).long(), torch.from_numpy(arrays["label_train"]))
    model.fit(known, known, generator=stream(0, "train"), log=lambda step, total: None)
    train.store(model, {"class": f"{cls.__module__}.{cls.__name__}"}, tmp_path / "model.safetensors")
    sample.run(tmp_path / "data.npz", tmp_path / "model.safetensors", tmp_path / "samples.npz", spec={}, seed=5)
    return model, io.read_arrays(tmp_path / "samples.npz")


def test_a_conditional_model_writes_labels_of_the_same_images(tmp_path, data):
    model, found = drawn(tmp_path, Memoriser, data)
    x = model.sample(25, generator=stream(5, "sample"))
    np.testing.assert_array_equal(found["x"], x.numpy())
    assert found["label"].shape == (25,) and found["label"].dtype == np.int64
    pairs = {(image.tobytes(), int(c)) for image, c in zip(data["x_train"], data["label_train"], strict=True)}
    assert all((image.tobytes(), int(c)) in pairs for image, c in zip(found["x"], found["label"], strict=True))


def test_another_model_writes_none(tmp_path, data):
    assert set(drawn(tmp_path, PPCA, data)[1]) == {"x"}


def test_strange_labels_are_refused():
    known = np.array([0, 1, 1, 4])
    np.testing.assert_array_equal(sample.checked_labels(torch.tensor([4, 0]), 2, known), [4, 0])
    with pytest.raises(Failed, match="labels \\[2\\] are no classes"):
        sample.checked_labels(torch.tensor([0, 2]), 2, known)
    with pytest.raises(Failed, match="expected \\(2,\\)"):
        sample.checked_labels(torch.tensor([0]), 2, known)

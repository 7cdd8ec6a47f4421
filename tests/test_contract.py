"""Every model of config/models keeps the contract, and the contract's own statistics are what they say."""

from pathlib import Path

import pytest
import torch
from scipy.special import chdtrc

from gm import catalogue
from gm.contract import density, examine, promises
from gm.contract.case import Broken, Case, law
from gm.model import Event, build
from gm.rng import stream

FILES = sorted((Path(__file__).parents[1] / "config/models").glob("*.yaml"))
MODELS = [catalogue.contestant(file) for file in FILES]
LEVELS = {"levels": 3, "binary": 2, "real": None}


def cases():
    """Contestants that have a class; those that are not controls train, and are slow."""
    for model in MODELS:
        if "class" in model.spec:
            marks = () if model.family == "control" else pytest.mark.slow
            yield pytest.param(model, id=model.name, marks=marks)


def event_of(model):
    """The smallest event that the file's hyper-parameters fit; only the smallest has few enough states to sum over."""
    levels = next(LEVELS[kind] for kind in LEVELS if kind in model.serves)
    for shape in ((1, 2, 2), (1, 4, 4), (1, 8, 8)):
        try:
            build(model.spec | {"event": [shape, levels]})
        except (ValueError, RuntimeError):
            continue
        return Event(shape, levels)
    raise AssertionError(f"{model.name} cannot be built on 1x8x8 images")


@pytest.mark.parametrize("model", cases())
def test_contract(model):
    """False-alarm rate: 1e-4 for each of the two statistical checks; the seed is fixed."""
    broken = [finding for finding in examine(model.spec, event_of(model)) if finding.status == "FAILED"]
    assert not broken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MaxEntRandom", "MaxEntLearned"])
def test_contract_of_a_one_layer_representation(name):
    """The files of config/models need larger images than can be summed over; false-alarm rate 2e-4."""
    spec = {"class": f"gm.models.maxent.{name}", "model": {"channels": [4], "units": 4}}
    found = list(examine(spec, Event((1, 2, 2), 3)))
    assert {finding.status for finding in found} == {"ok"}, found


@pytest.mark.parametrize("levels", [2, 3, None])
def test_law_is_correlated_and_in_range(levels):
    event = Event((1, 2, 2), levels)
    x, label, _ = law(event, 500, seed=0, generator=stream(0, "law"))
    assert x.shape == (500, 1, 2, 2) and label.unique().tolist() == [0, 1, 2]
    assert x.is_floating_point() == (levels is None)
    correlation = torch.corrcoef(x.double().flatten(1).T) - torch.eye(4)
    assert correlation.abs().max() > 0.1
    if levels:
        assert x.min() == 0 and x.max() == levels - 1


def test_agreement_is_a_chi_square():
    """300 draws from the very law: mean p-value 1/2 within 4.5 standard errors, false-alarm rate 1e-5."""
    generator = stream(0, "agreement")
    p = torch.rand(81, generator=generator, dtype=torch.float64) ** 3
    mean = 4000 * p / p.sum()
    values = []
    for _ in range(300):
        draws = torch.multinomial(p, 4000, replacement=True, generator=generator)
        count = torch.bincount(draws, minlength=81).double()
        statistic, bins = density.agreement(count, mean, mean)
        values.append(float(chdtrc(bins - 1, statistic)))
    assert abs(sum(values) / 300 - 0.5) < 4.5 * (1 / 12 / 300) ** 0.5


def test_mass_of_a_gaussian_is_found_outside():
    """PPCA's density keeps 3/10 of its mass beyond the levels; both parts together make one."""
    case = Case({"class": "gm.models.ppca.PPCA"}, Event((1, 2, 2), 3))
    case.model, _ = case.fit(0)
    inside, inside_se = density.total(density.masses(case)[0])
    weight, _ = density.outside(case)
    outside, outside_se = float(weight.mean()), float(weight.std()) / len(weight) ** 0.5
    assert 0.5 < inside < 0.9 and inside_se < 1e-3
    assert abs(inside + outside - 1) < 4.5 * outside_se


@pytest.mark.slow
def test_mass_of_an_estimated_density_is_found_outside():
    """A Gaussian decoder keeps a sixth of its density beyond the levels, where clipping leads its samples from."""
    spec = {"class": "gm.models.vae.GaussianVAE", "score": {"sizes": [10, 50]}}
    found = {finding.check: finding for finding in examine(spec, Event((1, 2, 2), 3))}
    assert {finding.status for finding in found.values()} == {"ok"}, found
    assert "samples clipped to the levels" in found["sampler"].text


@pytest.mark.parametrize("defect", ["image", "class", "shape"])
def test_labelled_samples_are_the_samples(defect):
    case = Case({"class": "gm.models.memoriser.Memoriser"}, Event((1, 2, 2), 3))
    case.model, _ = case.fit(0)
    assert "torch.int64" in promises.sample(case)
    draw = case.model.sample_labelled

    def defective(n, *, generator):
        x, label = draw(n, generator=generator)
        return {"image": (x.flip(0), label), "class": (x, label + 3), "shape": (x, label[:, None])}[defect]

    promises.labelled(case, case.sample(64))
    case.model.sample_labelled = defective
    x = draw(64, generator=stream(0, 0, "sample"))[0]
    with pytest.raises(Broken, match={"image": "other images", "class": "labels \\[", "shape": "64, 1"}[defect]):
        promises.labelled(case, x)

import math

import pytest
import torch

from gm.densities.copula import dequantise
from gm.model import Event, Split, restore
from gm.models.maxent import MaxEntLearned, MaxEntRandom
from gm.rng import stream

SHAPE, LEVELS = (1, 4, 4), 4


def images(n: int, name: str) -> Split:
    """Four classes: two quadrants are bright at random, a third where they differ, which correlations do not see."""
    generator = stream("images", name)
    label = torch.randint(4, (n,), generator=generator)
    a, b = label % 2, label // 2
    bright = torch.stack([a, b, (a + b) % 2, 0 * a], 1).view(n, 1, 2, 2)
    p = 0.1 + 0.8 * bright.repeat_interleave(2, 2).repeat_interleave(2, 3)
    x = torch.binomial(torch.full((n, *SHAPE), LEVELS - 1.0), p, generator=generator).long()
    return Split(x, label)


TRAIN, VALID = images(400, "train"), images(100, "valid")
QUICK = {"steps": 60, "burn": 40, "draws": 10, "repeats": 2}
BRIEF = {"steps": 2, "burn": 1, "draws": 2, "repeats": 1}


def build(kind: type, moments: int = 20, learning_steps: int = 20, background: int = 0):
    """A small model."""
    learning = {"learning_steps": learning_steps, "background": background} if kind is MaxEntLearned else {}
    return kind(Event(SHAPE, LEVELS), channels=(6, 8), units=5, moments=moments, pool=64, **learning)


def fitted(
    kind: type, train: Split = TRAIN, moments: int = 20, learning_steps: int = 20, background: int = 0, **options
):
    """A small fitted model and its history."""
    model = build(kind, moments=moments, learning_steps=learning_steps, background=background)
    options = QUICK | options
    history = model.fit(train, VALID, generator=stream(0, "train"), log=lambda step, total: None, **options)
    return model, history


@pytest.fixture(scope="module", params=[MaxEntRandom, MaxEntLearned])
def model_and_history(request):
    return fitted(request.param)


def score(model):
    y = dequantise(VALID.x, generator=stream("u")).float()
    bounds = model.bounds(y, chains=64, temperatures=30, generator=stream(0, "score"))
    return y, bounds, model.outlier_scores(y, bounds, generator=stream(0, "outliers"))


def test_facts(model_and_history):
    """Residuals of 60 updates are within an order of Monte-Carlo noise, and the gap is below a nat."""
    model, history = model_and_history
    assert history.facts["moments"] == 20 and history.evals["gradient"] > 60 * 64
    assert 0 < history.facts["moment_residual_z"] < 10
    assert abs(history.facts["optimisation_gap"][0]) < 1
    assert ("representation_accuracy" in history.facts) == (type(model) is MaxEntLearned)
    assert history.rows[-1]["step"] == 60


def test_samples_and_bounds(model_and_history):
    model, _ = model_and_history
    x = model.sample(9, temperatures=20, moves=5, generator=stream(0, "sample"))
    assert x.shape == (9, *SHAPE) and x.dtype == torch.int64 and x.min() >= 0 and x.max() < LEVELS
    _, bounds, scores = score(model)
    assert (bounds.lower <= bounds.upper).all() and bounds.kinds == ("heuristic", "certified")
    assert set(scores) == {"nll", "tilt", "score_norm", "score_statistic"} and scores["score_statistic"].min() >= 0


def test_bounds_bracket_importance_sampling(model_and_history):
    """log Z from 100,000 draws of the reference (error near 0.01) lies in the interval; alpha = 1e-3."""
    model, _ = model_and_history
    w = model.density.draw_base(100_000, generator=stream("importance"))
    with torch.no_grad():
        log_w = -model.density.tilt(w).double()
    log_z = float(log_w.logsumexp(0)) - math.log(len(w))
    y = dequantise(VALID.x, generator=stream("u")).float()
    bounds = model.bounds(y, chains=128, temperatures=30, alpha=1e-3, generator=stream(0, "score"))
    assert bounds.shared[0] - 0.05 <= -log_z <= bounds.shared[1] + 0.05


@pytest.mark.slow
def test_learned_moments_are_worth_their_nats():
    """A third-order dependence is beyond the copula; learned by contrast with it, held-out images gain."""
    model, _ = fitted(MaxEntLearned, moments=60, learning_steps=150, background=64)
    y, bounds, _ = score(model)
    assert (bounds.lower - model.density.reference.log_prob(y)).mean() > 0


def test_restored_model_gives_the_same_bytes(model_and_history):
    model, _ = model_and_history
    copy = build(type(model))
    restore(copy, model.state_dict().items())
    assert torch.equal(score(model)[1].lower, score(copy)[1].lower)
    names = [tensor.data_ptr() for tensor in model.state_dict().values() if tensor.numel()]
    assert len(names) == len(set(names))


def test_representation_never_sees_odd_positions():
    """Labels at odd positions belong to the metric's network: changing them changes nothing."""
    label = TRAIN.label.clone()
    label[1::2] = 3 - label[1::2]
    a, _ = fitted(MaxEntLearned, **BRIEF)
    b, _ = fitted(MaxEntLearned, Split(TRAIN.x, label), **BRIEF)
    assert all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_learned_and_random_have_one_architecture():
    random, learned = (kind(Event(SHAPE, LEVELS), channels=(4, 4)) for kind in (MaxEntRandom, MaxEntLearned))
    assert (random.gain, random.moments) == (learned.gain, learned.moments)
    a, b = (model.density.tilt.raw.net.state_dict() for model in (random, learned))
    assert {name: p.shape for name, p in a.items()} == {name: p.shape for name, p in b.items()}


def test_labels_alone_make_a_classifier():
    """Four separable classes, chance 0.25; an accuracy below 0.6 would be no classifier."""
    model = build(MaxEntLearned, learning_steps=100)
    history = model.fit(
        TRAIN, VALID, generator=stream(0, "train"), log=lambda step, total: None, **QUICK | {"steps": 2}
    )
    assert history.facts["representation_accuracy"][0] > 0.6


def test_random_representation_ignores_labels():
    a, _ = fitted(MaxEntRandom, **BRIEF)
    b, _ = fitted(MaxEntRandom, Split(TRAIN.x, 3 - TRAIN.label), **BRIEF)
    assert torch.equal(a.density.tilt.multiplier, b.density.tilt.multiplier)
    assert (MaxEntRandom.labels, MaxEntLearned.labels, MaxEntLearned.family) == (False, True, "maxent")

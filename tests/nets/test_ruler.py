"""The metric's nets: same generator, same bytes; features that a covariance can be taken of; labels of one half."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from gm.nets.ruler import NETS, embed, fit, restore


def blobs(n, classes=3, seed=0):
    """Easy images: a bright row tells the class."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(n) % classes
    x = torch.randint(9, (n, 1, 8, 8), generator=generator)
    x[torch.arange(n), 0, 2 * label] += 8
    return x, label


def fitted(seed=0, **options):
    options = {"epochs": 6, "batch": 20} | options
    return fit(*blobs(240), 17, generator=torch.Generator().manual_seed(seed), **options)


def features_of(ruler, x):
    return {net: embed(x, ruler.features(net)) for net in NETS}


@pytest.fixture(scope="module")
def ruler():
    return fitted()


def test_features(ruler):
    x, _ = blobs(300, seed=1)
    features = features_of(ruler, x)
    assert {net: f.shape[1] for net, f in features.items()} == {"cnn": 64, "pca": 32, "random": 64}
    assert {net: f.dtype for net, f in features.items() if f.dtype != torch.float32} == {"pca": torch.float64}
    for net, f in features.items():
        assert f.isfinite().all() and len(f) == 300
        assert np.linalg.matrix_rank(np.cov(f[:250].numpy(), rowvar=False)) == f.shape[1], net


def test_classifier_learns(ruler):
    x, label = blobs(150, seed=2)
    assert (ruler.classify(x) == label).double().mean() > 0.95


def test_same_generator_same_bytes(ruler):
    assert save(fitted().state_dict()) == save(ruler.state_dict())
    assert save(fitted(seed=1).state_dict()) != save(ruler.state_dict())


def test_restored_from_its_tensors(ruler):
    again = restore(load(save(ruler.state_dict())))
    x, _ = blobs(20, seed=3)
    for net, f in features_of(ruler, x).items():
        assert torch.equal(features_of(again, x)[net], f), net
    assert int(again.levels) == 17
    assert torch.equal(again.classify(x), ruler.classify(x))


def test_blocks_change_nothing(ruler):
    x, _ = blobs(150, seed=3)
    for net in NETS:
        whole = embed(x, ruler.features(net), block=150)
        np.testing.assert_allclose(embed(x, ruler.features(net), block=7), whole, rtol=1e-5, atol=1e-6)


def test_a_net_that_is_not_wanted_moves_no_other(ruler):
    x, _ = blobs(20, seed=3)
    fewer = features_of(fitted(nets=["random"]), x)
    for net, f in features_of(ruler, x).items():
        assert torch.equal(fewer[net], f) == (net != "cnn"), net


def test_steps_end_the_training_wherever_they_fall():
    """6 steps make an epoch: 9 of them are as many as one and a half epochs of a longer training with that end."""
    assert save(fitted(steps=36).state_dict()) == save(fitted().state_dict())
    assert save(fitted(steps=9).state_dict()) == save(fitted(epochs=40, steps=9).state_dict())
    assert save(fitted(steps=9).state_dict()) != save(fitted(epochs=1).state_dict())


def test_reads_the_labels_of_odd_positions_only(ruler):
    x, label = blobs(240)
    label = torch.where(torch.arange(240) % 2 == 1, label, 2)
    again = fit(x, label, 17, generator=torch.Generator().manual_seed(0), epochs=6, batch=20)
    assert save(again.state_dict()) == save(ruler.state_dict())


def test_components_are_principal(ruler):
    x, _ = blobs(240)
    flat = x.flatten(1).double() / 16
    features = features_of(ruler, x)["pca"]
    variances = torch.linalg.eigvalsh(torch.cov(flat.T)).flip(0)[:32]
    assert torch.allclose(torch.cov(features.T), torch.diag(variances), atol=1e-6)
    assert torch.allclose(features.mean(0), torch.zeros(32, dtype=torch.float64), atol=1e-6)


def test_global_random_state_decides_nothing():
    torch.manual_seed(1)
    first = fitted(epochs=1)
    torch.manual_seed(2)
    assert save(fitted(epochs=1).state_dict()) == save(first.state_dict())


def test_other_events():
    x = torch.randint(256, (60, 3, 28, 20), generator=torch.Generator().manual_seed(0))
    ruler = fit(x, torch.arange(60) % 2, 256, generator=torch.Generator().manual_seed(0), epochs=1)
    assert features_of(ruler, x)["cnn"].shape == (60, 64)
    with pytest.raises(ValueError, match=r"expected \[N, C, H, W\] with \[3, 28, 20\]"):
        features_of(ruler, x[:, :1])

"""Nets trained elsewhere: the weights that were meant, what they are fed, and a photograph named rightly."""

import hashlib
import io

import pytest
import torch
from skimage import data
from torch import Tensor, nn

from gm.nets import pretrained
from gm.nets.pretrained import Lite0, Scripted, rgb
from gm.nets.ruler import embed


class StandIn(nn.Module):
    """What a user's TorchScript file is: brightness and contrast of each channel, or classes where not asked."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        assert images.dtype == torch.uint8
        flat = images.float().flatten(2)
        features = torch.cat([flat.mean(2), flat.std(2)], 1)
        return features if return_features else features.softmax(1)


class Wrong(nn.Module):
    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        return images.float()


def scripted(module):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def lite0():
    return Lite0()


def test_levels_span_eight_bits():
    x = torch.arange(17).reshape(1, 1, 1, 17)
    assert rgb(x, 17)[0, 1, 0].tolist() == [round(255 * i / 16) for i in range(17)]
    assert torch.equal(rgb(torch.arange(256).reshape(1, 1, 16, 16), 256)[:, 2:].long().flatten(), torch.arange(256))
    assert rgb(torch.tensor([[[[0, 1]]]]), 2).unique().tolist() == [0, 255]
    colour = torch.randint(256, (2, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    assert torch.equal(rgb(colour, 256).long(), colour)


@pytest.mark.parametrize(("channels", "levels"), [(2, 256), (1, None)])
def test_what_is_no_picture_is_refused(channels, levels):
    with pytest.raises(ValueError, match="expected integer ones with 1 channel or 3"):
        rgb(torch.zeros(1, channels, 8, 8, dtype=torch.long), levels)


@pytest.mark.parametrize(("name", "classes"), [("coffee", {967, 504}), ("chelsea", {281, 282, 285})])
def test_it_names_a_photograph(lite0, monkeypatch, name, classes):
    """Espresso or a mug; a cat: with colours, scale or padding wrong it sees neither. At the size of its training."""
    image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None]
    monkeypatch.setattr(pretrained, "SIZE", 224)
    features = Lite0()(image)
    assert features.shape == (1, 1280)
    assert int(lite0.net._fc(features).argmax()) in classes


def test_features(lite0):
    x = torch.randint(17, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    features = embed(x, lambda rows: lite0(rgb(rows, 17)))
    assert features.shape == (20, 1280) and features.dtype == torch.float32 and features.isfinite().all()
    torch.testing.assert_close(features, embed(x, lambda rows: lite0(rgb(rows, 17)), block=7), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features, lite0(rgb(x, 17)), rtol=1e-4, atol=1e-4)
    assert not lite0.training and not any(parameter.requires_grad for parameter in lite0.parameters())


def test_pixels_are_scaled_as_in_its_training(lite0, monkeypatch):
    seen = []
    monkeypatch.setattr(lite0.net, "extract_features", lambda x: (seen.append(x), torch.zeros(len(x), 1280, 2, 2))[1])
    lite0(torch.tensor([0, 127, 255], dtype=torch.uint8).reshape(3, 1, 1, 1).expand(3, 3, 28, 28))
    assert seen[0].shape == (3, 3, 64, 64)
    torch.testing.assert_close(seen[0][:, 0, 5, 7], torch.tensor([-127 / 128, 0.0, 1.0]))


def test_it_draws_no_random_numbers():
    before = torch.get_rng_state()
    Lite0()
    assert torch.equal(torch.get_rng_state(), before)


def test_other_weights_are_refused(monkeypatch):
    monkeypatch.setattr(Lite0, "sha256", "0" * 64)
    with pytest.raises(ValueError, match=f"sha256 {pretrained.LITE0}; expected 0000"):
        Lite0()
    content = scripted(StandIn())
    with pytest.raises(ValueError, match=r"TorchScript file has sha256 .*; expected 0000"):
        Scripted(content, sha256="0" * 64)


def test_a_network_of_ones_own():
    content = scripted(StandIn())
    net = Scripted(content, sha256=hashlib.sha256(content).hexdigest())
    x = torch.randint(17, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    features = embed(x, lambda rows: net(rgb(rows, 17)))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, StandIn()(rgb(x, 17), return_features=True))


def test_a_network_that_gives_no_features_is_refused():
    content = scripted(Wrong())
    net = Scripted(content, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ValueError, match=r"gave \[2, 3, 8, 8\] for 2 images; expected \[2, d\]"):
        net(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))

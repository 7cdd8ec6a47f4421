import pytest
import torch

from gm.nets.representation import Representation, learn_labels
from gm.rng import stream


def random_net(shape=(1, 8, 8), **sizes) -> Representation:
    return Representation(shape, **sizes).initialise(generator=stream("net"))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (1, 28, 28)])
def test_shapes(shape):
    net = random_net(shape, channels=(4, 5, 6), units=7)
    z = torch.randn(3, *shape, generator=stream("z"))
    assert net(z).shape == (3, 7)
    assert [tuple(h.shape[1:]) for h in net.maps(z)][2] == (6, shape[1] // 2, shape[2] // 2)
    assert len(net.statistics(z)) == 3


def test_number_of_statistics():
    """Four quadrants of two functions of each channel; of u units, u + u + u (u - 1) / 2 + 1."""
    net = random_net(channels=(4, 5), units=3)
    assert net.statistics(torch.zeros(1, 1, 8, 8)).shape == (1, 8 * 9 + 3 + 3 + 3 + 1)


def test_a_row_depends_on_itself_alone():
    net, z = random_net(), torch.randn(6, 1, 8, 8, generator=stream("rows"))
    assert torch.allclose(net.statistics(z)[2:3], net.statistics(z[2:3]), atol=1e-5)


def test_statistics_grow_at_most_linearly():
    net, z = random_net(), torch.randn(6, 1, 8, 8, generator=stream("growth"))
    small, large = (net.statistics(scale * z).abs().max() for scale in (1e2, 1e4))
    assert large < 120 * small


def test_same_generator_same_weights():
    a, b = random_net(), random_net()
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_too_many_layers():
    with pytest.raises(ValueError, match="5 layers shrink 8 x 8 pixels to 1 x 1"):
        Representation((1, 8, 8), channels=(2, 2, 2, 2, 2))


def test_labels_are_learned_and_the_net_is_frozen():
    """Bright left halves against bright right halves: separable, so the loss falls far below ln 2."""
    net, generator = random_net(channels=(4, 4), units=2), stream("labels")

    def draw():
        label = torch.randint(2, (64,), generator=generator)
        z = torch.randn(64, 1, 8, 8, generator=generator)
        z[..., :4] += (1 - label).view(-1, 1, 1, 1)
        z[..., 4:] += label.view(-1, 1, 1, 1)
        return z, label

    losses = learn_labels(net, draw, steps=80, smoothing=0.0)
    assert losses[-1] < 0.2 < losses[0]
    assert not any(p.requires_grad for p in net.parameters())


def test_a_class_without_a_unit():
    with pytest.raises(ValueError, match="found class 2; expected less than units = 2"):
        learn_labels(random_net(units=2), lambda: (torch.zeros(3, 1, 8, 8), torch.arange(3)), steps=1)

"""Outlier sets are what they are called."""

import numpy as np
import pytest

from gm.data.outliers import ALIGNED, OUTLIERS, texture

TEST = np.random.default_rng(0).integers(17, size=(50, 1, 8, 8), dtype=np.uint8)


def made(name, test=TEST, levels=17, **options):
    return OUTLIERS[name](test, levels, np.random.default_rng(1), **options)


@pytest.mark.parametrize("name", OUTLIERS)
@pytest.mark.parametrize("shape, levels", [((50, 1, 8, 8), 17), ((7, 3, 5, 6), 256)])
def test_shape_type_range_and_determinism(name, shape, levels):
    test = np.random.default_rng(0).integers(levels, size=shape, dtype=np.uint8)
    x = made(name, test, levels)
    n = min(levels, shape[0]) if name == "constant" else shape[0]
    assert x.shape == (n, *shape[1:]) and x.dtype == np.uint8 and x.max() < levels
    assert (x == made(name, test, levels)).all()


def test_hflip_is_an_involution():
    assert (made("hflip", made("hflip")) == TEST).all()
    assert (made("hflip")[0, 0, :, 0] == TEST[0, 0, :, -1]).all()


def test_shuffle_permutes_each_image_in_its_own_way_and_channels_together():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8).reshape(1, 1, 8, 8), (5, 2, 8, 8))
    x = made("shuffle", ramp, 64).reshape(5, 2, 64)
    assert (np.sort(x) == np.arange(64)).all()
    assert (x[:, 0] == x[:, 1]).all()
    assert len(np.unique(x[:, 0], axis=0)) == 5


def test_constant_has_one_image_a_level():
    """Repeated, they would count as more outliers than there are; fewer are evenly spaced from black to white."""
    x = made("constant")
    assert (x == x[:, :, :1, :1]).all()
    assert x[:, 0, 0, 0].tolist() == list(range(17))
    assert made("constant", TEST[:5])[:, 0, 0, 0].tolist() == [0, 4, 8, 12, 16]


def test_vflip_turns_rows_and_hflip_columns():
    assert (made("vflip")[0, 0, 0] == TEST[0, 0, -1]).all()
    assert (made("vflip", made("vflip")) == TEST).all()
    turned = TEST.swapaxes(-1, -2)
    assert (made("vflip", turned).swapaxes(-1, -2) == made("hflip")).all()


def test_glyphs_are_distinct_letters_white_on_black_inside_the_image():
    """The frame is black but where a large slanted letter touches it: at 28 x 28 in fewer than one image in ten."""
    x = made("glyphs", np.zeros((300, 1, 28, 28), np.uint8), 256)
    assert len(np.unique(x.reshape(300, -1), axis=0)) == 300
    frame = np.ones((28, 28), bool)
    frame[1:-1, 1:-1] = False
    assert (x[:, 0, frame].max(1) > 0).mean() < 0.1
    assert (x.max((1, 2, 3)) > 128).all() and 0.03 < (x > 128).mean() < 0.2
    assert (x != made("glyphs", np.zeros((301, 1, 28, 28), np.uint8), 256)[:300]).sum() == 0


def test_too_few_glyphs_are_refused():
    with pytest.raises(ValueError, match=r"images of 3x3 have \d+ different glyphs; expected 9999"):
        made("glyphs", np.zeros((9999, 1, 3, 3), np.uint8))


@pytest.mark.parametrize("name", OUTLIERS)
def test_aligned_sets_follow_their_rows(name):
    """Another image in row 3 changes row 3 alone where the set is aligned, and nothing elsewhere."""
    test = TEST.copy()
    test[3] = np.roll(TEST[3], 1, axis=-1)
    changed = np.flatnonzero((made(name, test) != made(name)).any((1, 2, 3)))
    assert changed.tolist() == ([3] if name in ALIGNED else [])


def test_noise_is_uniform():
    """Chi-square over 17 levels and 3200 pixels below 60; the odds of more are 1e-6."""
    counts = np.bincount(made("noise").ravel(), minlength=17)
    expected = counts.sum() / 17
    assert (np.square(counts - expected) / expected).sum() < 60


def test_texture_patches_are_distinct_block_means():
    from skimage.data import brick

    x = made("texture")
    assert len(np.unique(x.reshape(50, -1), axis=0)) == 50
    corner = brick()[:32, :32].astype(float).reshape(8, 4, 8, 4).mean((1, 3))
    assert (x[0, 0] == np.floor(corner * 17 / 256)).all()
    assert x.std() > 1


def test_texture_must_fit_the_photograph():
    with pytest.raises(ValueError, match="520x520"):
        texture(TEST, 17, np.random.default_rng(0), scale=65)

"""A dataset's arrays: the splits are what the YAML says, disjoint, stratified, and functions of the seed alone."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from gm.data.build import cut, dataset, digest
from gm.data.digits import load
from gm.stages.prepare import build

DATASETS = Path(__file__).parents[2] / "config" / "datasets"
NAMES = ("digits", "digits-binary", "digits-no9")


def spec(name):
    return yaml.safe_load((DATASETS / f"{name}.yaml").read_text())


@pytest.fixture(scope="module", params=NAMES)
def made(request):
    return spec(request.param), build(spec(request.param))


def keys(x):
    return {image.tobytes() for image in x}


def photographs(n=600, seed=0):
    """Distinct images of 256 levels on 6 x 5 pixels and three classes."""
    rng = np.random.default_rng(seed)
    x = rng.integers(256, size=(n, 1, 6, 5), dtype=np.uint8)
    x[0, 0, 0, 0] = 255
    return x, rng.integers(3, size=n)


def small(x=None, label=None, foreign=None, **changes):
    """A small dataset with its own test set, the last 200 images."""
    x, label = photographs() if x is None else (x, label)
    given = {"levels": 256, "seed": 0, "outliers": {}, "held_out": 200, "candidates": 120}
    splits = {"train": 100, "valid": 40, "test": 60, "fresh": 60, "reference": 30}
    return dataset(x, label, foreign, **(given | {"splits": splits} | changes))


def test_sizes_types_and_range(made):
    given, arrays = made
    heads = len(arrays["x_member"])
    sizes = given["splits"] | {"member": heads, "nonmember": given["candidates"] - heads}
    sizes["train"] += heads
    for part, n in sizes.items():
        assert arrays[f"x_{part}"].shape == (n, 1, 8, 8)
        assert arrays[f"label_{part}"].shape == (n,)
        assert (arrays[f"x_{part}"].dtype, arrays[f"label_{part}"].dtype) == (np.uint8, np.int64)
    assert arrays["levels"] == given["levels"] and arrays["levels"].dtype == np.int64
    assert arrays["confidential"].dtype == bool and not arrays["confidential"]
    for name, x in arrays.items():
        if name.startswith("x_") and len(x):
            assert x.max() < given["levels"], name


def test_splits_are_disjoint_and_members_are_in_train():
    """On grey digits, whose 1797 images are distinct; all of them are somewhere."""
    for name, everything in (("digits", 1797), ("digits-no9", 1617)):
        arrays = build(spec(name))
        parts = [keys(arrays[f"x_{part}"]) for part in (*spec(name)["splits"], "nonmember")]
        assert len(set.union(*parts)) == sum(map(len, parts)) == everything
        assert keys(arrays["x_member"]) < keys(arrays["x_train"])


def test_coins_are_fair_and_independent():
    """Heads over 400 seeds x 50 candidates: the count's variance is that of independent coins, and its mean is n / 2.

    Mean within 4 errors (6e-5) and variance of 400 counts within 30 % (0.003 %); one fixed sequence of seeds.
    """
    label = np.zeros(60, np.int64)
    sizes = {"train": 2, "valid": 2, "test": 2, "fresh": 2, "reference": 2}
    options = {"splits": sizes, "candidates": 50, "held_out": 0, "leave_out": None}
    count = np.array([len(cut(label, **options, seed=seed)["member"]) for seed in range(400)])
    assert abs(count.mean() - 25) < 4 * np.sqrt(12.5 / 400)
    assert 0.7 < count.var() / 12.5 < 1.3


def test_which_images_are_candidates_does_not_depend_on_the_size_of_train():
    one, other = (small(splits={"train": n, "valid": 40, "test": 60, "fresh": 60, "reference": 30}) for n in (10, 100))
    for part in ("member", "nonmember", "fresh", "reference", "test", "valid"):
        assert (one[f"x_{part}"] == other[f"x_{part}"]).all(), part


def test_classes_have_their_share(made):
    """In valid, test and what train holds beside the members."""
    _, arrays = made
    count = {part: np.bincount(arrays[f"label_{part}"], minlength=10) for part in ("valid", "test", "train", "member")}
    own = {"valid": count["valid"], "test": count["test"], "train": count["train"] - count["member"]}
    whole = sum(own.values())
    for part, found in own.items():
        assert abs(found - whole / whole.sum() * found.sum()).max() < 2.5, part


@pytest.mark.parametrize(("part", "n"), [("fresh", 250), ("nonmember", 150)])
def test_some_images_have_no_quota_of_a_class(part, n):
    """Over 200 seeds the count of a class varies as in a plain draw of n out of N = 1797, sd about 4.

    The variance of 200 counts lies within 30 % of its expectation but for a chance of about 0.3 %; one fixed seed.
    """
    _, label = load()
    given = {key: spec("digits")[key] for key in ("splits", "candidates")} | {"held_out": 0, "leave_out": None}
    counts = [(label[cut(label, **given, seed=seed)[part]] == 3).sum() for seed in range(200)]
    N, k = 1797, 183
    expected = n * k / N * (1 - k / N) * (N - n) / (N - 1)
    assert 0.7 < np.var(counts) / expected < 1.3


def test_training_order_is_shuffled():
    """Members lie all over train, and neighbours are unrelated: about a tenth share a class."""
    arrays = build(spec("digits"))
    label, members = arrays["label_train"], keys(arrays["x_member"])
    assert all((np.bincount(half, minlength=10) > 30).all() for half in (label[::2], label[1::2]))
    assert 0.06 < np.mean(label[1:] == label[:-1]) < 0.14
    place = [i for i, image in enumerate(arrays["x_train"]) if image.tobytes() in members]
    assert 0.4 < np.mean(place) / len(label) < 0.6


def test_the_sources_own_test_set_makes_test_alone():
    x, label = photographs()
    arrays = small(x, label)
    held, rest = keys(x[-200:]), keys(x[:-200])
    assert keys(arrays["x_test"]) < held
    for part in ("train", "valid", "fresh", "reference", "member", "nonmember"):
        assert keys(arrays[f"x_{part}"]) < rest, part


def test_noise_is_exact_in_float32(made):
    """y = x + u keeps its integer part, and u is an odd multiple of 2^-16; its mean is 1/2 within five errors."""
    _, arrays = made
    names = [name for name in arrays if name.startswith("u_")]
    expected = ["test", "member", "nonmember", *(n[2:] for n in arrays if n.startswith("x_outlier_"))]
    assert sorted(names) == sorted(f"u_{part}" for part in expected)
    for name in names:
        x, u = arrays["x_" + name[2:]], arrays[name]
        assert u.dtype == np.float32 and u.shape == x.shape and u.min() > 0 and u.max() < 1
        assert (np.floor(x.astype(np.float32) + u) == x).all()
        assert (u * 2**16 % 2 == 1).all()
        assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / u.size)


def test_same_spec_same_bytes_another_seed_another_split(made):
    given, arrays = made
    again, other = build(given), build(given | {"seed": 1})
    assert list(again) == list(arrays)
    assert all(again[name].tobytes() == arrays[name].tobytes() for name in arrays)
    assert other["x_train"].tobytes() != arrays["x_train"].tobytes()


def test_outlier_sets_do_not_move_each_other():
    given = spec("digits")
    few = build(given | {"outliers": {"noise": {}}})
    whole = build(given)
    assert all((whole[name] == few[name]).all() for name in few if name != "aligned")
    assert few["aligned"].tolist() == []


def test_aligned_sets_are_named():
    assert build(spec("digits"))["aligned"].tolist() == ["outlier_hflip", "outlier_shuffle"]
    assert small(outliers={"vflip": {}})["aligned"].tolist() == ["outlier_vflip"]


def test_images_of_outlier_sets_are_distinct_unless_they_follow_the_test_images(made):
    _, arrays = made
    sets = {name.removeprefix("x_"): x for name, x in arrays.items() if name.startswith("x_outlier_")}
    for name, x in sets.items():
        if name in arrays["aligned"]:
            assert len(x) == len(arrays["x_test"])
        else:
            assert len(keys(x)) == len(x), name
    if "outlier_constant" in sets:
        assert len(sets["outlier_constant"]) == arrays["levels"]


def test_outlier_size_caps_all_but_the_sets_that_follow_the_test_images():
    foreign, _ = photographs(90, seed=1)
    kinds = {"hflip": {}, "vflip": {}, "shuffle": {}, "noise": {}, "constant": {}, "glyphs": {}, "other": {}}
    arrays = small(outliers=kinds, foreign={"other": foreign}, outlier_size=25, leave_out=1, candidates=9)
    found = {name.removeprefix("x_outlier_"): len(x) for name, x in arrays.items() if name.startswith("x_outlier_")}
    capped = dict.fromkeys(("noise", "constant", "glyphs", "other", "class-1"), 25)
    assert found == dict.fromkeys(("hflip", "vflip", "shuffle"), 60) | capped
    assert keys(arrays["x_outlier_other"]) < keys(foreign)


def test_images_of_another_dataset_must_be_of_the_same_event():
    wide = np.zeros((9, 1, 6, 6), np.uint8)
    with pytest.raises(ValueError, match=r"outlier set other(.|\n)*\(1, 6, 6\)(.|\n)*expected \(1, 6, 5\) up to 255"):
        small(outliers={"other": {}}, foreign={"other": wide})


def test_left_out_class_comes_from_the_held_out_images():
    x, label = photographs()
    arrays = small(x, label, leave_out=2, candidates=9)
    assert not any((arrays[name] == 2).any() for name in arrays if name.startswith("label_"))
    assert keys(arrays["x_outlier_class-2"]) <= keys(x[-200:][label[-200:] == 2])


def test_no_candidates_no_reference_and_no_outliers():
    arrays = small(candidates=0, splits={"train": 9, "valid": 3, "test": 5, "fresh": 5, "reference": 0})
    assert [len(arrays[f"x_{part}"]) for part in ("train", "member", "nonmember", "reference")] == [9, 0, 0, 0]
    assert arrays["u_member"].shape == (0, 1, 6, 5) and arrays["u_member"].dtype == np.float32


def test_binary_is_the_thresholded_digits():
    grey, binary = build(spec("digits")), build(spec("digits-binary"))
    for name in binary:
        if name.startswith("x_"):
            cut_at = (grey[name] >= 8).astype(np.uint8)
            assert keys(cut_at) == keys(binary[name])
            assert len(cut_at) != len(binary[name]) or (cut_at == binary[name]).all()


def test_a_binarisation_is_a_bernoulli_draw_of_each_pixel():
    """The share of ones at each grey level is g / 255: a chi-square over 254 levels.

    0 never and 255, of which there are many, always; about 175 pixels of each other level, and the statistic lies
    within 6 errors of its mean of 254, where the error sqrt(2 x 254) is as good as right (false alarm below 1e-4); one
    fixed seed.
    """
    x, label = photographs(2000)
    x[:, :, 0] = 255
    given = {"x": x, "label": label, "levels": 2, "splits": {}, "candidates": 0}
    given["splits"] = {"train": 1790, "valid": 0, "test": 10, "fresh": 10, "reference": 0}
    grey, binary = (small(**(given | change)) for change in ({"levels": 256}, {"binarise": "static"}))
    g, one = grey["x_train"].ravel(), binary["x_train"].ravel()
    assert not one[g == 0].any() and one[g == 255].all()
    n, k = np.bincount(g, minlength=256)[1:255], np.bincount(g, one, minlength=256)[1:255]
    p = np.arange(1, 255) / 255
    chi = (np.square(k - n * p) / (n * p * (1 - p))).sum()
    assert abs(chi - 254) < 6 * np.sqrt(2 * 254)


def test_dynamic_is_static_with_the_grey_levels_of_train():
    static, dynamic = (small(levels=2, binarise=kind, outliers={"noise": {}}) for kind in ("static", "dynamic"))
    assert set(dynamic) - set(static) == {"grey_train"}
    assert all((dynamic[name] == static[name]).all() for name in static)
    assert (dynamic["grey_train"] == small()["x_train"]).all() and dynamic["grey_train"].dtype == np.uint8
    assert keys(static["x_member"]) <= keys(static["x_train"])
    assert small(confidential=True)["confidential"] == np.True_


def test_left_out_class():
    arrays = build(spec("digits-no9"))
    assert not any((arrays[name] == 9).any() for name in arrays if name.startswith("label_"))
    x, label = load()
    assert keys(arrays["x_outlier_class-9"]) == keys(x[label == 9])


def test_digest_covers_images_and_classes():
    x, label = load()
    assert digest(x, label) == spec("digits")["sha256"]
    assert digest(x, label[::-1]) != digest(x, label) != digest(x[::-1], label)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"levels": 255}, "found levels 255; expected 256 to 256"),
        ({"levels": 3, "binarise": "static"}, "expected 2, as the images are made binary"),
        ({"levels": 2, "threshold": 0}, "expected one in 1..255"),
        ({"levels": 2, "threshold": 8, "binarise": "static"}, "one of the two at most"),
        ({"leave_out": 10}, "expected one of the classes"),
        ({"candidates": 171}, "candidates 171; expected at most 400 images"),
        ({"candidates": -1}, "candidates -1"),
        ({"held_out": 50}, "found test 60; expected at most the 50 images held out"),
        ({"splits": {"train": 1, "valid": 1, "test": 1, "fresh": 1}}, r"missing split \['reference'\]"),
        ({"outliers": {"texures": {}}}, r"unknown outlier set \['texures'\]"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        small(**change)


def test_binarisation_needs_grey_levels_up_to_255():
    x, label = photographs()
    with pytest.raises(ValueError, match=r"0..127 and binarise static"):
        small(x // 2, label, levels=2, binarise="static")


def test_source_may_be_a_file(tmp_path):
    file = tmp_path / "ten.py"
    file.write_text(
        "import numpy as np\n"
        "def ten():\n"
        "    x = np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2) % 5\n"
        "    return x, np.arange(10) % 2\n"
    )
    x, label = np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2) % 5, np.arange(10) % 2
    splits = {"train": 4, "valid": 1, "test": 2, "fresh": 2, "reference": 1}
    given = {"source": f"{file}:ten", "sha256": digest(x, label), "levels": 5, "splits": splits, "candidates": 0}
    arrays = build(given | {"seed": 0, "outliers": {"texture": {}}})
    assert arrays["x_outlier_texture"].shape == (2, 1, 2, 2)

"""A dataset's arrays: the splits are what the YAML says, disjoint, stratified, and functions of the seed alone."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from gm.data.build import build, digest
from gm.data.digits import load

DATASETS = Path(__file__).parents[2] / "config" / "datasets"
NAMES = ("digits", "digits-binary", "digits-no9")


def spec(name):
    return yaml.safe_load((DATASETS / f"{name}.yaml").read_text())


@pytest.fixture(scope="module", params=NAMES)
def dataset(request):
    return spec(request.param), build(spec(request.param))


def keys(x):
    return {image.tobytes() for image in x}


def test_sizes_types_and_range(dataset):
    given, arrays = dataset
    for split, n in (given["splits"] | {"member": given["member"]}).items():
        assert arrays[f"x_{split}"].shape == (n, 1, 8, 8)
        assert arrays[f"label_{split}"].shape == (n,)
        assert (arrays[f"x_{split}"].dtype, arrays[f"label_{split}"].dtype) == (np.uint8, np.int64)
    assert arrays["levels"] == given["levels"] and arrays["levels"].dtype == np.int64
    for name, x in arrays.items():
        if name.startswith("x_"):
            assert x.max() < given["levels"], name


def test_splits_are_disjoint_and_member_is_inside_train():
    """On grey digits, whose 1797 images are distinct."""
    for name in ("digits", "digits-no9"):
        arrays = build(spec(name))
        splits = [keys(arrays[f"x_{split}"]) for split in spec(name)["splits"]]
        assert len(set.union(*splits)) == sum(map(len, splits)) == sum(spec(name)["splits"].values())
        assert keys(arrays["x_member"]) < keys(arrays["x_train"])


def test_classes_have_their_share(dataset):
    _, arrays = dataset
    splits = ["label_train", "label_valid", "label_test"]
    whole = np.bincount(np.concatenate([arrays[name] for name in splits]), minlength=10)
    for name in [*splits, "label_member"]:
        share = whole / whole.sum() * len(arrays[name])
        assert abs(np.bincount(arrays[name], minlength=10) - share).max() < 2.5, name


def test_fresh_images_have_no_quota_of_a_class():
    """Over 200 seeds the count of a class varies as in a plain draw of n = 250 out of N = 1797, sd about 4.4.

    The variance of 200 counts lies within 30 % of its expectation but for a chance of about 0.3 %; one fixed seed.
    """
    given = spec("digits")
    counts = [np.bincount(build(given | {"seed": seed, "outliers": {}})["label_fresh"])[3] for seed in range(200)]
    n, N, k = 250, 1797, 183
    expected = n * k / N * (1 - k / N) * (N - n) / (N - 1)
    assert 0.7 < np.var(counts) / expected < 1.3


def test_training_order_is_shuffled():
    """Both halves of the labels hold every class, and neighbours are unrelated: about a tenth share a class."""
    label = build(spec("digits"))["label_train"]
    assert all((np.bincount(half, minlength=10) > 30).all() for half in (label[::2], label[1::2]))
    assert 0.06 < np.mean(label[1:] == label[:-1]) < 0.14


def test_noise_is_exact_in_float32(dataset):
    """y = x + u keeps its integer part, and u is an odd multiple of 2^-16; its mean is 1/2 within five errors."""
    _, arrays = dataset
    names = [name for name in arrays if name.startswith("u_")]
    expected = ["test", "member", "nonmember", *(n[2:] for n in arrays if n.startswith("x_outlier_"))]
    assert sorted(names) == sorted(f"u_{part}" for part in expected)
    for name in names:
        x, u = arrays["x_" + name[2:]], arrays[name]
        assert u.dtype == np.float32 and u.shape == x.shape and u.min() > 0 and u.max() < 1
        assert (np.floor(x.astype(np.float32) + u) == x).all()
        assert (u * 2**16 % 2 == 1).all()
        assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / u.size)


def test_same_spec_same_bytes_another_seed_another_split(dataset):
    given, arrays = dataset
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
    assert build(spec("digits-no9"))["aligned"].tolist() == ["outlier_hflip"]


def test_images_of_outlier_sets_are_distinct_unless_they_follow_the_test_images(dataset):
    _, arrays = dataset
    sets = {name.removeprefix("x_"): x for name, x in arrays.items() if name.startswith("x_outlier_")}
    for name, x in sets.items():
        if name in arrays["aligned"]:
            assert len(x) == len(arrays["x_test"])
        else:
            assert len(keys(x)) == len(x), name
    if "outlier_constant" in sets:
        assert len(sets["outlier_constant"]) == arrays["levels"]


def test_binary_is_the_thresholded_digits():
    grey, binary = build(spec("digits")), build(spec("digits-binary"))
    for name in binary:
        if name.startswith("x_"):
            cut = (grey[name] >= 8).astype(np.uint8)
            assert keys(cut) == keys(binary[name])
            assert len(cut) != len(binary[name]) or (cut == binary[name]).all()


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
        ({"sha256": "0" * 64}, "expected 0000"),
        ({"levels": 16}, "expected levels 17 without a threshold"),
        ({"threshold": 8}, "found levels 17 and threshold 8"),
        ({"threshold": 0, "levels": 2}, "with one in 1..16"),
        ({"leave_out": 10}, "expected one of the classes"),
        ({"member": 998}, "member within train"),
        ({"splits": {"train": 1, "valid": 1, "test": 1, "fresh": 1}}, r"missing split \['nonmember'\]"),
        ({"outliers": {"texures": {}}}, r"unknown outlier set \['texures'\]"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(spec("digits") | change)


def test_too_many_images_are_refused():
    given = spec("digits")
    with pytest.raises(ValueError, match="at most 1797 images"):
        build(given | {"splits": given["splits"] | {"train": 998}})


def test_source_may_be_a_file(tmp_path):
    file = tmp_path / "ten.py"
    file.write_text(
        "import numpy as np\n"
        "def ten():\n"
        "    x = np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2) % 5\n"
        "    return x, np.arange(10) % 2\n"
    )
    x, label = np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2) % 5, np.arange(10) % 2
    splits = {"train": 4, "valid": 1, "test": 2, "fresh": 2, "nonmember": 1}
    arrays = build(
        {
            "source": f"{file}:ten",
            "sha256": digest(x, label),
            "levels": 5,
            "splits": splits,
            "member": 2,
            "seed": 0,
            "outliers": {"texture": {}},
        }
    )
    assert arrays["x_outlier_texture"].shape == (2, 1, 2, 2)

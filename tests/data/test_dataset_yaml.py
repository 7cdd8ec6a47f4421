"""A dataset's YAML says where images come from in one of three ways, and every mistake in it is named."""

import shutil
from pathlib import Path

import pytest
import yaml

from gm import catalogue
from gm.config import ConfigError

DATASETS = Path(__file__).parents[2] / "config" / "datasets"
SHARED = "levels: 256\nseed: 0\nsplits: {train: 4, valid: 2, test: 2, fresh: 2, reference: 0}\ncandidates: 0\n"


def read(tmp_path, text, name="mine"):
    (tmp_path / f"{name}.yaml").write_text(text + SHARED + ("" if "outliers" in text else "outliers: {}\n"))
    return catalogue.dataset(tmp_path / f"{name}.yaml")


@pytest.mark.parametrize("file", sorted(DATASETS.glob("*.yaml")), ids=lambda file: file.stem)
def test_sizes_fit_what_there_is(file):
    """Full datasets use every image of the source; fresh is as large as test, so that a control can replay it."""
    spec = catalogue.dataset(file)
    splits, classes = spec["splits"], 10
    assert splits["fresh"] == splits["test"]
    own = {"idx": 60000, "cifar10": 50000, None: 1797}[spec.get("format")]
    pool = own - (own // classes if spec.get("leave_out") == 6 else 180 if "leave_out" in spec else 0)
    used = sum(splits.values()) + spec["candidates"] - (splits["test"] if "held_out" in spec else 0)
    full = file.stem in ("mnist", "fashion-mnist", "mnist-static", "mnist-dynamic", "cifar10") or own == 1797
    assert used == pool if full else used <= pool


def test_a_dataset_may_take_the_images_of_another(tmp_path):
    spec, whole = (catalogue.dataset(DATASETS / f"{name}.yaml") for name in ("fashion-small", "fashion-mnist"))
    keys = ("sources", "files", "format", "held_out")
    assert {key: spec[key] for key in keys} == {key: whole[key] for key in keys} and "source" not in spec
    assert spec["outliers"]["mnist"]["dataset"]["files"] == catalogue.dataset(DATASETS / "mnist.yaml")["files"]
    shutil.copy(DATASETS / "mnist.yaml", tmp_path / "other.yaml")
    assert read(tmp_path, "source: other\n")["sources"] == read(tmp_path, "source: other.yaml\n")["sources"]


def test_paths_are_relative_to_the_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert read(tmp_path / "mine", "path: photos\n")["path"] == "mine/photos"
    assert read(tmp_path / "mine", "path: /data/x.npz\n")["path"] == "/data/x.npz"
    assert read(tmp_path / "mine", "path: ~/x.npz\n")["path"] == "~/x.npz"
    spec = yaml.safe_load((DATASETS / "fashion-mnist.yaml").read_text())
    text = yaml.safe_dump({key: spec[key] for key in ("files", "format")}) + "sources: [{folder: here}, {npm: a@1}]\n"
    assert read(tmp_path / "mine", text)["sources"] == [{"folder": "mine/here"}, {"npm": "a@1"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no origin of the images(.|\n)*legal: +source, path, sources"),
        ("path: a\nsource: mnist\n", "source and path of the images"),
        ("source: mnits\n", "'mnits'(.|\n)*did you mean 'mnist'"),
        ("source: digits\n", "'digits'(.|\n)*a dataset with 'path' or 'sources' of its own"),
        ("source: mnist\nheld_out: 3\n", "'held_out' beside the name of a dataset"),
        ("source: gm.data.digits.laod\n", "no function 'laod'"),
        ("path: a\nformat: idx\n", "'format' with 'path'"),
        ("sources: [{npm: a}]\nformat: idx\n", "no 'files' with 'sources'"),
        ("sources: [{npm: a}]\nformat: xdi\nfiles: {a: b}\n", r"format(.|\n)*'xdi'(.|\n)*Literal\['idx', 'cifar10'\]"),
        ("sources: [{nmp: a}]\nformat: idx\nfiles: {a: b}\n", r"sources\.0\.nmp(.|\n)*did you mean 'npm'"),
        ("sources: [{npm: a, url: b}]\nformat: idx\nfiles: {a: b}\n", r"sources\.0(.|\n)*one place(.|\n)*folder, npm"),
        ("sources: [{npm: a}]\nformat: idx\nfiles: {../a: b}\n", "a file's name, without folders"),
        ("path: a\nbinarise: statik\n", r"binarise(.|\n)*'statik'(.|\n)*'static', 'dynamic'"),
        ("path: a\nmember: 3\n", "unknown key 'member'"),
        ("path: a\noutliers: {vlip: {}}\n", r"outliers\.vlip(.|\n)*did you mean 'vflip'"),
        ("path: a\noutliers: {noise: {dataset: mnist}}\n", "'noise' for a dataset(.|\n)*not taken"),
        ("path: a\noutliers: {other: {dataset: 3}}\n", r"outliers\.other\.dataset(.|\n)*a value of type str"),
        ("path: a\noutliers: {other: {dataset: nothing}}\n", r"outliers\.other\.dataset(.|\n)*'nothing'"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert "mine.yaml" in str(caught.value)

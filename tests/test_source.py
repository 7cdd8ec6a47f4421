"""Reading code without running it."""

from pathlib import Path

import pytest

from gm import source


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return path


MODULE = '''
"""Docstring."""
from gm.model import Model

LIMIT = 3


class Mine(Model):
    """Docstring."""

    serves = ("binary",)

    def __init__(self, event, *, width: int = 4) -> None:
        """Docstring."""
        self.width = width  # comment

    def sample(self, n, *, generator):
        return n
'''


def test_signatures_and_attributes_are_read_without_import(tmp_path):
    reference = f"{written(tmp_path, MODULE)}:Mine"
    assert source.member(reference, "__init__") == {"width": source.Parameter("int", "4")}
    assert source.attribute(reference, "serves") == ("binary",)
    assert source.attribute(reference, "family") == "control", "inherited from the contract"
    assert "generator" in source.member(reference, "bounds"), "inherited from the contract"
    assert source.member(reference, "nothing") is None


def test_missing_class_lists_what_there_is(tmp_path):
    with pytest.raises(LookupError, match="no class 'Yours'.*Mine"):
        source.lineage(f"{written(tmp_path, MODULE)}:Yours")
    with pytest.raises(LookupError, match="no module 'gm.models.nothing'"):
        source.lineage("gm.models.nothing.Model")


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("# comment", "# another comment", set()),
        ('"""Docstring."""', '"""Another."""', set()),
        ("\n\n\nclass", "\n\nclass", set()),
        ("return n", "return n + 1", {"Mine.sample"}),
        ("LIMIT = 3", "LIMIT = 4", {"top level"}),
        ('("binary",)', '("levels",)', {"Mine"}),
        ("Mine(Model)", "Mine(object)", {"Mine", "top level"}),
    ],
)
def test_only_behaviour_counts(tmp_path, old, new, changed):
    before = source.parts(written(tmp_path, MODULE))
    assert old in MODULE
    after = source.parts(written(tmp_path, MODULE.replace(old, new)))
    different = {part for part in before | after if before.get(part) != after.get(part)}
    assert bool(different) == bool(changed)
    assert different <= changed


def test_closure_follows_imports_inside_functions_and_leaves_models_apart():
    reached = source.closure("gm.stages.train")
    assert {"gm.model", "gm.stages.job", "gm.io"} <= set(reached)
    assert not [module for module in reached if module.startswith("gm.models.")]
    assert "gm.models.mixture" in source.closure("gm.stages.train", "gm.models.mixture")


def test_digest_of_one_model_does_not_know_another():
    first = source.fingerprint("gm.stages.train", "gm.models.mixture")
    assert "gm.models.vae" not in first
    assert source.digest(first) != source.digest(source.fingerprint("gm.stages.train", "gm.models.ppca"))


def test_a_file_is_known_by_its_name_not_its_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in ("a", "b"):
        (tmp_path / folder / "mine.py").write_text(MODULE)
    prints = [source.fingerprint(str(tmp_path / folder / "mine.py")) for folder in ("a", "b")]
    assert prints[0] == prints[1]

"""One text per figure: the workflow's captions are the page's."""

from pathlib import Path

import pytest

from gm.figures.captions import CAPTIONS, TARGETS
from gm.figures.page import cell, shown

ALL = CAPTIONS | TARGETS
FOLDER = Path(__file__).resolve().parents[2] / "workflow/report"


@pytest.mark.parametrize("name", ALL)
def test_workflow_caption_is_the_same(name):
    assert " ".join((FOLDER / f"{name}.rst").read_text(encoding="utf-8").split()) == ALL[name]


def test_no_caption_without_a_figure():
    assert {path.stem for path in FOLDER.glob("*.rst")} == {*ALL, "workflow"}


def test_captions_say_what_not_to_conclude():
    assert all("Conclude" in text and "Do not" in text for text in ALL.values())


def test_cell_sorts_by_its_mean_and_escapes():
    row = {"mean": 1234.5, "low": None, "high": None}
    assert cell(row) == '<td data-v="1234.5"><b>1,234</b></td>'
    assert "&lt;" in cell(None, "<none>") and shown("") == ""

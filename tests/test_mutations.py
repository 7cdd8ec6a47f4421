"""The list of defects stays true to the code, and a sample of them is put in for real."""

from pathlib import Path

import pytest
from mutations import run
from mutations.defects import DEFECTS

ROOT = Path(__file__).resolve().parents[1]


def test_there_are_at_least_thirty_defects_with_names_of_their_own():
    assert len({defect.name for defect in DEFECTS}) == len(DEFECTS) >= 30


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_can_be_put_in(defect):
    assert (ROOT / defect.file).read_text(encoding="utf-8").count(defect.old) == 1
    assert defect.new != defect.old
    for test in defect.tests:
        file, _, name = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in text, f"no test {name} in {file}"


@pytest.mark.slow
def test_a_sample_of_defects_is_killed():
    assert run.main(["--sample", "3", "--seed", "0", "--cores", "1"]) == 0

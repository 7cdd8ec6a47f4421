"""The paper: the report's numbers and figures in one PDF, with LaTeX and CSV twins of its tables."""

import csv
import json
import re
import subprocess
import sys

import pytest
import typst
from results_tree import FEW, finished

from gm import io
from gm.commands import archive as packing
from gm.commands import figures
from gm.figures import captions, paper, style
from gm.figures.paper import Cell, Figure, Section, Table, plain
from gm.stages import paper as stage
from gm.stages.results import resource

HOSTILE = r"a_b#c$d\{}[]*@<>&%~^`'\"--|"
HEADING = r"= [*#panic()*]"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A finished benchmark with a failed run, a skipped pair and a model of a hostile name, and its paper."""
    root = tmp_path_factory.mktemp("results") / "synthetic"
    finished(root, models=(*FEW, "ebm"), renamed={"flow": HOSTILE})
    stage.make(root, root / "paper.pdf")
    return root


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("tables/*"))}


@pytest.mark.slow
def test_the_paper_is_a_pdf_with_the_figures_of_the_report(tree):
    assert (tree / "paper.pdf").read_bytes().startswith(b"%PDF")
    drawn = {path.parent.name for path in tree.glob("figures/*/*.pdf")}
    assert drawn <= set(captions.CAPTIONS) and len(drawn) > 10


@pytest.mark.slow
def test_equal_tables_give_equal_bytes(tree, tmp_path):
    stage.make(tree, tmp_path / "paper.pdf")
    assert (tmp_path / "paper.pdf").read_bytes() == (tree / "paper.pdf").read_bytes()
    assert contents(tmp_path) == contents(tree)


def latex_rows(text):
    """The cells of a LaTeX table, its head first."""
    head, body = text.split("\\toprule\n")[1].split("\\midrule\n")
    lines = (head + body.split("\\bottomrule")[0]).splitlines()
    return [line.removesuffix(r" \\").split(" & ") for line in lines]


def displayed(cell):
    """The numbers that a LaTeX cell shows, and how coarse each is."""
    found = []
    for text in re.findall(r"-?(?:\d[\d,]*)?\.?\d+(?:e-?\d+)?", cell.replace("$-$", "-")):
        whole, _, power = text.replace(",", "").partition("e")
        coarse = 10 ** (int(power or 0) - len(whole.partition(".")[2]))
        found.append((float(text.replace(",", "")), 0.5 * coarse * (1 + 1e-9)))
    return found


@pytest.mark.slow
def test_every_table_has_its_twin_with_the_same_numbers(tree):
    names = {path.stem for path in tree.glob("tables/*.csv")}
    assert names == {path.stem for path in tree.glob("tables/*.tex")}
    assert {"contestants", "datasets", "failures", "checks-passed", "environment"} <= names
    chapter = ("likelihood", "fidelity-pca", "outliers", "memorisation", "attack-area", "use", "evaluations")
    assert {f"digits-{name}" for name in chapter} <= names
    compared = 0
    for name in names:
        head, *rows = latex_rows((tree / f"tables/{name}.tex").read_text())
        with open(tree / f"tables/{name}.csv", newline="") as file:
            columns, *lines = csv.reader(file)
        starts = [columns.index(column.replace(r"\_", "_").replace(r"\%", "%")) for column in head]
        assert len(rows) == len(lines)
        for row, line in zip(rows, lines, strict=True):
            for cell, start, end in zip(row, starts, [*starts[1:], len(columns)], strict=True):
                given = [float(text) for text in line[start:end] if re.fullmatch(r"-?[\d.]+(e-?\d+)?", text)]
                if given and re.match(r"-?[\d.]", line[start]):
                    shown = displayed(cell)
                    assert len(shown) == len(given), (name, cell, given)
                    assert all(abs(text - value) <= coarse for (text, coarse), value in zip(shown, given, strict=True))
                    compared += len(given)
    assert compared > 500


@pytest.mark.slow
def test_numbers_are_those_of_the_summary(tree):
    means = {(row["model"], row["metric"]): row["mean"] for row in io.read_rows(tree / "summary.csv")}
    rows = io.read_rows(tree / "tables/digits-memorisation.csv")
    assert {row["model"] for row in rows} >= {"resample", "memoriser", HOSTILE}
    for row in rows:
        assert row["nn_ratio"] == means[row["model"], "nn_ratio"]


@pytest.mark.slow
def test_a_failed_run_and_a_skipped_pair_are_told(tree):
    rows = io.read_rows(tree / "tables/failures.csv")
    assert [(row["contestant"], row["status"], row["seed"]) for row in rows] == [
        ("ebm", "diverged", "1"), ("ppca", "skipped", "")]  # fmt: skip
    assert "step 312" in rows[0]["reason"]
    likelihood = {row["model"]: row["runs"] for row in io.read_rows(tree / "tables/digits-likelihood.csv")}
    assert likelihood["ebm"] == "1/2" and likelihood["vae"] == "2/2"


def test_an_alarm_is_told():
    found = [{"level": "ok", "dataset": "d", "subject": "s", "text": "fine"},
             {"level": "alarm", "dataset": "d", "subject": "resample", "text": "the ruler is bent"}]  # fmt: skip
    text, table = stage.controls(found)
    assert "Alarms: 1" in text and [[cell.text for cell in row] for row in table.rows] == [
        ["alarm", "d", "resample", "the ruler is bent"]]  # fmt: skip
    assert [row[3].text for row in stage.passed(found)[0].rows] == ["fine"]


@pytest.mark.slow
def test_a_paper_of_an_archive_has_the_same_bytes(tmp_path):
    root = finished(tmp_path / "synthetic", seeds=[0], models=("resample", "memoriser", "copula"))
    packing.pack(root, tmp_path / "synthetic.zip", {})
    assert figures.redraw(tmp_path / "synthetic.zip", tmp_path / "again") == []
    for place in (root, tmp_path / "again"):
        stage.make(place, place / "paper.pdf")
    assert (tmp_path / "again/paper.pdf").read_bytes() == (root / "paper.pdf").read_bytes()
    assert contents(tmp_path / "again") == contents(root)


def test_tables_of_an_earlier_paper_go_and_other_files_stay(tmp_path):
    for name in ("old.csv", "old.tex", "mine.txt"):
        io.write_text(tmp_path / "tables" / name, "x")
    stage.tables([Table("new", "caption", ["a"], [[plain(1)]])], tmp_path / "tables", "origin")
    assert set(contents(tmp_path)) == {"new.csv", "new.tex", "mine.txt"}


def test_no_string_is_read_as_markup(tmp_path):
    """Strings that mean something to typst come out as they went in: typst itself is asked what it set."""
    table = Table("t", HEADING, [HOSTILE, "b"], [[plain(HOSTILE, "kl"), Cell("1.5", "[1, 2]", {"": 1.5})]])
    with style.theme():
        (tmp_path / "f.pdf").write_bytes(style.save(style.canvas(2, 2), "title", "origin")["pdf"])
    parts = [HEADING, table, Figure("auroc", HOSTILE, "f.pdf"), Figure("auroc", HEADING, "f.pdf")]
    content = paper.document(HOSTILE, [Section(HEADING, 1, parts), Section(HOSTILE, 2, [])], captions.CAPTIONS)
    assert paper.pdf(resource("paper.typ"), tmp_path, content).startswith(b"%PDF")
    given = {"root": str(tmp_path), "sys_inputs": {"content": content}, "ignore_system_fonts": True}
    found = json.loads(typst.query(resource("paper.typ").encode(), "heading", **given))
    assert [heading["body"]["text"] for heading in found] == [HEADING, HOSTILE]
    found = json.loads(typst.query(resource("paper.typ").encode(), "figure", **given))
    assert found[0]["caption"]["body"]["text"] == HEADING and len(found) == 3


@pytest.mark.parametrize("text", [HOSTILE, "[x]", "*x", r"\end{table}", "a & b", "50 % of -1.5 ± 2"])
def test_no_string_ends_a_latex_cell(text):
    """What is left of an escaped string after all control words and escaped signs have no meaning for TeX."""
    out = paper.latex(Table("t", text, [text, "b"], [[plain(text), Cell("-1.5", "[-2, -1]", {"": -1.5})]]), "origin")
    row = latex_rows(out)[1]
    assert len(row) == 2 and row[1] == r"$-$1.5 {\scriptsize {[}$-$2, $-$1]}"
    left = re.sub(r"\\[A-Za-z]+\{\}|\\[#$%&_{}]|\$-\$|\$\\pm\$", "", row[0])
    assert not set(left) & set("\\$%&#_~^<>|\"`'") and left[:1] not in ("[", "*")


def test_no_torch():
    code = "import sys, gm.stages.paper, typst; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

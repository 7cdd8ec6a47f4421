"""The whole report on a synthetic tree: what it says, that it says it twice alike, and what its files hold."""

import csv
import hashlib
import re

import numpy as np
import pytest
from results_tree import FAILED, TRUTH, specification, write_tree

from gm.figures.captions import CAPTIONS
from gm.metrics.groups.outliers import baselines
from gm.stages import results
from gm.stages.report import outliers, report

PER_DATASET = ("samples", "likelihood", "ladder", "fidelity", "roc", "auroc", "training", "cost")
TABLES = ("table", "summary", "paired", "checks", "status", "cost")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root, spec = tmp_path_factory.mktemp("results") / "synthetic", specification(["digits"], [0, 1])
    write_tree(root, spec)
    report(root, spec)
    return root, spec


def test_every_file_is_there(tree):
    root, _ = tree
    for name in TABLES:
        assert rows(root / f"{name}.csv"), name
    for kind in ("svg", "pdf", "png"):
        assert (root / f"figures/coverage/all.{kind}").stat().st_size > 1000
        assert sorted(p.parent.name for p in root.glob(f"figures/*/digits.{kind}")) == sorted(PER_DATASET)


def test_table_has_its_columns_and_the_trivial_rows(tree):
    root, _ = tree
    found = rows(root / "table.csv")
    assert ",".join(found[0]) == "benchmark,dataset,model,seed,metric,value,se,n,kind,status"
    assert {row["metric"].split("/")[1] for row in found if row["model"] == "trivial"} == {
        "intensity",
        "png",
        "pixel-nn",
    }


@pytest.mark.parametrize("pair", [pair for pair in TRUTH if pair[0] != "ppca"], ids=lambda pair: "-".join(pair))
def test_verdict_is_the_truth_that_was_put_in(tree, pair):
    root, _ = tree
    found = [
        row["verdict"]
        for row in rows(root / "paired.csv")
        if (row["model"], row["reference"], row["quantity"], row["seed"]) == (*pair, "logp", "all")
    ]
    assert found == [TRUTH[pair]]


def test_a_failed_cell_is_shown_and_counted(tree):
    root, _ = tree
    _, model, _ = FAILED
    status = [row for row in rows(root / "status.csv") if row["model"] == model]
    assert [(row["seed"], row["stage"], row["status"], row["n_ok"]) for row in status] == [
        ("0", "", "ok", "1"),
        ("1", "train", "diverged", "1"),
    ]
    means = {row["metric"]: row for row in rows(root / "summary.csv") if row["model"] == model}
    assert (means["logp_lower"]["n_ok"], means["logp_lower"]["n_planned"]) == ("1", "2")
    page = (root / "report/index.html").read_text()
    assert "log weights left the finite numbers at step 312" in page


def test_a_cell_without_files_is_missing(tree):
    root, spec = tree
    more = results.Tree(root, spec | {"planned": [*spec["planned"], ["digits", "flow", 7]]})
    status = next(row for row in results.statuses(more) if row["seed"] == 7)
    assert (status["model"], status["status"], status["n_ok"], status["n_planned"]) == ("flow", "missing", 2, 3)
    row = next(row for row in results.table_of(more, {"digits": {}}) if row["seed"] == 7)
    assert (row["metric"], row["value"], row["status"]) == ("run", 0, "missing")


def test_aligned_sets_are_read_from_the_data(tree):
    """Told that a set follows the test images row by row, the trivial rows and the paired ones of that set move."""
    root, spec = tree
    found = []
    for aligned in ([], ["outlier_flip"]):
        again = results.Tree(root, spec)
        again.data["digits"]["aligned"] = np.array(aligned, np.str_)
        trivial = {"digits": baselines(again.data["digits"])}
        trivial_rows = [row for row in results.table_of(again, trivial) if row["model"] == "trivial"]
        sums = {("digits", "trivial", row["metric"]): {"mean": row["value"]} for row in trivial_rows}
        errors = {(row["metric"],): row["se"] for row in trivial_rows if row["metric"].startswith("auroc/")}
        for row in outliers(again, "digits", trivial["digits"], sums):
            errors[row["quantity"], row["model"], row["seed"]] = row["lower_se"]
        found.append(errors)
    apart, together = found
    moved = {key for key in apart if apart[key] != together[key]}
    assert {len(key) for key in moved} == {1, 3} and all(key[0].endswith("/flip") for key in moved)


@pytest.mark.slow
def test_a_benchmark_whose_runs_all_failed_still_has_a_report(tmp_path):
    spec = specification(["digits"], [0])
    write_tree(tmp_path, spec | {"planned": []}, n=30)
    report(tmp_path, spec)
    assert {row["status"] for row in rows(tmp_path / "status.csv") if row["seed"]} == {"missing"}
    assert {row["verdict"] for row in rows(tmp_path / "paired.csv")} == {"no result"}
    assert (tmp_path / "report/index.html").is_file()


def test_the_page_stands_alone(tree):
    root, _ = tree
    page = (root / "report/index.html").read_text()
    addresses = re.findall(r'(?:src|href)="([^"]{0,60})', page)
    assert all(address.startswith(("#", "../", "data:image/")) for address in addresses)
    assert "@import" not in page and "url(" not in page
    for name in CAPTIONS:
        assert f'alt="{name}' in page


def test_figures_carry_the_hash_of_the_table_and_the_commit(tree):
    root, spec = tree
    digest = hashlib.sha256((root / "table.csv").read_bytes()).hexdigest()
    for path in (root / "figures").rglob("*.svg"):
        text = path.read_text()
        assert digest in text and spec["commit"] in text and "<dc:date>" not in text
    assert digest in (root / "report/index.html").read_text()
    for path in (root / "figures").rglob("*.png"):
        assert digest.encode() in path.read_bytes()


@pytest.mark.slow
def test_two_reports_in_two_folders_have_the_same_bytes(tree, tmp_path):
    """On an equal tree written elsewhere: nothing depends on the folder, the clock or the order of a dictionary."""
    root, spec = tree
    write_tree(tmp_path, spec)
    report(tmp_path, spec)
    files = [p.relative_to(root) for p in sorted(root.rglob("*")) if p.is_file()]
    assert len(files) > 30
    differ = [str(p) for p in files if (root / p).read_bytes() != (tmp_path / p).read_bytes()]
    assert differ == []

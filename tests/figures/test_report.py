"""The whole report on a synthetic tree: what it says, that it says it twice alike, and what its files hold."""

import csv
import hashlib
import math
import re

import numpy as np
import pytest
from matplotlib.axes import Axes
from results_tree import FAILED, TRUTH, specification, write_tree

from gm import io
from gm.figures import samples as figures
from gm.figures import style
from gm.figures.captions import CAPTIONS
from gm.metrics.groups.outliers import baselines
from gm.stages import panels, pictures, results
from gm.stages.report import outliers, report
from gm.table import summary

WHOLE = ("coverage", "observation")
SPLITS = ("train", "valid", "test", "fresh", "member", "nonmember")
TABLES = ("table", "summary", "paired", "ranks", "checks", "status", "cost")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root, spec = tmp_path_factory.mktemp("results") / "synthetic", specification(["digits"], [0, 1, 2])
    spec["nets"] = ["cnn", "pca"]
    write_tree(root, spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "LARGE", math.inf)
        report(root, spec)
    return root, spec


def images_in(drawn, real):
    """How many places of drawn arrays `[H, W, 3]` in 0..1 hold the pixels of a real image, `[C, H, W]` in 0..16."""
    known = {image[0].tobytes() for image in real}
    height, width = real[0].shape[1:]
    count = 0
    for page in drawn:
        grey = (np.asarray(page)[..., 0] * 16).round().astype(np.uint8)
        for i, j in np.ndindex(
            *(max(0, size - side + 1) for size, side in zip(grey.shape, (height, width), strict=True))
        ):
            count += np.ascontiguousarray(grey[i : i + height, j : j + width]).tobytes() in known
    return count


@pytest.fixture
def drawn(monkeypatch):
    """The arrays that figures draw as pictures, as they come."""
    arrays, imshow = [], Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda axes, x, *a, **kw: (arrays.append(x), imshow(axes, x, *a, **kw))[1])
    return arrays


def sealed(root, spec):
    """The tree as a confidential one, whose flow has learned an image by heart."""
    again = results.Tree(root, spec)
    again.data["digits"]["confidential"] = np.array(True)
    plain = again.arrays
    stolen = {"x": again.data["digits"]["x_train"][:10]}
    again.arrays = lambda cell, name: stolen if (cell[1], name) == ("flow", "samples.npz") else plain(cell, name)
    return again


def test_confidential_data_show_no_real_image(tree, drawn):
    """Found where they may be shown, by the same search; not found where not, even if a model replays them."""
    root, spec = tree
    for whole in (results.Tree(root, spec), sealed(root, spec)):
        groups = panels.sample_groups(whole, "digits")
        figures.samples(groups, 0, 16)
    real = [image for split in SPLITS for image in whole.data["digits"][f"x_{split}"]]
    shown, hidden = (images_in([page], real) for page in drawn)
    assert shown >= 30 and hidden == 0
    names = {group["name"]: len(group["x"]) for group in groups}
    assert not {"resample", "memoriser", "real test images"} & set(names)
    assert names["flow"] == 0 and names["vae"] == 10


@pytest.mark.slow
def test_the_report_of_confidential_data_shows_no_real_image(tmp_path, drawn):
    """Every picture that any figure of the whole report draws."""
    spec = specification(["digits"], [0]) | {"nets": ["cnn"]}
    write_tree(tmp_path, spec)
    path = tmp_path / "digits/data.npz"
    data = io.read_arrays(path)
    io.write_arrays(path, data | {"confidential": np.array(True)})
    report(tmp_path, spec)
    real = [image for split in SPLITS for image in data[f"x_{split}"]]
    assert drawn and images_in(drawn, real) == 0
    assert "These data are confidential" in (tmp_path / "report/index.html").read_text()


def test_a_figure_without_rows_is_left_out(tree):
    """A grid without the groups of fidelity, privacy and use: their figures, and nothing else, are gone."""
    root, spec = tree
    whole = results.Tree(root, spec)
    whole.arrays = lambda cell, name: {} if name == "items.npz" else results.Tree.arrays(whole, cell, name)
    gone = ("FD", "KID", "precision", "recall", "density", "coverage", "mia", "accuracy")
    lines = [row for row in results.table_of(whole, {"digits": whole.trivial("digits")})
             if not str(row["metric"]).startswith(gone)]  # fmt: skip
    sums = {(row["dataset"], row["model"], row["metric"]): row for row in summary.summarise(lines, {})}
    found = pictures.figures_of(whole, "digits", whole.trivial("digits"), sums, rows(root / "paired.csv")[:0], [])
    assert set(found) == {"samples", "likelihood", "roc", "auroc", "ecdf", "scores", "training", "cost"}


def test_every_file_is_there(tree):
    root, _ = tree
    for name in TABLES:
        assert rows(root / f"{name}.csv"), name
    assert {p.parent.name for p in root.glob("figures/*/all.svg")} == set(WHOLE)
    assert {p.parent.name for p in root.glob("figures/*/digits.svg")} == {*CAPTIONS} - {*WHOLE}


def test_table_has_its_columns_and_the_trivial_rows(tree):
    root, _ = tree
    found = rows(root / "table.csv")
    assert ",".join(found[0]) == "benchmark,dataset,model,seed,metric,value,se,n,kind,status"
    trivial = {row["metric"].split("/")[1] for row in found if row["model"] == "trivial"}
    assert {"intensity", "png", "pixel-nn"} <= trivial
    combined = {(*row["metric"].split("/")[1:2], row["seed"]) for row in found if row["model"] == "flow"}
    assert {("ratio", "0"), ("ratio", "2"), ("waic", "all"), ("ensemble", "all")} <= combined


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
        ("0", "", "ok", "2"),
        ("1", "train", "diverged", "2"),
        ("2", "", "ok", "2"),
    ]
    means = {row["metric"]: row for row in rows(root / "summary.csv") if row["model"] == model}
    assert (means["logp_lower"]["n_ok"], means["logp_lower"]["n_planned"]) == ("2", "3")
    page = (root / "report/index.html").read_text()
    assert "log weights left the finite numbers at step 312" in page


def test_a_cell_without_files_is_missing(tree):
    root, spec = tree
    more = results.Tree(root, spec | {"planned": [*spec["planned"], ["digits", "flow", 7]]})
    status = next(row for row in results.statuses(more) if row["seed"] == 7)
    assert (status["model"], status["status"], status["n_ok"], status["n_planned"]) == ("flow", "missing", 3, 4)
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
    assert page.count("ε accounted for") == 1 and "accuracy with images added" in page


def test_figures_carry_the_hash_of_the_table_and_the_commit(tree):
    root, spec = tree
    digest = hashlib.sha256((root / "table.csv").read_bytes()).hexdigest()
    for path in (root / "figures").rglob("*.svg"):
        text = path.read_text()
        assert digest in text and spec["commit"] in text and "<dc:date>" not in text
    assert digest in (root / "report/index.html").read_text()


def test_every_format_carries_its_origin_and_no_date():
    with style.theme():
        found = style.save(style.canvas(1, 1), "a title", "a hash, a commit")
    assert set(found) == {"svg", "pdf", "png"} and all(b"a hash, a commit" in content for content in found.values())
    assert b"<dc:date>" not in found["svg"] and b"CreationDate" not in found["pdf"]


@pytest.mark.slow
def test_two_reports_in_two_folders_have_the_same_bytes(tmp_path):
    """On equal trees written twice: no folder, clock, order of a dictionary or number of cores counts."""
    spec = specification(["digits"], [0, 1, 2])
    for cores, root in enumerate((tmp_path / "one", tmp_path / "two"), 1):
        write_tree(root, spec)
        report(root, spec, cores)
    files = [p.relative_to(root) for p in sorted(root.rglob("*")) if p.is_file()]
    assert {p.suffix for p in files} >= {".svg", ".pdf", ".png", ".html", ".csv"} and len(files) > 100
    assert [str(p) for p in files if (tmp_path / "one" / p).read_bytes() != (root / p).read_bytes()] == []

"""Archives: what travels, what comes back the same, and what is refused."""

import csv
import io as memory
import json
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from results_tree import finished

from gm import archive, io
from gm.commands import archive as packing
from gm.commands import diff, figures, merge, trace
from gm.commands.remade import compare
from gm.figures import style


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("results") / "synthetic")


@pytest.fixture(scope="module")
def packed(tree):
    path = tree.parent / "synthetic.zip"
    packing.pack(tree, path, {"config/synthetic.yaml": b"benchmark: synthetic\n"})
    return path


def test_redrawn_from_an_archive_every_table_and_figure_has_the_same_bytes(tree, packed, tmp_path):
    assert figures.redraw(packed, tmp_path / "again") == []
    drawn = [path.relative_to(tree) for path in tree.glob("figures/*/*.svg")]
    assert len(drawn) > 10
    assert all((tmp_path / "again" / path).read_bytes() == (tree / path).read_bytes() for path in drawn)
    assert (tmp_path / "again/report/index.html").is_file()
    assert not (tmp_path / "again/digits/data.npz").exists() and not list((tmp_path / "again").rglob("features.npz"))


def test_redrawing_imports_no_torch():
    code = "import sys, gm.commands.figures, gm.stages.report, gm.commands.verify, gm.commands.archive"
    assert (
        subprocess.run([sys.executable, "-c", code + "; sys.exit('torch' in sys.modules)"], check=False).returncode == 0
    )


def test_equal_runs_give_equal_bytes(tree, packed, tmp_path):
    packing.pack(tree, tmp_path / "again.zip", {"config/synthetic.yaml": b"benchmark: synthetic\n"})
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_the_crate_lists_every_file(packed):
    with zipfile.ZipFile(packed) as file:
        found = json.loads(file.read(archive.MANIFEST))
        graph = json.loads(file.read(archive.CRATE))["@graph"]
    root = next(part for part in graph if part["@id"] == "./")
    assert {part["@id"] for part in root["hasPart"]} == set(found["files"])
    assert root["@type"] == "Dataset" and root["datePublished"] == found["date"]


@pytest.mark.slow
def test_of_confidential_data_no_real_image_travels(tmp_path):
    """Every array of every member is searched for rows of the real images; they are found where they may travel."""
    for name, hidden in (("open", False), ("sealed", True)):
        root = finished(tmp_path / name, seeds=[0], confidential=hidden)
        data = io.read_arrays(root / "digits/data.npz")
        real = {image.tobytes() for part in data if part.startswith("x_") for image in data[part]}
        packing.pack(root, tmp_path / f"{name}.zip", {}, weights=True)
        archive.read(tmp_path / f"{name}.zip", tmp_path / f"{name}-unpacked")
        shown = 0
        for path in (tmp_path / f"{name}-unpacked").rglob("*.npz"):
            for array in io.read_arrays(path).values():
                if array.ndim == 4:
                    shown += sum(image.astype(np.uint8).tobytes() in real for image in array)
        assert (shown == 0) == hidden
        assert figures.redraw(tmp_path / f"{name}.zip", tmp_path / f"{name}-again") == []


def check(path):
    """Everything that `archive.read` checks, with nothing left behind."""
    with tempfile.TemporaryDirectory() as name:
        archive.read(path, Path(name) / "checked")


def rewrite(path, out, change):
    """A copy of an archive with members changed by `change(name, content)`, None to leave one out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = change(member.filename, old.read(member))
            if content is not None:
                new.writestr(member.filename, content)
    return out


def with_manifest(path, out, files):
    """An archive whose manifest agrees with these files, whatever they are."""
    with zipfile.ZipFile(path) as old:
        found = json.loads(old.read(archive.MANIFEST))
        content = {name: old.read(name) for name in found["files"]} | files
    listed = {name: {"sha256": archive.hashlib.sha256(c).hexdigest(), "bytes": len(c)} for name, c in content.items()}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, body in content.items():
            new.writestr(name, body)
        new.writestr(
            archive.CRATE, json.dumps(archive.crate(found | {"files": listed}), indent=1, sort_keys=True) + "\n"
        )
        new.writestr(archive.MANIFEST, json.dumps(found | {"files": listed}))
    return out


def npz(**members):
    buffer = memory.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array, shape=None):
    """The bytes of an array, with another shape in its header if one is given."""
    buffer = memory.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    content = buffer.getvalue()
    if shape is not None:
        header = str({"descr": array.dtype.str, "fortran_order": False, "shape": shape}).encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + array.tobytes()
    return content


PICKLE = npz(x=npy(np.array([{"a": 1}], object)))
LIE = npz(x=npy(np.zeros(4), shape=(10**12,)))
HOSTILE = {
    "a path that climbs": ({"../escaped.csv": b"x"}, "plain names"),
    "an absolute path": ({"/tmp/escaped.csv": b"x"}, "plain names"),
    "a hidden climb": ({"digits/../../escaped.csv": b"x"}, "plain names"),
    "a backslash": ({"digits\\..\\escaped.csv": b"x"}, "plain names"),
    "a drive": ({"C:escaped.csv": b"x"}, "plain names"),
    "an empty part": ({"digits//escaped.csv": b"x"}, "plain names"),
    "a hidden file": ({".bashrc.csv": b"x"}, "plain names"),
    "a program": ({"digits/run.py": b"x"}, "ending in one of"),
    "a pickle": ({"digits/exhibit.npz": PICKLE}, "pickle"),
    "a header that lies": ({"digits/exhibit.npz": LIE}, "disagree"),
    "an npz that is none": ({"digits/exhibit.npz": b"hello"}, "no whole npz"),
    "an array by another name": ({"digits/exhibit.npz": npz(x=b"hello")}, "npz"),
    "two names but for capitals": ({"Table.csv": b"x"}, "twice"),
    "a file that is a folder": ({"table.csv/inner.csv": b"x"}, "a file and a folder"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_member_is_refused_and_nothing_is_left(case, packed, tmp_path):
    files, reason = HOSTILE[case]
    bad, place = with_manifest(packed, tmp_path / "bad.zip", files), tmp_path / "inner/place"
    with pytest.raises(archive.Refused, match=reason):
        archive.read(bad, place)
    assert {path.name for path in tmp_path.rglob("*")} == {"bad.zip", "inner"}


def test_a_link_is_refused(packed, tmp_path):
    bad = with_manifest(packed, tmp_path / "bad.zip", {})
    with zipfile.ZipFile(bad) as old, zipfile.ZipFile(tmp_path / "link.zip", "w") as new:
        for member in old.infolist():
            if member.filename == "table.csv":
                member.external_attr = 0o120777 << 16
            new.writestr(member, old.read(member.filename))
    with pytest.raises(archive.Refused, match="no plain file"):
        check(tmp_path / "link.zip")


def test_an_encrypted_member_is_refused(packed, tmp_path):
    whole = bytearray(packed.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(mark) + flags] |= 1
    (tmp_path / "locked.zip").write_bytes(whole)
    with pytest.raises(archive.Refused, match="encrypted"):
        check(tmp_path / "locked.zip")


def test_sizes_are_bounded_before_anything_is_unpacked(packed, tmp_path, monkeypatch):
    zeros = with_manifest(packed, tmp_path / "zeros.zip", {"digits/zeros.csv": bytes(50_000_000)})
    assert zeros.stat().st_size < 2 * packed.stat().st_size
    monkeypatch.setattr(archive, "_unpack", lambda *_: pytest.fail("unpacked"))
    for name, bound, reason in (("MEMBER_BYTES", 10_000_000, "digits/zeros.csv"), ("BYTES", 10**7, "in all"),
                                ("MEMBERS", 5, "members")):  # fmt: skip
        with monkeypatch.context() as patch, pytest.raises(archive.Refused, match=reason):
            patch.setattr(archive, name, bound)
            check(zeros)


def test_arrays_are_bounded_in_all(packed, tmp_path, monkeypatch):
    zeros = npz(x=npy(np.zeros(10**6)))
    bomb = with_manifest(packed, tmp_path / "bomb.zip", {f"digits/flow/0/{name}.npz": zeros for name in "abc"})
    monkeypatch.setattr(archive, "ARRAY_BYTES", 2 * 10**7)
    with pytest.raises(archive.Refused, match="of arrays in all"):
        check(bomb)


@pytest.mark.parametrize("about", [
    {"benchmark": "../up"}, {"benchmark": "/tmp/up"}, {"spec": {"datasets": ["../up"]}},
    {"spec": {"planned": [["d", "../up", 0]]}}, {"spec": {"planned": [["d", "m", "../0"]]}}, {"spec": []},
    {"spec": {"models": [{"name": ".."}]}}, {"versions": {"torch": {}}},
])  # fmt: skip
def test_names_that_become_folders_are_plain(about, tmp_path):
    archive.write(tmp_path / "bad.zip", {"table.csv": b""}, about)
    with pytest.raises(archive.Refused):
        check(tmp_path / "bad.zip")


def test_the_crate_says_what_the_manifest_does(packed, tmp_path):
    with pytest.raises(archive.Refused, match="does not describe"):
        check(
            rewrite(
                packed,
                tmp_path / "bad.zip",
                lambda n, c: c.replace(b"synthetic", b"better") if n == archive.CRATE else c,
            )
        )


def test_bytes_that_are_not_the_manifests_are_refused(packed, tmp_path):
    def digit(name, content):
        return content.replace(b"1", b"2", 1) if name == "table.csv" else content

    with pytest.raises(archive.Refused, match=r"'table\.csv' has sha256"):
        check(rewrite(packed, tmp_path / "digit.zip", digit))
    with pytest.raises(archive.Refused, match=r"'table\.csv' is missing"):
        check(rewrite(packed, tmp_path / "gone.zip", lambda n, c: None if n == "table.csv" else c))
    with pytest.raises(archive.Refused, match="no manifest"):
        check(rewrite(packed, tmp_path / "none.zip", lambda n, c: None if n == archive.MANIFEST else c))
    whole = packed.read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "tail": whole[1000:],
        "text": b"hello",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(archive.Refused):
            check(tmp_path / name)
    middle = bytearray(whole)
    middle[len(middle) // 2] ^= 255
    (tmp_path / "flipped").write_bytes(middle)
    with pytest.raises(archive.Refused):
        check(tmp_path / "flipped")


def test_a_table_that_does_not_follow_from_the_runs_is_found(packed, tmp_path):
    """One digit of one table changed, and the manifest with it: the hashes agree, the table made anew does not."""
    with zipfile.ZipFile(packed) as file:
        text = file.read("summary.csv").decode()
    at = max(i for i, sign in enumerate(text) if sign in "12345678")
    changed = (text[:at] + str(int(text[at]) + 1) + text[at + 1 :]).encode()
    bad = with_manifest(packed, tmp_path / "bad.zip", {"summary.csv": changed})
    assert figures.redraw(bad, tmp_path / "again") == ["summary.csv"]


def test_a_folder_with_other_files_is_not_replaced(packed, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("all of it")
    with pytest.raises(FileExistsError, match="other files"):
        figures.redraw(packed, tmp_path / "mine")
    (tmp_path / "mine/manifest.json").write_text("{}")  # that of a web page
    with pytest.raises(FileExistsError, match="other files"):
        figures.redraw(packed, tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").read_text() == "all of it"


def test_an_earlier_redrawing_is_replaced_unless_something_was_added(packed, tmp_path):
    with zipfile.ZipFile(packed) as file:
        listed = json.loads(file.read(archive.MANIFEST))
    io.write_json(tmp_path / "old/manifest.json", listed)
    for name in ("table.csv", "figures/auroc/digits.svg", "figures/auroc/.snakemake_timestamp", "paper.pdf",
                 "tables/a.tex", "digits/flow/0/metrics.csv"):  # fmt: skip
        io.write_text(tmp_path / "old" / name, "")
    assert figures.ours(tmp_path / "old") and figures.ours(tmp_path / "new")
    io.write_text(tmp_path / "old/figures/notes.txt", "mine")
    assert not figures.ours(tmp_path / "old")


@pytest.mark.slow
def test_merged_halves_are_the_whole(tmp_path):
    whole = finished(tmp_path / "whole")
    parts = []
    for name, models in (("one", ("resample", "memoriser", "copula")), ("two", ("copula", "flow", "vae"))):
        root = finished(tmp_path / name, models=models)
        packing.pack(root, tmp_path / f"{name}.zip", {})
        parts.append(tmp_path / f"{name}.zip")
    found = merge.merge(parts, tmp_path / "place", tmp_path / "joint.zip")
    assert len(found["spec"]["planned"]) == 2 * 5
    archive.read(tmp_path / "joint.zip", tmp_path / "joint")

    def rows(path):
        with open(path, newline="") as file:
            found = list(csv.DictReader(file))
        return [{key: value for key, value in row.items() if key != "benchmark"} for row in found]

    assert sorted(map(str, rows(tmp_path / "joint/table.csv"))) == sorted(map(str, rows(whole / "table.csv")))


def test_contradicting_halves_are_refused(packed, tmp_path):
    with zipfile.ZipFile(packed) as file:
        metrics = file.read("digits/flow/0/metrics.csv")
    other = with_manifest(packed, tmp_path / "other.zip", {"digits/flow/0/metrics.csv": metrics.replace(b"1", b"2")})
    with pytest.raises(archive.Refused, match=r"digits/flow/0/metrics\.csv"):
        merge.merge([packed, other], tmp_path / "place", tmp_path / "joint.zip")
    assert not (tmp_path / "joint.zip").exists()


def test_runs_of_other_keys_or_code_do_not_share_a_mean(tmp_path):
    for name, seed, record in (
        ("one", 0, {"spec": {"class": "A", "fit": {"steps": 1}}}),
        ("two", 1, {"spec": {"class": "A", "fit": {"steps": 2}}}),
    ):
        io.write_json(tmp_path / name / f"d/flow/{seed}/model.json", record)
    read = [(tmp_path / name, Path(f"{name}.zip")) for name in ("one", "two")]
    with pytest.raises(archive.Refused, match=r"d/flow/model of two.zip was made otherwise .* fit.steps: 1 -> 2"):
        merge.same_making(read)
    io.write_json(tmp_path / "two/d/flow/1/model.json", {"spec": {"class": "A", "fit": {"steps": 1}}})
    merge.same_making(read)


def test_diff_says_what_moved_and_why(packed, tmp_path, capsys):
    assert diff.main([str(packed), str(packed)]) == 0 and "no difference" in capsys.readouterr().out
    with zipfile.ZipFile(packed) as file:
        rows = list(csv.DictReader(memory.StringIO(file.read("summary.csv").decode())))
    line = next(i for i, row in enumerate(rows) if row["se"] and row["se_items"])
    text = memory.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    error = np.hypot(float(rows[line]["se"]), float(rows[line]["se_items"])) * np.sqrt(2)
    rows[line]["mean"] = str(float(rows[line]["mean"]) + 3 * error)
    writer.writerows(rows)
    other = with_manifest(packed, tmp_path / "other.zip", {"summary.csv": text.getvalue().encode()})
    assert diff.main([str(packed), str(other)]) == 1
    assert f"{rows[line]['metric']}: " in (told := capsys.readouterr().out) and "(3)" in told
    assert "bytes of summary.csv (1 file)" in told


def test_diff_compares_conclusions_and_what_means_claim(tmp_path):
    verdict = {"dataset": "d", "quantity": "logp", "model": "flow", "reference": "copula", "seed": "all"}
    for side, word in (("old", "wins"), ("new", "loses")):
        io.write_rows(tmp_path / side / "paired.csv", [*verdict, "verdict"], [verdict | {"verdict": word}])
    assert diff.conclusions(tmp_path / "old", tmp_path / "new") == ["paired d logp flow copula all: wins -> loses"]
    row = {"dataset": "d", "model": "m", "metric": "x", "mean": "1.0", "se": "0.3", "se_items": "0.4", "n_ok": "3"}
    other = row | {"metric": "y"}
    told = diff.moved([row, other], [row | {"n_ok": "1"}, other | {"mean": "nan"}])
    assert told == ["d m y: 1 -> nan (nan)", "d m x: the same, but n_ok 3 -> 1"]


def test_numbers_are_compared_in_standard_errors():
    row = {"metric": "a", "value": "1.0", "se": "0.1", "n": "9", "kind": "estimate", "status": "ok"}
    assert compare([row], [row])[0] == 0
    assert compare([row], [row | {"value": "1.2"}])[:2] == (pytest.approx(2**0.5), "a")
    assert compare([row], [])[0] == np.inf and compare([row], [row | {"value": "inf"}])[0] == np.inf
    bare = row | {"se": ""}
    assert compare([bare], [bare | {"value": "1.0000000001"}])[0] < 1 < compare([bare], [bare | {"value": "1.1"}])[0]


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_a_figure_tells_its_origin(kind, tmp_path, capsys):
    io.write_text(tmp_path / "table.csv", "a,b\n")
    digest = io.sha256(tmp_path / "table.csv")
    with style.theme():
        drawn = style.save(style.canvas(2, 2), "title", f"table.csv sha256 {digest}, commit 0123456789ab+")
    path = tmp_path / "figures/auroc" / f"digits.{kind}"
    path.parent.mkdir(parents=True)
    path.write_bytes(drawn[kind])
    assert trace.origin(drawn[kind]) == (digest, "0123456789ab+")
    assert trace.main([str(path)]) == 0 and "is that table" in capsys.readouterr().out
    io.write_text(tmp_path / "table.csv", "a,c\n")
    assert trace.main([str(path)]) == 1 and "HAS CHANGED" in capsys.readouterr().out
    path.write_bytes(b"nothing")
    assert trace.main([str(path)]) == 1


def snakemake(folder, *words):
    repository = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(repository / "Snakefile"), "--cores", "1", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.workflow
@pytest.mark.slow
def test_the_workflow_redraws_an_archive_and_plans_nothing_else(packed, tmp_path):
    done = snakemake(tmp_path, "-n", "figures", "--config", f"archive={packed}")
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"^rule (\w+):", done.stdout + done.stderr, flags=re.MULTILINE)) == {"figures"}
    done = snakemake(tmp_path, "figures", "--config", f"archive={packed}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results/redrawn/synthetic/report/index.html").is_file()
    done = snakemake(tmp_path, "paper", "--config", f"archive={packed}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results/redrawn/synthetic/paper.pdf").read_bytes().startswith(b"%PDF")
    for words, told in (((f"archive={tmp_path}/none.zip",), "no file"), ((f"archive={packed}", "seeds=1"), "alone")):
        done = snakemake(tmp_path, "-n", "figures", "--config", *words)
        assert done.returncode and told in done.stdout + done.stderr and "Traceback" not in done.stderr

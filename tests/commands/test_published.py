"""Published tables: small, checked, and compared with a run by its errors."""

import json
import zipfile

import pytest

from gm import archive, io
from gm.commands import archive as packing
from gm.commands import diff, figures, published, verify

COLUMNS = ("benchmark", "dataset", "model", "seed", "metric", "value", "se", "n", "kind", "status")
VALUES = {
    "run": (1, 1, 1),
    "FD_pca@250": (2.0, 2.1, 1.9),
    "logp_lower": (-88.1, -88.2, -88.3),
    "fit/images": (994,) * 3,
}
ERRORS = {"FD_pca@250": 0.05, "logp_lower": 0.2}


def write(root, changes=(), parts=(("VAE.fit", "1"),), torch="2.13.0", seeds=3, level="ok", **said):
    """The tables and the record that a report leaves, with the values of some metrics changed."""
    values = VALUES | dict(changes)
    rows = [
        {"benchmark": "b", "dataset": "d", "model": "vae", "seed": seed, "metric": metric, "value": value[seed],
         "se": ERRORS.get(metric), "n": 9, "kind": "estimate", "status": "ok"} | said
        for metric, value in values.items() for seed in range(seeds)
    ]  # fmt: skip
    io.write_rows(root / "table.csv", COLUMNS, rows)
    io.write_rows(
        root / "checks.csv", ("dataset", "level", "subject"), [{"dataset": "d", "level": level, "subject": "x"}]
    )
    io.write_text(root / "status.csv", "a,b\n1,2\n")
    record = {"spec": {"benchmark": "b"}, "commit": "0123456789ab", "versions": {"torch": torch}, "code": {"parts": {}}}
    io.write_json(root / "table.json", record | {"outputs": {"table": io.sha256(root / "table.csv")}})
    io.write_json(root / "d/vae/0/model.json", {"code": {"parts": {"gm.models.vae": dict(parts)}}})
    return root


@pytest.fixture
def packed(tmp_path):
    root = write(tmp_path / "b")
    packing.tables(root, tmp_path / "b.zip", {"config/b.yaml": b"benchmark: b\n"})
    return tmp_path / "b.zip"


def test_published_tables_are_verified_without_their_runs(packed, capsys):
    assert verify.main([str(packed)]) == 0
    assert "records: 1 files are the ones that they name" in capsys.readouterr().out


def test_tables_alone_are_not_redrawn(packed, tmp_path, capsys):
    for command, words in ((figures, [packed, "--out", tmp_path / "out"]), (diff, [packed, packed])):
        assert command.main([str(word) for word in words]) == 2
        assert "holds tables alone" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def altered(path, out, *, honest):
    """A copy with one digit of the table changed; an honest manifest states the hash of what is there."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    assert b"-88.2" in content["table.csv"]
    content["table.csv"] = content["table.csv"].replace(b"-88.2", b"-88.1", 1)
    found = json.loads(content[archive.MANIFEST])
    if honest:
        found["files"]["table.csv"]["sha256"] = archive.hashlib.sha256(content["table.csv"]).hexdigest()
        content[archive.MANIFEST] = json.dumps(found).encode()
        content[archive.CRATE] = (json.dumps(archive.crate(found), indent=1, sort_keys=True) + "\n").encode()
    with zipfile.ZipFile(out, "w") as file:
        for name, body in content.items():
            file.writestr(name, body)
    return out


@pytest.mark.parametrize("honest", [False, True])
def test_one_digit_of_a_published_table_is_caught(packed, tmp_path, capsys, honest):
    assert verify.main([str(altered(packed, tmp_path / "digit.zip", honest=honest))]) == 1
    told = capsys.readouterr()
    assert "table.csv is not the one its record names" in told.out if honest else "has sha256" in told.err


def elsewhere(tmp_path, changes=(), **how):
    """A run with another library, which may move numbers within their errors."""
    return write(tmp_path / "elsewhere", changes, torch="2.14.0", **how)


def beside(packed, root, capsys):
    code = verify.main([str(packed), "--run", str(root)])
    return code, capsys.readouterr().out


def test_the_same_bytes_agree(packed, tmp_path, capsys):
    code, told = beside(packed, write(tmp_path / "again"), capsys)
    assert code == 0 and "the same bytes" in told and "grid, code, libraries and processor: the same" in told


def test_a_number_within_its_errors_agrees_and_causes_are_told(packed, tmp_path, capsys):
    moved = {"FD_pca@250": (2.1, 2.15, 2.0)}
    root = write(tmp_path / "moved", moved, parts=[("VAE.fit", "2")], torch="2.14.0")
    code, told = beside(packed, root, capsys)
    assert code == 0 and "4 numbers: 1 moved within their errors, 0 do not agree" in told
    assert "not the same bytes: table.csv" in told
    assert "code gm.models.vae: VAE.fit()" in told and 'library torch: "2.13.0" -> "2.14.0"' in told


@pytest.mark.parametrize(("changes", "told"), [
    ({"FD_pca@250": (9.0, 9.1, 8.9)}, "vae FD_pca@250: 2 -> 9 ("),
    ({"fit/images": (995,) * 3}, "vae fit/images: 994 -> 995 (no error stated)"),
    ({"logp_lower": (float("-inf"),) * 3}, "vae logp_lower: value of seed 0: -88.1 -> -inf"),
    ({"logp_lower": (-88.1, float("nan"), -88.3)}, "vae logp_lower: value of seed 1: -88.2 -> nan"),
    ({"logp_lower": (-88.1, 1e6, -88.3)}, "vae logp_lower: standard error over seeds 0.0577 -> "),
    ({"KID_pca@250": (1.0, 1.0, 1.0)}, "d vae: 1 numbers only in this run"),
])  # fmt: skip
def test_a_number_that_does_not_agree_is_printed(packed, tmp_path, capsys, changes, told):
    code, words = beside(packed, elsewhere(tmp_path, changes), capsys)
    assert code == 1 and f"DOES NOT AGREE: d {told}".replace("d d ", "d ") in words
    assert words.count("DOES NOT AGREE") == 1


def test_numbers_move_only_where_something_else_differs(packed, tmp_path, capsys):
    moved = {"FD_pca@250": (2.0, 2.1, 1.90001)}
    code, told = beside(packed, write(tmp_path / "here", moved), capsys)
    assert code == 1 and "nothing else differs, so the tables should have the same bytes" in told
    assert beside(packed, elsewhere(tmp_path, moved), capsys)[0] == 0


@pytest.mark.parametrize("said", [{"kind": "exact"}, {"n": 10**6}, {"status": "failed"}])
def test_what_a_row_claims_is_compared(packed, tmp_path, capsys, said):
    code, told = beside(packed, elsewhere(tmp_path, **said), capsys)
    assert code == 1 and "4 do not agree" in told and f"{next(iter(said))} of seed 0" in told


@pytest.mark.parametrize("se", [1e9, 1e-9, None])
def test_errors_are_numbers_too(packed, tmp_path, capsys, se):
    """Values are the published ones, their errors are not."""
    code, told = beside(packed, elsewhere(tmp_path, se=se), capsys)
    assert code == 1 and "d vae logp_lower: standard errors over items 0.2, 0.2, 0.2 -> " in told


def test_large_errors_of_its_own_do_not_excuse_a_run(packed, tmp_path, capsys):
    code, told = beside(packed, elsewhere(tmp_path, {"logp_lower": (-8.1, -8.2, -8.3)}, se=1e9), capsys)
    assert code == 1 and "logp_lower: -88.2 -> -8.2" in told


def test_an_alarm_that_was_not_published_is_printed(packed, tmp_path, capsys):
    code, told = beside(packed, elsewhere(tmp_path, level="alarm"), capsys)
    assert code == 1 and "DOES NOT AGREE: d x: an alarm only in this run" in told


def test_a_seed_that_did_not_run_is_printed(packed, tmp_path, capsys):
    code, told = beside(packed, write(tmp_path / "fewer", seeds=2), capsys)
    assert code == 1 and "d vae run: seeds 0, 1, 2 -> 0, 1" in told and "3 numbers of other seeds" in told


def test_a_folder_without_a_report_is_refused(packed, tmp_path, capsys):
    assert verify.main([str(packed), "--run", str(tmp_path / "nothing")]) == 1
    assert "expected a finished run" in capsys.readouterr().err


def test_few_seeds_need_a_larger_distance():
    far = [published.agreement((0.0, 0.1, n, 0.0), (1.0, 0.1, n, 0.0)) for n in (2, 3, 10)]
    assert far[0] > far[1] > published.LEAST > far[2]


def test_a_share_that_none_had_may_be_that_one_has(tmp_path):
    """None of 8 has no error of its own; one of 8 in one of three seeds is no disagreement, six of 8 in each are."""
    rows = [[{"seed": str(seed), "value": value, "se": se, "n": "8", "kind": "estimate", "status": "ok"}
             for seed, (value, se) in enumerate(zip(values, errors, strict=True))]
            for values, errors in ((("0.0",) * 3, ("0.0",) * 3), (("0.0", "0.125", "0.0"), ("0.0", "0.117", "0.0")),
                                   (("0.75",) * 3, ("0.153",) * 3))]  # fmt: skip
    assert published.judge(rows[0], rows[1])[0] > 0.1
    assert published.judge(rows[0], rows[2])[0] < published.LEAST

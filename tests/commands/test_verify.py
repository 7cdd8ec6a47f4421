"""An archive whose hashes agree may still not be what it says: records, configuration and a run made again tell."""

import math

import pytest

from gm import archive, io
from gm.commands import verify

ROW = {"metric": "a", "value": "1.0", "se": "0.1", "n": "9", "kind": "certified", "status": "ok"}


def folder(root, *, scores="scores", drawn="samples", judged="samples"):
    """A run whose records name its files; the manifest of an archive of it."""
    place = root / "d/vae/0"
    for name, text in (("scores.npz", scores), ("metrics.csv", "metrics"), ("history.csv", "history")):
        io.write_text(place / name, text)
    digest = {name: io.sha256(place / name) for name in ("metrics.csv", "history.csv")}
    io.write_text(root / "as-made", "scores")
    records = {
        "model": {"outputs": {"weights": "w", "history": digest["history.csv"]}},
        "samples": {"outputs": {"samples": drawn}, "inputs": {"weights": "w"}},
        "scores": {"outputs": {"scores": io.sha256(root / "as-made")}, "inputs": {"weights": "w"}},
        "metrics": {"outputs": {"metrics": digest["metrics.csv"]}, "inputs": {"samples": judged}},
    }
    for name, record in records.items():
        io.write_json(place / f"{name}.json", record)
    return {"files": dict.fromkeys(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())}


def test_files_are_those_that_records_name(tmp_path, capsys):
    assert verify.recorded(tmp_path, folder(tmp_path))
    assert capsys.readouterr().out == "records: 3 files are the ones that they name\n"


@pytest.mark.parametrize(("how", "told"), [
    ({"scores": "others"}, "d/vae/0/scores.npz"), ({"judged": "others"}, "d/vae/0/metrics.json"),
])  # fmt: skip
def test_a_file_of_another_making_is_found(how, told, tmp_path, capsys):
    assert not verify.recorded(tmp_path, folder(tmp_path, **how))
    assert f"DIFFERS: {told} is not the one its record names" in capsys.readouterr().out


def test_a_record_that_is_none_is_refused(tmp_path, capsys):
    files = {"table.json": b"[]", "table.csv": b"", "code.json": b"{}"}
    archive.write(tmp_path / "a.zip", files, {"spec": {}, "versions": {}})
    assert verify.main([str(tmp_path / "a.zip")]) == 1
    assert "a record or the configuration is malformed" in capsys.readouterr().err


def configure(root, models=("vae", "flow"), seeds=(0, 1), stem="config"):
    resolved = {"datasets": {"d": {}}, "models": {name: {} for name in models}, "grid": {"seeds": list(seeds)}}
    io.write_json(root / stem / "resolved.json", resolved)


SPEC = {"planned": [["d", model, seed] for model in ("vae", "flow") for seed in (0, 1)], "skipped": []}


def test_what_is_planned_is_what_is_configured(tmp_path):
    configure(tmp_path)
    assert verify.configured(tmp_path, SPEC) == (tmp_path / "config", SPEC["planned"])


def test_an_archive_joined_of_two_has_two_configurations(tmp_path):
    configure(tmp_path, models=["vae"], stem="config/one")
    configure(tmp_path, models=["flow"], stem="config/two")
    assert verify.configured(tmp_path, SPEC) == (tmp_path / "config/one", SPEC["planned"][:2])


@pytest.mark.parametrize(("how", "told"), [
    ({"models": ["vae"]}, "2 planned runs are in no configuration"),
    ({"seeds": [0, 1, 2]}, "the configuration has 2, of which no run is planned"),
    ({"models": ["vae", "flow", "ebm"]}, "the configuration has 'ebm'"),
])  # fmt: skip
def test_a_plan_that_is_not_the_configurations_is_refused(how, told, tmp_path):
    configure(tmp_path, **how)
    with pytest.raises(archive.Refused, match=told):
        verify.configured(tmp_path, SPEC)


@pytest.mark.parametrize("old", [
    [ROW | {"se": "1000", "value": "51.0"}], [ROW | {"kind": "exact"}], [ROW | {"n": "10"}], [ROW, ROW], [],
    [ROW | {"status": "failed"}], [ROW | {"value": "nan"}],
])  # fmt: skip
def test_a_run_made_again_is_not_excused_by_what_the_archive_says(old):
    assert verify.compare(old, [ROW])[0] > verify.ERRORS


def test_numbers_without_a_value_agree_with_themselves():
    assert verify.compare([ROW | {"value": "-inf"}], [ROW | {"value": "-inf"}])[0] == 0
    assert math.isclose(verify.compare([ROW], [ROW | {"value": "1.2"}])[0], 2**0.5)

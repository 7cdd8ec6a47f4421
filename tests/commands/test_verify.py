"""An archive whose hashes agree may still not be what it says: records, configuration and a run made again tell."""

import argparse
import json
import math

import numpy as np
import pytest

from gm import archive, io, plan, source
from gm.commands import archive as packing
from gm.commands import configured, remade, verify
from gm.stages.results import RECORDS

ROW = {"metric": "a", "value": "1.0", "se": "0.1", "n": "9", "kind": "certified", "status": "ok"}


def folder(root, *, scores="scores", drawn="samples", judged="samples", seed=0, data="data", code="1", commit="c"):
    """A run whose records name its files; the manifest of an archive of it."""
    place = root / "d/vae/0"
    for name, text in (("scores.npz", scores), ("metrics.csv", "metrics"), ("history.csv", "history")):
        io.write_text(place / name, text)
    digest = {name: io.sha256(place / name) for name in ("metrics.csv", "history.csv")}
    io.write_text(root / "as-made", "scores")
    records = {
        "model": {
            "outputs": {"weights": "w", "history": digest["history.csv"]},
            "inputs": {"data": data},
            "seed": seed,
        },
        "samples": {"outputs": {"samples": drawn}, "inputs": {"weights": "w"}},
        "scores": {"outputs": {"scores": io.sha256(root / "as-made")}, "inputs": {"weights": "w"}},
        "metrics": {"outputs": {"metrics": digest["metrics.csv"]}, "inputs": {"samples": judged}},
    }
    for name, record in records.items():
        io.write_json(place / f"{name}.json", record)
    records["model"]["code"] = {"parts": {"m": {"f": "1"}}, "digest": source.digest({"m": {"f": code}})}
    io.write_json(place / "model.json", records["model"])
    io.write_json(root / "d/data.json", {"outputs": {"data": "data"}})
    io.write_json(root / "table.json", {"spec": {"benchmark": "b"}, "commit": "c"})
    files = dict.fromkeys(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return {"benchmark": "b", "commit": commit, "files": files}


def test_files_are_those_that_records_name(tmp_path, capsys):
    assert verify.recorded(tmp_path, folder(tmp_path))
    assert capsys.readouterr().out == "records: 3 files are the ones that they name\n"


@pytest.mark.parametrize(("how", "told"), [
    ({"scores": "others"}, "d/vae/0/scores.npz"), ({"judged": "others"}, "d/vae/0/metrics.json"),
    ({"seed": 1}, "d/vae/0/model.json"), ({"data": "others"}, "d/vae/0/model.json"),
    ({"code": "2"}, "d/vae/0/model.json"),
    ({"commit": "e"}, "manifest.json"),
])  # fmt: skip
def test_a_file_of_another_making_is_found(how, told, tmp_path, capsys):
    assert not verify.recorded(tmp_path, folder(tmp_path, **how))
    assert f"DIFFERS: {told} is not the one its record names" in capsys.readouterr().out


def test_a_record_that_is_none_is_refused(tmp_path, capsys):
    files = {"table.json": b"[]", "table.csv": b"", "code.json": b"{}"}
    archive.write(tmp_path / "a.zip", files, {"spec": {}, "versions": {}})
    assert verify.main([str(tmp_path / "a.zip")]) == 1
    assert "a table or the configuration is malformed" in capsys.readouterr().err


def test_tables_alone_hold_nothing_else(tmp_path, capsys):
    """Else a file of code would have nothing made anew."""
    files = {"table.json": b"{}", "code.json": b"{}", "d/vae/0/model.json": b"{}"}
    archive.write(tmp_path / "a.zip", files, {"spec": {}, "versions": {}})
    assert verify.main([str(tmp_path / "a.zip")]) == 1
    assert "'d/vae/0/model.json' beside code.json; expected tables alone" in capsys.readouterr().err


GRID = """benchmark: mine
datasets: [digits]
models: [MODELS]
seeds: [0, 1]
metrics: [frechet]
nets: [pca]
"""


def configure(root, models="gaussian, independent", stem="config"):
    """The configuration that an archive of a grid holds, and what its report knows of it."""
    io.write_text(root / "grid/mine.yaml", GRID.replace("MODELS", models))
    planned = plan.read(root / "grid/mine.yaml")
    for name, given in packing.configuration(root / "grid/mine.yaml", planned).items():
        text = given.decode() if isinstance(given, bytes) else given.read_text()
        io.write_text(root / name.replace("config", stem, 1), text)
    return json.loads(io.canonical(planned.overview()))


def test_what_is_planned_is_what_is_configured(tmp_path):
    spec = configure(tmp_path)
    (found,) = configured.configurations(tmp_path, spec)
    assert [list(cell) for cell in found.cells] == spec["planned"] and len(found.cells) == 4 and not found.own


def test_an_archive_joined_of_two_has_two_configurations(tmp_path):
    parts = [configure(tmp_path, model, f"config/{model}") for model in ("gaussian", "independent")]
    spec = {"planned": parts[0]["planned"] + parts[1]["planned"]}
    assert [len(one.cells) for one in configured.configurations(tmp_path, spec)] == [2, 2]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(("change", "told"), [
    (lambda root, spec: spec["planned"].pop(), "1 runs are configured and not planned, such as digits/independent/1"),
    (lambda root, spec: spec["planned"].append(["digits", "vae", 0]), "1 runs are planned and in no configuration"),
    (lambda root, spec: spec.update(metrics=["kernel"]), "not what the configuration asks for: metrics: "),
    (lambda root, spec: edit(root / "config/models/gaussian.yaml", "class", "fit: {}\nclass"), "not what resolved"),
    (lambda root, spec: edit(root / "config/resolved.json", '"seeds":[0,1]', '"seeds":[0,1,2]'), "configured and not"),
    (lambda root, spec: edit(root / "config/resolved.json", '"benchmark":"mine"', '"benchmark":"../mine"'), "no name"),
    (lambda root, spec: io.write_json(root / "digits/gaussian/0/model.json", {"spec": {"class": "x"}}),
     "digits/gaussian/0/model.json is of another configuration: class"),
])  # fmt: skip
def test_a_plan_that_is_not_the_configurations_is_refused(change, told, tmp_path):
    spec = configure(tmp_path)
    change(tmp_path, spec)
    with pytest.raises(archive.Refused, match=told):
        configured.configurations(tmp_path, spec)
    assert not (tmp_path / "mine.yaml").exists() and not list(tmp_path.parent.glob("mine.yaml"))


MINE = "from pathlib import Path\nfrom gm.models.copula import Copula\nPath('ran').touch()\n"


def test_a_class_that_an_archive_names_is_not_run(tmp_path, monkeypatch, capsys):
    """Its code travels to be read; other runs are still made again, or none."""
    monkeypatch.chdir(tmp_path)
    io.write_text(tmp_path / "grid/mine.py", MINE + "class Mine(Copula):\n    pass\n")
    io.write_text(tmp_path / "grid/own.yaml", "class: mine.py:Mine\n")
    spec = configure(tmp_path, "own.yaml")
    assert (tmp_path / "config/models/mine.py.txt").read_text().startswith("from pathlib")
    for _, model, seed in spec["planned"]:
        for name in RECORDS:
            io.write_json(tmp_path / f"digits/{model}/{seed}/{name}.json", {"status": "ok", "seconds": 1.0})
    options = argparse.Namespace(seed=0, trust=False, minutes=2.0, cells=2, cores=1)
    assert list(verify._again(tmp_path, {"spec": spec}, tmp_path, options)) == []
    assert "own leads to grid/mine.py:Mine" in capsys.readouterr().out and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("spec", "leads"), [
    ({"class": "gm.models.vae.VAE", "fit": {"steps": 3}}, ""),
    ({"source": "gm.data.digits.load", "outliers": {"a": {"dataset": {"path": "/etc"}}}}, "/etc"),
    ({"sources": [{"url": "http://10.0.0.1"}], "files": {}}, "http://10.0.0.1"),
    ({"external": {"samples": "x"}}, "{'samples': 'x'}"),
    ({"inception": {"file": "net.pt"}}, "net.pt"), ({"target": "t.py:T"}, "t.py:T"),
])  # fmt: skip
def test_what_leads_out_of_an_archive(spec, leads):
    assert configured.outside(spec) == leads


def test_sources_of_the_repository_lead_nowhere():
    found = plan.read(plan.REPOSITORY / "config/fashion.yaml")
    assert not any(map(configured.outside, found.datasets.values()))


def test_runs_that_take_longer_are_chosen_more_often():
    minutes = {("d", "control", 0): 0.0, ("d", "vae", 0): 1.0, ("d", "flow", 0): 1.0, ("d", "ebm", 0): 9.0}
    chosen = [verify.choose(minutes, 2.0, 1, seed) for seed in range(200)]
    assert {cell[1] for (cell,) in chosen} == {"vae", "flow"}


def test_a_fit_that_ends_as_another_seed_would_agrees_elsewhere():
    seeds = [[ROW | {"value": value, "se": "0.01"}] for value in ("1.0", "1.5", "2.0")]
    new = [ROW | {"value": "1.6", "se": "0.01"}]
    assert remade.compare(seeds[0], new)[0] > remade.ERRORS and remade.beyond(seeds[0], new, seeds) == []
    assert remade.beyond(seeds[0], [new[0] | {"value": "9000"}], seeds) == ["a"]
    assert remade.beyond(seeds[0], [new[0] | {"kind": "exact"}], seeds) == ["a"]
    assert remade.beyond(seeds[0], [new[0] | {"se": "5"}], seeds) == ["a"]


@pytest.mark.parametrize("old", [
    [ROW | {"se": "1000", "value": "51.0"}], [ROW | {"kind": "exact"}], [ROW | {"n": "10"}], [ROW, ROW], [],
    [ROW | {"status": "failed"}], [ROW | {"value": "nan"}],
])  # fmt: skip
def test_a_run_made_again_is_not_excused_by_what_the_archive_says(old):
    assert remade.compare(old, [ROW])[0] > remade.ERRORS


def test_scores_that_are_not_those_of_a_run_made_again_are_found():
    scores = np.random.default_rng(0).normal(size=(3, 250))
    new = dict(zip(("lower_test", "upper_test", "nll"), scores, strict=True))
    assert remade.shifted(new | {"nll": new["nll"] + 0.01}, new) == []
    assert remade.shifted(new | {"nll": new["nll"] + 1.0, "lower_test": new["lower_test"][1:]}, new) == [
        "lower_test",
        "nll",
    ]
    assert remade.shifted(new | {"nll": np.where(new["nll"] > 2, np.inf, new["nll"])}, new) == ["nll"]


def test_numbers_without_a_value_agree_with_themselves():
    assert remade.compare([ROW | {"value": "-inf"}], [ROW | {"value": "-inf"}])[0] == 0
    assert math.isclose(remade.compare([ROW], [ROW | {"value": "1.2"}])[0], 2**0.5)

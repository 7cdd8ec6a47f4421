"""What jobs will cost: the records of jobs like them, and what is said where there are none."""

import os
from pathlib import Path

import pytest

from gm import io
from gm.commands.forecast import Cost, Forecast, pace, seconds, told
from gm.commands.records import Job


def record(path, stage, seconds, memory=100.0, status="ok"):
    io.write_json(path, {"stage": stage, "status": status, "seconds": seconds, "peak_mb": memory})


def job(stage, *place):
    return Job(
        stage, dict(zip(("dataset", "model", "seed"), place, strict=False)), Path("x"), ("not made yet",), "missing"
    )


@pytest.fixture
def results(tmp_path):
    for seed, spent in enumerate((10.0, 30.0, 20.0)):
        record(tmp_path / f"old/digits/vae/{seed}/model.json", "train", spent, memory=100.0 + seed)
        (tmp_path / f"old/digits/vae/{seed}/model.safetensors").write_bytes(bytes(1000))
        (tmp_path / f"old/digits/vae/{seed}/history.csv").write_bytes(bytes(500))
    record(tmp_path / "old/digits/vae/3/model.json", "train", 9999.0, status="diverged")
    record(tmp_path / "old/digits/ppca/0/model.json", "train", 2.0)
    record(tmp_path / "other/digits/data.json", "prepare", 4.0)
    record(tmp_path / "other/digits/ruler/features.json", "ruler", 7.0)
    record(tmp_path / "other/table.json", "report", 5.0)
    io.write_json(tmp_path / "other/odd.json", ["no record"])
    (tmp_path / "other/broken.json").write_text("{")
    return tmp_path


def test_the_most_alike_jobs_tell_the_cost(results):
    forecast = Forecast(results)
    size = (results / "old/digits/vae/0/model.json").stat().st_size + 1500
    assert forecast.of(job("train", "digits", "vae", 5)) == (Cost(20.0, 101.0, size), True)
    assert forecast.of(job("train", "fashion", "vae", 0)) == (Cost(20.0, 101.0, size), False)
    assert forecast.of(job("train", "fashion", "ebm", 0))[0].seconds == 15.0  # the median of 2, 10, 20, 30
    assert [
        forecast.of(job(*given))[0].seconds for given in (("prepare", "digits"), ("ruler", "digits"), ("report",))
    ] == [4, 7, 5]
    assert all(forecast.of(job(*given))[1] for given in (("prepare", "digits"), ("ruler", "digits"), ("report",)))
    assert forecast.of(job("score", "digits", "vae", 0)) == (None, False)


def test_the_sum_is_told_with_what_it_rests_on(results):
    forecast, due = Forecast(results), [job("train", "digits", "vae", 5), job("train", "digits", "vae", 6)]
    assert told(forecast, due, 1).startswith("about 0.7 min, 101 MiB of memory a job at most")
    assert told(forecast, due, 2).startswith("about 0.3 min on 2 cores (0.7 on one)") and "guessed" not in told(
        forecast, due
    )
    assert told(forecast, [*due, job("score", "digits", "vae", 0)]).endswith(
        "1 of them guessed from other data or models"
    )
    assert told(forecast, [job("score", "digits", "vae", 0)]) == told(forecast, []) == ""
    assert f"on {len(os.sched_getaffinity(0))} core" in told(forecast, due) or len(os.sched_getaffinity(0)) == 1


def test_nothing_is_known_of_an_empty_folder(tmp_path):
    assert Forecast(tmp_path / "missing").known == {}


def test_the_pace_is_the_mean_number_of_jobs_at_once_of_late(tmp_path):
    now = 1_000_000.0
    jobs = {
        "a/data": (100, 400),
        "a/ruler/features": (50, 350),
        "a/vae/0/model": (150, 0),
        "a/vae/1/model": (900, 9000),
    }
    for name, (spent, ago) in jobs.items():
        record(tmp_path / f"{name}.json", "train", float(spent))
        os.utime(tmp_path / f"{name}.json", (now - ago, now - ago))
    (tmp_path / "a/odd.json").write_text("{")
    assert pace(tmp_path, now) == pytest.approx((100 + 50 + 150) / 500)  # the fourth ended long ago
    assert pace(tmp_path, now, window=10_000) == pytest.approx(1200 / 9900)
    assert pace(tmp_path / "missing", now) == pace(tmp_path, now + 1e5) == 0


def test_seconds_of_what_is_known(results):
    due = [job("train", "digits", "vae", 5), job("prepare", "digits"), job("score", "digits", "vae", 0)]
    assert seconds(Forecast(results), due) == 24

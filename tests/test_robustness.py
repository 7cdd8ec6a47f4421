"""Bad configuration, kills, a full disk, two runs at once: samples of `make test-fuzz` and `make test-kills`.

Everything happens in copies of the project, or in folders without one.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from robustness import fuzz, kills, project, valid
from robustness.mutants import EITHER, ERROR, VALID, Mutator

from gm import catalogue, config, datasets, plan, schema

pytestmark = [pytest.mark.slow]
workflow = pytest.mark.workflow


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run of the small benchmark."""
    return project.undisturbed(tmp_path_factory.mktemp("undisturbed"))


@contextlib.contextmanager
def disk(folder, *options):
    """A small disk of its own in a folder."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def command(folder, *words, **variables):
    """Run a command with this project; a variable that is None is not set."""
    environment = project.environment(project.REPOSITORY) | variables
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def gm(folder, *words, **variables):
    return command(folder, sys.executable, "-m", "gm", *words, **variables)


def snakemake(folder, *words, **variables):
    snakefile = str(project.REPOSITORY / "Snakefile")
    return command(folder, sys.executable, "-m", "snakemake", "-s", snakefile, "-c", "1", *words, **variables)


def test_mutated_configuration_is_valid_or_refused_by_one_error_with_its_place():
    result = fuzz.run(126, 0, seed=1)
    assert not result.complaints, "\n".join(result.complaints)
    assert len(result.kinds) == 21 and min(result.codes[verdict] for verdict in ("valid", "refused")) > 4


@workflow
def test_snakemake_comes_to_the_same_verdict():
    result = fuzz.run(42, 3, seed=2)
    assert not result.complaints, "\n".join(result.complaints)


def test_the_same_seed_gives_the_same_mutants_and_all_that_is_asked_of_them():
    one, other = Mutator(3), Mutator(3)
    drawn = [one.draw(number) for number in range(210)]
    assert drawn == [other.draw(number) for number in range(210)]
    assert {mutant.must for mutant in drawn} == {ERROR, VALID, EITHER}
    assert {mutant.file for mutant in drawn} == {*valid.IMAGES, *valid.TARGETS}


def everywhere(patch, name, instead):
    for module in (catalogue, config, datasets, plan, schema):
        if name in vars(module):
            patch.setattr(module, name, instead)


def told(patch, place):
    tell = config.ConfigError.__init__
    patch.setattr(config.ConfigError, "__init__", lambda self, file, key, *words: tell(self, *place(file, key), *words))


DEFECTS = {
    "unknown keys pass": ("unknown", lambda patch: everywhere(patch, "check_keys", lambda *words: None)),
    "types are not checked": ("wrong_type", lambda patch: everywhere(patch, "check_call", lambda *words: None)),
    "the key is not told": ("unfit", lambda patch: told(patch, lambda file, key: (file, ""))),
    "the file is not told": ("missing", lambda patch: told(patch, lambda file, key: ("a.yaml", key))),
    "aliases are followed": ("aliased", lambda patch: patch.setattr(config._Loader, "_refuse", lambda *words: None)),
    "any number will do": ("unfit", lambda patch: patch.setattr(config, "LARGEST", 10**9999)),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_in_the_validation_is_noticed(monkeypatch, name):
    kind, break_it = DEFECTS[name]
    break_it(monkeypatch)
    assert any(f" {kind} " in line for line in fuzz.run(105, 0, seed=1).complaints)


@workflow
def test_killed_runs_resume_to_the_same_bytes(first, tmp_path):
    seen = kills.run(3, 0, first, tmp_path / "disturbed")
    assert seen["trees"] >= 1


@workflow
def test_a_full_disk_is_named_leaves_nothing_half_and_is_forgotten_once_there_is_space(first, tmp_path):
    folder = project.workplace(tmp_path / "full")
    run = {"cwd": folder, "env": project.environment(first.code), "capture_output": True, "text": True, "check": False}
    with disk(folder / "results", "-o", "size=700k"):
        done = subprocess.run(project.RUN, **run)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert f"gm run: {folder}/results/small: No space left on device" in done.stderr
        found = project.hashes(folder / "results")
        assert found and not kills.differing(found, first.results)
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder / "results")], check=True)
        done = subprocess.run(project.RUN, **run)
        assert done.returncode == 0, done.stderr
        assert project.hashes(folder / "results") == first.results


@workflow
def test_two_runs_at_once_the_second_is_refused_and_the_first_is_not_harmed(first, tmp_path):
    folder = project.workplace(tmp_path / "both")
    run = {"cwd": folder, "env": project.environment(first.code), "text": True}
    one = subprocess.Popen(project.RUN, **run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not (folder / "results/small/digits/data.npz").exists():
        assert one.poll() is None, one.stderr.read()
        time.sleep(0.05)
    for words in (project.RUN, (*project.RUN[:3], "retry", "small.yaml")):
        done = subprocess.run(words, **run, capture_output=True, check=False)
        assert done.returncode == 4 and "Traceback" not in done.stderr
        assert f"{folder}/results is in use by another run (process {one.pid}" in done.stderr
        assert f"kill {one.pid}" in done.stderr
    # Snakemake alone would stop at the files that the first run is making, and call them incomplete
    snakefile = ["-s", str(first.code / "Snakefile"), "-c", "1", "--rerun-incomplete", "--config", "grid=small.yaml"]
    done = subprocess.run([sys.executable, "-m", "snakemake", *snakefile], **run, capture_output=True, check=False)
    assert done.returncode == 1 and f"another run (process {one.pid}" in done.stdout + done.stderr
    assert one.wait() == 0, one.stderr.read()
    one.stderr.close()
    assert project.hashes(folder / "results") == first.results


@workflow
@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_asked_to_stop_stops_and_leaves_no_process(first, tmp_path, asked):
    """In the background of a shell script too, where SIGINT is ignored; under nohup alone SIGHUP is."""

    def background() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(asked, signal.SIG_DFL)  # however the tests themselves were started

    folder = project.workplace(tmp_path / "stopped")
    run = {"cwd": folder, "env": project.environment(first.code), "stderr": subprocess.DEVNULL}
    one = subprocess.Popen(project.RUN, **run, stdout=subprocess.DEVNULL, preexec_fn=background)
    while not (folder / "results/small/digits/data.npz").exists():
        assert one.poll() is None
        time.sleep(0.05)
    one.send_signal(asked)
    assert one.wait(kills.LIMIT) == 130
    assert not kills.differing(project.hashes(folder / "results"), first.results)
    assert not kills.processes(folder)


@workflow
def test_what_was_deleted_is_made_again_and_what_was_damaged_is_named(first, tmp_path):
    """Whatever is missing is made, weights too, which no later job asks for; nothing damaged enters a report."""
    folder = project.workplace(tmp_path / "mended")
    run = {"cwd": folder, "env": project.environment(first.code), "capture_output": True, "text": True, "check": False}
    assert subprocess.run(project.RUN, **run).returncode == 0
    (place,) = {path.parent for path in sorted(folder.glob("results/small/digits/*/0/metrics.csv"))[:1]}
    for name in ("model.safetensors", "scores.npz", "metrics.json", "../0"):
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        done = subprocess.run(project.RUN, **run)
        assert done.returncode == 0, done.stderr
        assert not kills.differing(project.hashes(folder / "results"), first.results)
    text = (place / "metrics.csv").read_text()
    for damage in (text[:-1] + "0\n", text[: len(text) // 2]):
        (place / "metrics.csv").write_text(damage)
        done = subprocess.run(project.RUN, **run)
        told = f"{(place / 'metrics.csv').relative_to(folder)} is not the file that its record names; delete it"
        assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr
    (place / "metrics.csv").unlink()
    assert subprocess.run(project.RUN, **run).returncode == 0
    assert project.hashes(folder / "results") == first.results


@pytest.mark.parametrize("how", ["gone", "folder", "empty", "pipe"])
def test_a_grid_that_cannot_be_read_is_one_clear_message(tmp_path, how):
    grid = tmp_path / "grid.yaml"
    {"gone": lambda: None, "folder": grid.mkdir, "empty": grid.touch, "pipe": lambda: os.mkfifo(grid)}[how]()
    found = {"gone": "no such file", "folder": "a folder", "empty": "nothing", "pipe": "no regular file"}[how]
    for done in (gm(tmp_path, "run", "grid.yaml"), snakemake(tmp_path, "--config", "grid=grid.yaml")):
        words = done.stdout + done.stderr
        assert done.returncode and "Traceback" not in words and words.count("configuration error") == 1
        assert f"grid.yaml\n  found:    {found}\n" in words
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written_are_one_clear_message(tmp_path):
    project.workplace(tmp_path)
    (tmp_path / "results").write_text("a file")
    done = gm(tmp_path, "run", "small.yaml")
    assert (done.returncode, done.stderr) == (1, "gm run: results: File exists\n")
    (tmp_path / "results").unlink()
    with disk(tmp_path / "results", "-o", "ro"):
        done = gm(tmp_path, "run", "small.yaml")
        assert (done.returncode, done.stderr) == (1, "gm run: results/.lock: Read-only file system\n")


@workflow
@pytest.mark.parametrize("variables", [{"HOME": None}, {"HOME": "/nowhere"}, {"TMPDIR": "/nowhere"}])
def test_homeless_runs_are_planned(tmp_path, variables):
    project.workplace(tmp_path)
    done = snakemake(tmp_path, "-n", "--config", "grid=small.yaml", **variables)
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr

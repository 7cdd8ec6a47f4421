"""What a failed run says, and who holds the lock."""

import os
import subprocess
import sys
import time

import pytest

from gm.commands import run

WORDS = """
Error in rule train:
    shell: a very long line
Logfile results/a/train.log:
================================================================================
Traceback
OSError: No space left on device
================================================================================
Exiting because a job execution failed. Look above for error messages
"""


def test_failures_are_told_by_the_jobs_own_words():
    assert run.failures(WORDS) == ["Logfile results/a/train.log:", "Traceback", "OSError: No space left on device"]
    assert run.failures("one\ntwo") == ["one", "two"]


def test_a_living_holder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.3)
    with (
        run.lock(tmp_path),
        pytest.raises(run.Busy, match=rf"another run \(process {os.getpid()}\)"),
        run.lock(tmp_path),
    ):
        pass


def test_orphans_of_a_killed_run_are_waited_for(tmp_path, capsys):
    """The driver's process is gone, but a job that inherited the lock as standard input still runs."""
    driver = f"""
import subprocess, sys
from pathlib import Path
from gm.commands.run import lock
with lock(Path({str(tmp_path)!r})) as descriptor:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"], stdin=descriptor)
    import os; os._exit(9)
"""
    subprocess.run([sys.executable, "-c", driver], check=False)
    started = time.monotonic()
    with run.lock(tmp_path):
        assert time.monotonic() - started > 0.5
    assert "waiting for the last jobs" in capsys.readouterr().err

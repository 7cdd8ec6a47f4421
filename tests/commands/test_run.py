"""What a failed run says."""

import pytest

from gm.commands import options, run

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


@pytest.mark.parametrize(("visible", "count"), [(None, 2), ("", 0), ("-1", 0), ("0", 1), ("GPU-ab, GPU-cd,3", 3)])
def test_gpus_are_counted_as_torch_would_see_them(tmp_path, monkeypatch, visible, count):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert options.gpus(tmp_path) == count

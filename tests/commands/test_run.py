"""What a failed run says."""

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

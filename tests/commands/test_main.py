"""The command line itself."""

import os
import subprocess
import sys

from gm import plan


def test_a_reader_that_leaves_is_no_mistake(tmp_path):
    """`gm plan | head`: the words end where nobody reads them, without a complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "gm", "plan", str(plan.REPOSITORY / "config/digits.yaml")]
    done = subprocess.run(words, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")

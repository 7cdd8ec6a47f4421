"""What the live view knows of running jobs: their heartbeats."""

import time

from gm import io
from gm.commands import view


def test_jobs_of_a_run_and_of_a_dataset_beat(tmp_path):
    """A heartbeat lies beside the output it announces; one that stopped long ago is no running job."""
    for folder, name, late in (("d/m/0", "model", 0), ("d", "data", 0), ("d/m/1", "model", 2 * view.STALE)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        beat = {"step": 3, "total": 9, "time": time.time() - late}
        io.write_json(tmp_path / folder / f".{name}.npz.progress", beat)
    assert view.beats(tmp_path) == {"d data": (3, 9), "d/m/0 model": (3, 9)}

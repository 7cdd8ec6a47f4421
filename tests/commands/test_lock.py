"""One run at a time in a folder: the second refuses at once, and a killed one leaves nothing to unlock."""

import os
import socket
import subprocess
import sys
import time

import pytest

from gm.commands import lock

HOLD = """
import sys, time
from pathlib import Path
from gm.commands import lock
with lock.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
KEEP = """
import subprocess, sys
from pathlib import Path
from gm.commands import lock
lock.keep(Path(sys.argv[1]))
lock.keep(Path(sys.argv[1]))
subprocess.Popen([sys.executable, "-c", "import time; print('held', flush=True); time.sleep(1.5)"])
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_refused_at_once_and_told_who_and_where_and_what_to_do(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("the second run waits"))
    with pytest.raises(lock.Busy) as caught, lock.lock(tmp_path):
        pass
    here = f"{tmp_path} is in use by another run (process {holder.pid} on {socket.gethostname()})"
    assert str(caught.value) == f"{here}; wait for it to end, or stop it with: kill {holder.pid}"
    assert holder.poll() is None


def test_a_run_on_another_machine_is_named_with_its_machine(holder, tmp_path):
    (tmp_path / lock.NAME).write_text(f"{holder.pid} elsewhere\n")
    message = f"on elsewhere.*stop it on elsewhere with: kill {holder.pid}"
    with pytest.raises(lock.Busy, match=message), lock.lock(tmp_path):
        pass


def test_a_lock_whose_holder_does_not_say_who_it_is(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "UNNAMED", 0.1)
    (tmp_path / lock.NAME).write_text("")
    with pytest.raises(lock.Busy, match="in use by another run; wait"), lock.lock(tmp_path):
        pass


def test_after_a_kill_the_next_run_starts(holder, tmp_path):
    holder.kill()
    holder.wait()
    with lock.lock(tmp_path):
        assert (tmp_path / lock.NAME).read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_a_zombie_holds_nothing(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not lock._alive(process.pid)
    process.wait()
    assert lock._alive(os.getpid())


def test_orphans_of_a_killed_run_are_waited_for(tmp_path, capsys):
    """The driver's process is gone, but a job that inherited the lock as standard input still runs."""
    driver = f"""
import subprocess, sys
from pathlib import Path
from gm.commands.lock import lock
with lock(Path({str(tmp_path)!r})) as descriptor:
    job = "import time; print('on', flush=True); time.sleep(1.5); open({str(tmp_path / "end")!r}, 'w')"
    job = subprocess.Popen([sys.executable, "-c", job], stdin=descriptor, stdout=subprocess.PIPE)
    job.stdout.readline()
    import os; os._exit(9)
"""
    subprocess.run([sys.executable, "-c", driver], check=False)
    with lock.lock(tmp_path):
        assert (tmp_path / "end").exists()
    assert "waiting for the last jobs" in capsys.readouterr().err


def test_a_kept_lock_is_held_by_what_is_started_afterwards(tmp_path, capsys):
    driver = subprocess.Popen([sys.executable, "-c", KEEP, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout.readline() == "held\n"
    driver.wait()
    with lock.lock(tmp_path):
        pass
    assert "waiting for the last jobs" in capsys.readouterr().err
    driver.stdout.close()

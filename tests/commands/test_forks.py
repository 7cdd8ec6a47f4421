"""The fork server: the same bytes as a process of its own, the code on disk now, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gm.commands import forks

PROBE = "import sys; from gm.commands import forks; sys.exit(forks.delegate(sys.argv[1:]) or 0)"


@pytest.fixture
def server(tmp_path):
    """A server that runs a small stand-in for the stages: the word after the verb is Python."""
    address = str(tmp_path / "forks")
    code = "from gm.commands import forks; forks.PRELOADED = ('json',)\n"
    code += f"forks.serve([{address!r}], lambda words: exec(words[1]) or 0)"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not os.path.exists(address) and time.monotonic() < deadline:
        time.sleep(0.01)
    yield {forks.VARIABLE: address}
    process.stdin.close()
    assert process.wait(20) == 0, "the server ends with its standard input"


def ask(server, code, **options):
    command = [sys.executable, "-c", PROBE, "train", code]
    return subprocess.Popen(command, env=os.environ | server, stdout=subprocess.PIPE, text=True, **options)


def test_a_job_has_its_clients_folder_files_and_environment(server, tmp_path):
    job = ask(server | {"COLOUR": "blue"}, "import os; print(os.getcwd(), os.environ['COLOUR'])", cwd=tmp_path)
    assert job.communicate()[0].split() == [str(tmp_path), "blue"] and job.returncode == 0


def test_exit_codes_and_exceptions_come_back(server):
    for code, expected in {"raise SystemExit(7)": 7, "raise ValueError": 1, "import os; os._exit(0)": 1}.items():
        job = ask(server, code, stderr=subprocess.DEVNULL)
        assert job.wait(10) == expected, code


def test_a_killed_client_takes_its_job_along(server, tmp_path):
    sign = tmp_path / "alive"
    job = ask(
        server, f"import time; open({str(sign)!r}, 'w').write('x'); time.sleep(1); open({str(sign)!r}, 'a').write('y')"
    )
    while not sign.exists() or not sign.read_text():
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    time.sleep(1.3)
    assert sign.read_text() == "x"


def test_without_a_server_the_job_runs_here(monkeypatch, tmp_path):
    monkeypatch.setenv(forks.VARIABLE, str(tmp_path / "nobody"))
    assert forks.delegate(["train"]) is None
    monkeypatch.delenv(forks.VARIABLE)
    assert forks.delegate(["train"]) is None


def test_only_libraries_are_preloaded():
    assert not [name for name in forks.PRELOADED if name.split(".")[0] == "gm"]

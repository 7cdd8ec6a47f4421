"""A real Slurm on one machine, for as long as a context lasts: its own munge key, ports, spool and logs in one folder.

Nothing is installed and no service of the machine is touched: `munged`, `slurmctld` and `slurmd` are children of this
process. It works as root or as a plain user, in a container, without systemd and without control groups.
"""

import contextlib
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
SEARCHED = os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/sbin"])  # a plain user's PATH lacks the last two
NODE = "one"
# The node says that it has two cores, some memory and a GPU (config_overrides: whatever the machine has). Slurm
# places jobs by them; nothing enforces them. KillWait: what is cancelled dies soon.
SLURM = """
ClusterName=throwaway
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
ReturnToService=2
MinJobAge=300
KillWait=2
SlurmdParameters=config_overrides
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1 State=UNKNOWN
PartitionName=all Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs of Slurm and munge that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]


def ports(n: int) -> list[int]:
    """`n` ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [server.getsockname()[1] for server in taken]


def wait(condition, what: str, seconds: float = 60) -> None:
    """Return once `condition()` holds; an error that names what was waited for after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)


class Cluster:
    """A running Slurm; `environment` is what a process needs to find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join([str(folder / "bin"), SEARCHED])
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def ask(self, *command: str) -> str:
        """What a command of Slurm's says."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout

    def tell(self, **settings: str) -> None:
        """Change the node: `state="drain"`, `state="down"`, `state="resume"`."""
        words = [f"{key}={value}" for key, value in settings.items()]
        command = ["scontrol", "update", f"nodename={NODE}", *words]
        for _ in range(
            60
        ):  # "Invalid node state": it is still on its way to the one before, or has come back by itself
            if not subprocess.run(command, env=self.environment, check=False).returncode:
                return
            state = self.ask("scontrol", "show", "node", NODE)
            if settings["state"] == "resume" and not re.search(r"State=\S*(DOWN|DRAIN)", state):
                return
            time.sleep(0.5)
        raise RuntimeError(f"{' '.join(command)} is refused; {state}")

    def running(self) -> list[str]:
        """Numbers of the jobs that run now."""
        return self.ask("squeue", "--noheader", "--states=running", "--format=%i").split()

    def log(self) -> str:
        """The ends of the daemons' logs."""
        texts = [f"{path}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(texts)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Start Slurm in an empty folder, yield it, and leave no process behind."""
    folder.mkdir(mode=0o755, parents=True)
    facts = {"folder": folder, "user": getpass.getuser(), "host": socket.gethostname().split(".")[0], "node": NODE}
    (folder / "slurm.conf").write_text(SLURM.format(ports=ports(2), **facts))
    (folder / "gres.conf").write_text(f"NodeName={NODE} Name=gpu File=/dev/null\n")
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    # Snakemake's plugin hides SLURM_CONF from the srun inside a job; on a cluster it is found in its usual place.
    srun = shutil.which("srun", path=SEARCHED)
    (folder / "bin/srun").write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n')
    (folder / "bin/srun").chmod(0o755)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    here = Cluster(folder)
    try:
        _start(here, "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
               f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed")  # fmt: skip
        wait((folder / "munge.socket").exists, "munged")
        _start(here, "slurmctld", "-D")
        _start(here, "slurmd", "-D")
        wait(lambda: here.ask("sinfo", "--noheader", "--format=%T").strip() == "idle", "an idle node")
        yield here
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{here.log()}") from None
    finally:
        _stop(here)


def _start(here: Cluster, program: str, *words: str) -> None:
    """Start a daemon that is killed with this process."""
    with open(here.folder / f"{program}.out.log", "wb") as out:
        command = ["setpriv", "--pdeathsig", "KILL", program, *words]
        subprocess.Popen(command, env=here.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _stop(here: Cluster) -> None:
    """Kill the daemons, the jobs and whatever else was started with this Slurm's environment."""
    mine = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SLURM_CONF") == here.environment["SLURM_CONF"]:
                process.kill()
                mine.append(process)
    psutil.wait_procs(mine, timeout=10)

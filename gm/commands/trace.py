"""gm trace: what a figure says it was drawn from, and whether its table is still that one.

The label is checked, not the picture: `gm verify` and `gm figures` draw anew.
"""

import argparse
import re
import sys
import zlib
from pathlib import Path

from gm import archive, io

ORIGIN = re.compile(rb"table\.csv sha256 ([0-9a-f]{64}), commit ([0-9A-Za-z+ ]+)")
MOST = 16


def main(arguments: list[str]) -> int:
    """Print the origin of each figure; exit 1 if one has none, or if its table has changed since."""
    parser = argparse.ArgumentParser("gm trace", description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="+", type=Path, help="SVG, PDF or PNG files of a report")
    good = True
    for path in parser.parse_args(arguments).figures:
        try:
            good = _told(path) and good
        except (OSError, archive.Refused) as error:
            print(f"gm trace: {path}: {error}", file=sys.stderr)
            good = False
    return 0 if good else 1


def _told(path: Path) -> bool:
    """Say what a figure says of itself; whether nothing contradicts it."""
    digest, commit = origin(path.read_bytes())
    print(f"{path}: drawn from a table.csv with sha256 {digest}, made by commit {commit}")
    table = next((folder / "table.csv" for folder in path.resolve().parents if (folder / "table.csv").is_file()), None)
    if table is None:
        print("  no table.csv in the folders above it")
        return True
    if io.sha256(table) != digest:
        print(f"  {table} HAS CHANGED SINCE")
        return False
    print(f"  {table} is that table")
    if (stated := _commit(table)) not in (None, commit):
        print(f"  BUT {table.with_suffix('.json')} says that commit {stated} made it")
        return False
    return True


def _commit(table: Path) -> str | None:
    """The commit that the record of a table states."""
    with archive.untrusted():
        return io.read_json(table.with_suffix(".json"))["commit"] if table.with_suffix(".json").is_file() else None


def origin(content: bytes) -> tuple[str, str]:
    """Hash of the table and commit that a figure carries inside, whatever its format.

    Raises:
        gm.archive.Refused: there is none, or more than one.

    Example:
        >>> origin(b"<dc:description>table.csv sha256 " + b"0" * 64 + b", commit abc+</dc:description>")[1]
        'abc+'
    """
    with archive.untrusted():
        texts = _texts(content) if content.startswith(b"\x89PNG") else [content.replace(b"\\", b"")]
        found = {match.groups() for text in texts for match in ORIGIN.finditer(text)}
    if len(found) != 1:
        told = "several origins" if found else "no origin"
        raise archive.Refused(f"{told} inside; expected a figure of a report of gm")
    digest, commit = found.pop()
    return digest.decode(), commit.decode().strip()


def _texts(content: bytes) -> list[bytes]:
    """The texts of a PNG, the compressed ones unpacked; no more of them than a figure has."""
    out, place = [], 8
    while place + 8 <= len(content) and len(out) < MOST:
        size, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        body = content[place + 8 : place + 8 + size]
        if kind == b"zTXt":
            body = zlib.decompressobj().decompress(body.split(b"\x00", 1)[1][1:], 2**20)
        if kind in (b"tEXt", b"iTXt", b"zTXt"):
            out.append(body)
        place += size + 12
    return out

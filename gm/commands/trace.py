"""gm trace: what a figure was drawn from, and whether its table is still that one."""

import argparse
import re
import sys
import zlib
from pathlib import Path

from gm import io

ORIGIN = re.compile(rb"table\.csv sha256 ([0-9a-f]{64}), commit ([0-9A-Za-z+ ]+)")


def main(arguments: list[str]) -> int:
    """Print the origin of each figure; exit 1 if one has none, or if its table has changed since."""
    parser = argparse.ArgumentParser("gm trace", description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="+", type=Path, help="SVG, PDF or PNG files of a report")
    good = True
    for path in parser.parse_args(arguments).figures:
        try:
            digest, commit = origin(path.read_bytes())
        except (OSError, ValueError) as error:
            print(f"gm trace: {path}: {error}", file=sys.stderr)
            good = False
            continue
        print(f"{path}: drawn from a table.csv with sha256 {digest}, made by commit {commit}")
        table = next(
            (folder / "table.csv" for folder in path.resolve().parents if (folder / "table.csv").is_file()), None
        )
        if table is None:
            print("  no table.csv in the folders above it")
        else:
            same = io.sha256(table) == digest
            print(f"  {table} {'is that table' if same else 'HAS CHANGED SINCE'}")
            good = good and same
    return 0 if good else 1


def origin(content: bytes) -> tuple[str, str]:
    """Hash of the table and commit that a figure carries inside, whatever its format.

    Raises:
        ValueError: there is none.

    Example:
        >>> origin(b"<dc:description>table.csv sha256 " + b"0" * 64 + b", commit abc+</dc:description>")[1]
        'abc+'
    """
    text = _texts(content) if content.startswith(b"\x89PNG") else content.replace(b"\\", b"")
    found = ORIGIN.search(text)
    if found is None:
        raise ValueError("no origin inside; expected a figure of a report of gm")
    return found[1].decode(), found[2].decode().strip()


def _texts(content: bytes) -> bytes:
    """The texts of a PNG, the compressed ones unpacked."""
    out, place = b"", 8
    while place + 8 <= len(content):
        size, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        body = content[place + 8 : place + 8 + size]
        if kind == b"zTXt":
            body = zlib.decompressobj().decompress(body.split(b"\x00", 1)[1][1:], 2**20)
        if kind in (b"tEXt", b"iTXt", b"zTXt"):
            out += body + b"\n"
        place += size + 12
    return out

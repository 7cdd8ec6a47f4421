"""File formats. Nothing half-written is ever read: every file appears under its name whole, by a rename."""

import csv
import errno
import glob
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# No space, no more quota, a file too large, a folder that is read-only or another's.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})


class Damaged(ValueError):
    """A file that is not as it was written: its path, and what is wrong with it."""


@contextmanager
def _whole(path: str | Path) -> Iterator[None]:
    """Around the reading of a file: what its bytes do wrong is told with its name."""
    try:
        yield
    except (ValueError, RecursionError, EOFError, KeyError, zlib.error, zipfile.BadZipFile, csv.Error) as error:
        told = f"{type(error).__name__}: {error}"
        raise Damaged(f"{path} is damaged ({told}); delete it, and run again to have it made anew") from error


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name in the same folder; on success it becomes `path`, on failure it is removed.

    Raises:
        OSError: it cannot be written; of the name `path`, whichever step it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename not in (None, str(temporary), temporary):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(path: str | Path) -> None:
    """Remove what writers of `path` left behind that were killed; nobody else may be writing it."""
    path = Path(path)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if left.suffix[1:].isdigit():
            left.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write text, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: object) -> None:
    """Write JSON with sorted keys, atomically."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read JSON.

    Raises:
        Damaged: it is none.
    """
    with _whole(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def write_arrays(path: str | Path, arrays: Mapping) -> None:
    """Write numpy arrays as a compressed `.npz` without pickles; the same arrays give the same bytes."""
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ValueError(f"array '{name}' has objects inside; expected numbers or strings")
    # Level 1: five times as fast as numpy's own choice on noise, which hardly compresses, and as small.
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name in sorted(arrays):
            array = np.asanyarray(arrays[name])
            # Versions of Python differ in the header of a large member: only an array that needs one gets it.
            with file.open(f"{name}.npy", "w", force_zip64=array.nbytes > 2**30) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_arrays(path: str | Path) -> dict:
    """Read every array of a `.npz`; pickles are refused.

    Raises:
        Damaged: it is no whole file of arrays.
    """
    import numpy as np

    with _whole(path), np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def write_rows(path: str | Path, columns: Iterable[str], rows: Iterable[Mapping]) -> None:
    """Write a CSV with exactly these columns; an absent value is an empty cell, a float keeps all its digits."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: "" if value is None else value for key, value in row.items()})


def read_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV as a list of dictionaries of strings.

    Raises:
        Damaged: it is no text, or a cell is too long for one.
    """
    with _whole(path), open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sha256(path: str | Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(content: object) -> str:
    """JSON that is a pure function of the content: sorted keys, no spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def save_with(writer: Callable[[Path], None], path: str | Path) -> None:
    """Let a library's own `writer(path)` write a file, atomically."""
    with atomic(path) as temporary:
        writer(temporary)

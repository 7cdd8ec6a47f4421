"""Archives: a finished benchmark in one zip file, with a manifest of hashes, and read as what it is: untrusted input.

Equal files give equal bytes: members are sorted, without dates or owners. What is read is refused as a whole unless
every member is expected, small enough, free of pickles and has the hash that the manifest states; only then does the
folder appear under its name.
"""

import csv
import errno
import hashlib
import json
import math
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from gm import io

FORMAT = 1
MANIFEST, CRATE = "manifest.json", "ro-crate-metadata.json"
EPOCH = (1980, 1, 1, 0, 0, 0)
# What reading a zip file can end with whose bytes are not those of one; zipfile says NotImplementedError of a packing
# or a version of the format that it does not know.
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError)
ENCRYPTED, PACKINGS = 0x1, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
SUFFIXES = frozenset(
    (".csv", ".json", ".npz", ".svg", ".pdf", ".png", ".html", ".txt", ".yaml", ".md", ".tex", ".safetensors")
)
MEMBERS, MEMBER_BYTES, BYTES = 200_000, 2**30, 2**33
JSON_BYTES, ARRAY_BYTES = 2**26, 2**32  # of one text that is parsed as a whole; of all arrays when unpacked
NAME = re.compile(r"[A-Za-z0-9_@+=][A-Za-z0-9_.@+=,-]*")
# What reading files can end with that hold anything.
MALFORMED = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError, csv.Error,
    FileNotFoundError, NotADirectoryError, IsADirectoryError, *BROKEN,
)  # fmt: skip


class Refused(ValueError):
    """An archive that is not what it should be: which member, what was found and what was expected."""


@contextmanager
def untrusted() -> Iterator[None]:
    """Around whatever reads what was unpacked: all that can go wrong with it becomes `Refused`."""
    try:
        yield
    except Refused:
        raise
    except MALFORMED as error:
        told = f"{type(error).__name__}: {error}"
        raise Refused(f"a record, a table or the configuration is malformed ({told})") from error


def write(path: Path, files: Mapping[str, Path | bytes], about: Mapping[str, object]) -> dict:
    """Write an archive, atomically.

    Arguments:
        path: of the zip file.
        files: member name -> a file, or its content.
        about: what the manifest says besides: `benchmark`, `commit`, `spec` and so on, JSON.

    Returns:
        The manifest: `about`, `format`, and `files`, name -> `sha256` and `bytes`.

    Raises:
        ValueError: if `read` would refuse a name or a size.
    """
    listed = {}
    with io.atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for name in sorted(files):
            source = files[name]
            content = source if isinstance(source, bytes) else source.read_bytes()
            _check_name(name)
            _check_size(name, len(content))
            listed[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            _add(file, name, content)
        found = {"format": FORMAT, "files": listed, **about}
        _add(file, CRATE, _text(crate(found)))
        _add(file, MANIFEST, _text(found))
    return found


def arrays(content: Mapping) -> bytes:
    """Arrays as a member: the bytes that `gm.io.write_arrays` writes."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "arrays.npz"
        io.write_arrays(path, content)
        return path.read_bytes()


def read(path: Path, folder: Path) -> dict:
    """Check an archive and unpack it into `folder`, which appears whole or not at all.

    Returns:
        The manifest.

    Raises:
        Refused: if anything in it is not as it should be; nothing is left behind.
        FileExistsError: if `folder` is there already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists; expected a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as file, tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacked-") as name:
        found, whole = _manifest(file), Path(name) / "whole"
        _check_about(found)
        _check_members(file, found)
        arrays = 0
        for member in file.infolist():
            target = whole.joinpath(*PurePosixPath(member.filename).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            _unpack(file, member, target, found["files"].get(member.filename))
            if target.suffix == ".npz" and (arrays := arrays + check_arrays(target, member.filename)) > ARRAY_BYTES:
                raise Refused(f"more than {ARRAY_BYTES} bytes of arrays in all")
        if (whole / CRATE).read_bytes() != _text(crate(found)):
            raise Refused(f"{CRATE} does not describe what the manifest lists")
        os.rename(whole, folder)
    return found


def crate(found: Mapping) -> dict:
    """RO-Crate metadata of an archive with this manifest.

    Reference: RO-Crate Metadata Specification 1.1, https://w3id.org/ro/crate/1.1.
    """
    parts = [{"@id": name} for name in found["files"]]
    files = [
        {"@id": name, "@type": "File", "contentSize": str(about["bytes"]), "sha256": about["sha256"]}
        for name, about in found["files"].items()
    ]
    root = {"@id": "./", "@type": "Dataset", "name": found.get("benchmark", ""), "hasPart": parts}
    root["datePublished"] = found.get("date", "")
    root["description"] = "Tables, scores, figures and provenance of a benchmark of generative models"
    own = {"@id": CRATE, "@type": "CreativeWork", "about": {"@id": "./"}}
    own["conformsTo"] = {"@id": "https://w3id.org/ro/crate/1.1"}
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": [own, root, *files]}


def _text(content: object) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _add(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, EPOCH)
    member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
    file.writestr(member, content)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip file, of plain members; whatever is wrong with its bytes becomes `Refused`."""
    if not path.is_file():
        raise Refused(f"{path}: no such file; expected an archive")
    try:
        with zipfile.ZipFile(path) as file:
            for member in file.infolist():
                if member.flag_bits & ENCRYPTED or member.compress_type not in PACKINGS:
                    raise Refused(f"member '{member.filename}' is encrypted or packed in another way than by deflate")
            yield file
    except BROKEN as error:
        raise Refused(f"{path}: {error}; expected a whole zip file") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which a seek to where a cut file has nothing gives
            raise
        raise Refused(f"{path}: cut; expected a whole zip file") from error


def _manifest(file: zipfile.ZipFile) -> dict:
    where = Path(file.filename).name
    try:
        member = file.getinfo(MANIFEST)
    except KeyError:
        raise Refused(f"{where} has no {MANIFEST}; expected an archive that 'gm archive' wrote") from None
    _check_size(MANIFEST, member.file_size, JSON_BYTES)
    try:
        found = json.loads(file.read(member))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{where}: {MANIFEST} is no JSON ({error})") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        told = found.get("format") if isinstance(found, dict) else type(found).__name__
        raise Refused(f"{where}: {MANIFEST} has format {told!r}; expected {FORMAT}")
    files = found.get("files")
    good = isinstance(files, dict) and all(
        isinstance(about, dict) and isinstance(about.get("sha256"), str) and isinstance(about.get("bytes"), int)
        for about in files.values()
    )
    if not good:
        raise Refused(f"{where}: 'files' of {MANIFEST} is malformed; expected name -> sha256 and bytes")
    return found


def _check_about(found: Mapping) -> None:
    """What names a folder later is a plain name: benchmark, datasets, contestants; seeds are whole numbers."""
    spec = found.get("spec", {})
    with untrusted():
        names = [found.get("benchmark", "none"), spec.get("benchmark", "none"), *spec.get("datasets", [])]
        names += [model["name"] for model in spec.get("models", [])]
        for dataset, model, seed in spec.get("planned", []):
            names += [dataset, model, str(int(seed))]
        if odd := [name for name in names if not NAME.fullmatch(name) or len(name) > 100]:
            raise Refused(f"{odd[0][:80]!r} in {MANIFEST} is no plain name of a benchmark, dataset or contestant")
        if odd := [key for key, value in found.get("versions", {}).items() if not isinstance(value, str)]:
            raise Refused(f"version of {odd[0]!r} in {MANIFEST} is no text")


def _check_members(file: zipfile.ZipFile, found: Mapping) -> None:
    """Names, kinds and sizes, before a byte is unpacked."""
    members = file.infolist()
    if len(members) > MEMBERS:
        raise Refused(f"{len(members)} members; expected {MEMBERS} at most")
    names = [member.filename for member in members]
    double, count = Counter(map(str.casefold, names)).most_common(1)[0]
    if count > 1:
        raise Refused(f"member '{double}' occurs twice, capitals aside; expected each name once")
    expected = {*found["files"], CRATE, MANIFEST}
    for what, odd in (("in no manifest", set(names) - expected), ("missing", expected - set(names))):
        if odd:
            raise Refused(f"member {min(odd)!r} is {what}; expected the manifest and the members to agree")
    folders = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    if odd := folders & set(names):
        raise Refused(f"member {min(odd)!r} is a file and a folder")
    for member in members:
        _check_name(member.filename)
        kind = member.external_attr >> 28
        if kind not in (0, 8):  # a link, a device: POSIX file types in the upper bits
            raise Refused(f"member '{member.filename}' is no plain file")
        most = JSON_BYTES if member.filename.endswith((".json", ".yaml", ".txt")) else None
        _check_size(member.filename, member.file_size, most)
        stated = found["files"].get(member.filename, {}).get("bytes", member.file_size)
        if stated != member.file_size:
            raise Refused(f"member '{member.filename}' has {member.file_size} bytes; the manifest says {stated}")
    if (total := sum(member.file_size for member in members)) > BYTES:
        raise Refused(f"{total} bytes in all when unpacked; expected {BYTES} at most")


def _check_name(name: str) -> None:
    parts = name.split("/")
    good = all(NAME.fullmatch(part) and not part.endswith(".") for part in parts)
    if not good or len(name) > 240 or PurePosixPath(name).suffix not in SUFFIXES:
        legal = ", ".join(sorted(SUFFIXES))
        raise Refused(f"member {name[:80]!r}: expected a relative path of plain names, ending in one of {legal}")


def _check_size(name: str, size: int, most: int | None = None) -> None:
    most = MEMBER_BYTES if most is None else most
    if size > most:
        raise Refused(f"member '{name}' has {size} bytes when unpacked; expected {most} at most")


def _unpack(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, stated: Mapping | None) -> None:
    """One member, counted while it is unpacked: what a zip says of itself may be a lie."""
    digest, size = hashlib.sha256(), 0
    with file.open(member) as source, open(target, "xb") as out:
        while block := source.read(2**20):
            size += len(block)
            if size > member.file_size:
                raise Refused(f"member '{member.filename}' goes on after {member.file_size} bytes")
            digest.update(block)
            out.write(block)
    if stated is not None and digest.hexdigest() != stated["sha256"]:
        raise Refused(
            f"member '{member.filename}' has sha256 {digest.hexdigest()}; the manifest says {stated['sha256']}"
        )


def check_arrays(path: Path, name: str) -> int:
    """Refuse an npz with pickles, or whose headers promise other sizes than its members have; its bytes unpacked."""
    import numpy as np

    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
            if (total := sum(member.file_size for member in members)) > MEMBER_BYTES:
                raise Refused(f"member '{name}' holds more than {MEMBER_BYTES} bytes of arrays")
            for member in members:
                with file.open(member) as source:
                    reader = readers.get(np.lib.format.read_magic(source))
                    if reader is None or not member.filename.endswith(".npy"):
                        raise Refused(f"member '{name}' holds '{member.filename}', which is no array of version 1 or 2")
                    shape, _, dtype = reader(source)
                    if dtype.hasobject:
                        raise Refused(f"member '{name}' holds a pickle, '{member.filename}'; expected numbers or text")
                    if math.prod(shape) * dtype.itemsize != member.file_size - source.tell():
                        raise Refused(f"member '{name}': header and size of '{member.filename}' disagree")
    except Refused:
        raise
    except (*BROKEN, ValueError, RuntimeError) as error:
        raise Refused(f"member '{name}' is no whole npz file: {error}") from error
    return total

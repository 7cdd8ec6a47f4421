"""CIFAR-10 in its binary version: no pickles."""

import io
import tarfile
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

ARCHIVE = "cifar-10-binary.tar.gz"
BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
SHAPE = (3, 32, 32)


def read(files: Mapping[str, bytes]) -> tuple[ndarray, ndarray]:
    """Images and classes of CIFAR-10's binary archive, the test batch last.

    Each record is a byte of class and 3 x 32 x 32 bytes of red, green and blue. The archive is read in memory; nothing
    of it is written anywhere.

    Reference:
        Learning Multiple Layers of Features from Tiny Images (Krizhevsky, 2009).

    Arguments:
        files: content of `cifar-10-binary.tar.gz`.

    Returns:
        Images, uint8 `[N, 3, 32, 32]`, and classes, int64 `[N]`.

    Raises:
        ValueError: if the archive, a batch in it, or a part of a batch is missing.
    """
    if ARCHIVE not in files:
        raise ValueError(f"no file {ARCHIVE}; found {', '.join(sorted(files)) or 'none'}")
    width, batches = 1 + 3 * 32 * 32, {}
    try:
        with tarfile.open(fileobj=io.BytesIO(files[ARCHIVE]), mode="r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name in BATCHES:
                    batches[name] = archive.extractfile(member).read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{ARCHIVE} is no readable archive: {error}") from error
    for name in BATCHES:
        if not batches.get(name) or len(batches[name]) % width:
            found = f"{len(batches[name])} bytes in {name}" if name in batches else f"no {name}"
            raise ValueError(f"{ARCHIVE} holds {found}; expected records of {width} bytes in {', '.join(BATCHES)}")
    records = np.frombuffer(b"".join(batches[name] for name in BATCHES), np.uint8).reshape(-1, width)
    return records[:, 1:].reshape(-1, *SHAPE), records[:, 0].astype(np.int64)

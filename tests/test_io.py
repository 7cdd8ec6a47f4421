"""Nothing half-written is ever read; the same content gives the same bytes."""

import errno
import os
import resource
import zipfile

import numpy as np
import pytest

from gm import io

NOISE = np.random.default_rng(0).integers(256, size=2**18, dtype=np.uint8)
WRITERS = {
    "a.txt": lambda path: io.write_text(path, "x" * 2**18),
    "a.json": lambda path: io.write_json(path, {"x": "x" * 2**18}),
    "a.npz": lambda path: io.write_arrays(path, {"a": NOISE}),
    "a.csv": lambda path: io.write_rows(path, ["x"], [{"x": "x" * 1000}] * 300),
    "a.bin": lambda path: io.save_with(lambda temporary: temporary.write_bytes(NOISE.tobytes()), path),
}


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    with pytest.raises(RuntimeError), io.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_arrays_have_stable_bytes_and_no_pickles(tmp_path):
    arrays = {"b": np.arange(3), "a": np.array("text")}
    for name in ("one.npz", "two.npz"):
        io.write_arrays(tmp_path / name, arrays)
    assert io.sha256(tmp_path / "one.npz") == io.sha256(tmp_path / "two.npz")
    assert io.read_arrays(tmp_path / "one.npz")["b"].tolist() == [0, 1, 2]
    with zipfile.ZipFile(tmp_path / "one.npz") as file:  # no header for large members, which Pythons write differently
        assert {member.extract_version for member in file.infolist()} == {20}
    with pytest.raises(ValueError, match="objects"):
        io.write_arrays(tmp_path / "bad.npz", {"x": np.array([object()])})
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        io.read_arrays(tmp_path / "pickle.npz")


def test_rows_keep_every_digit(tmp_path):
    io.write_rows(tmp_path / "t.csv", ["a", "b"], [{"a": 0.1 + 0.2}, {"b": None}])
    assert io.read_rows(tmp_path / "t.csv") == [{"a": "0.30000000000000004", "b": ""}, {"a": "", "b": ""}]


def test_canonical_json_does_not_know_the_order_of_keys():
    assert io.canonical({"b": 1, "a": [1, None]}) == io.canonical({"a": [1, None], "b": 1}) == '{"a":[1,null],"b":1}'


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("before", [False, True], ids=["new", "old"])
def test_a_write_that_ends_in_the_middle_names_the_file_and_leaves_nothing_of_itself(tmp_path, name, before):
    """In a child whose files may not grow beyond 64 KiB, as on a disk that fills up."""
    path = tmp_path / name
    if before:
        path.write_bytes(b"old")
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))
        try:
            WRITERS[name](path)
        except OSError as error:
            os._exit(error.errno if error.filename == str(path) else 98)
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == errno.EFBIG
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == ([(name, b"old")] if before else [])
    WRITERS[name](path)
    assert [p.name for p in tmp_path.iterdir()] == [name] and path.stat().st_size > 2**16 - 1


def test_an_error_that_has_a_name_of_its_own_keeps_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), io.atomic(tmp_path / "a"):
        open(tmp_path / "elsewhere")  # noqa: SIM115


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    kept = ["a.txt", ".a.txt.progress", ".b.txt.17", ".a.txt"]
    for name in [*kept, ".a.txt.17", ".a.txt.4242"]:
        (tmp_path / name).write_text("")
    io.remove_unfinished(tmp_path / "a.txt")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)

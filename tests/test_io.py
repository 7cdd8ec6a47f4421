"""Nothing half-written is ever read; the same content gives the same bytes."""

import numpy as np
import pytest

from gm import io


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

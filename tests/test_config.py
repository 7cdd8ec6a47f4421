"""Every mistake is named with its file, its key, what was found and what is legal."""

import os

import pytest

from gm import config, source
from gm.config import ConfigError


def read(tmp_path, text):
    path = tmp_path / "some.yaml"
    path.write_text(text)
    return config.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 1e-3", "write 1.0e-3"),
        ("lr: 5E4", "write 5.0e\\+4"),
        ("a: 1\na: 2", "some.yaml:2: a\n.*key 'a' stands twice"),
        ("1: 2", "key '1' is not a text"),
        ("[1, 2]", "a mapping of keys"),
        ("a: [1", "some.yaml:"),
        ("", "nothing(.|\n)*a mapping of keys"),
        ("a: !!python/object:os.system {}", r"some.yaml:1: a\n.*'python/object:os.system'"),
        ("b: 1\na: 2024-01-31", r"some.yaml:2: a\n.*'2024-01-31'.*'timestamp'"),
        ("a: {b: [1, .nan]}", r"some.yaml:1: a\.b\.1\n.*nan(.|\n)*finite"),
        ("a: 9223372036854775808", "at most 9223372036854775807"),
        ("a: &x 1\nb: *x", r"some.yaml:2\n.*an alias, \*x"),
        ("<<: {a: 1}", "nothing is merged"),
        ("a: " + "[" * 5000, "deeper than 16 levels"),
        ("a: 1\nb: \0", r"some.yaml:2\n.*x00"),
        ('a: "\\UFFFFFFFF"', "some.yaml:1"),
        ("a: 1\n---\nb: 2", "some.yaml:2"),
        ("a: !!int b", r"some.yaml:1: a\n"),
        ("? [a]\n: 1", "is not a text"),
        ("# " + "x" * 2**18, "at most 256 KiB"),
    ],
)
def test_bad_yaml_is_refused_with_its_file(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert "some.yaml" in str(caught.value)


def test_numbers_and_texts_that_are_fine(tmp_path):
    assert read(tmp_path, "a: 1.0e-3\nb: '1e-3'\nc: v1e3") == {"a": 1e-3, "b": "1e-3", "c": "v1e3"}


def test_what_is_no_text_file_is_told(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: 1\nb: \xff")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    told = {"folder": "a folder", "pipe": "no regular file", "bytes": "bytes.yaml:2\n.*0xff", "loop": "symbolic links"}
    told |= {"n" * 300: "File name too long", "bytes.yaml/a": "Not a directory", "nu\0l": "null"}
    for name, message in told.items():
        with pytest.raises(ConfigError, match=message):
            config.read(tmp_path / f"{name}.yaml")


def test_a_message_is_one_that_a_terminal_can_show():
    error = ConfigError("a\x1b[2J.yaml", "b\u202ec", "x" * 10_000, "y\nz")
    assert all(line.isprintable() for line in str(error).split("\n")) and len(str(error)) < 1000
    assert "b\\u202ec" in str(error) and len(str(error).split("\n")) == 3


def test_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        config.read(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("value", "annotation", "fine"),
    [
        (1, "int", True),
        (True, "int", False),
        (1, "float", True),
        ("1", "float", False),
        (None, "int | None", True),
        ([1, 2], "list[int]", True),
        ([1, "a"], "list[int]", False),
        ([1, 2], "tuple[int, ...]", True),
        ([1, 2], "tuple[int, int, int]", False),
        ("a", "Literal['a', 'b']", True),
        ("c", "Literal['a', 'b']", False),
        ({"a": 1}, "dict[str, int]", True),
        ({"a": "b"}, "dict[str, int]", False),
        (1.5, "int", False),
        (object(), "torch.Tensor", True),
    ],
)
def test_types(value, annotation, fine):
    assert config.fits(value, annotation) is fine


def test_calls_are_checked_against_signatures():
    parameters = {"epochs": source.Parameter("int", "3"), "rate": source.Parameter("float", None)}
    config.check_call("f.yaml", "fit", {"rate": 1}, parameters)
    with pytest.raises(ConfigError, match=r"fit\.epoch\b(.|\n)*did you mean 'epochs'(.|\n)*legal:.*epochs, rate"):
        config.check_call("f.yaml", "fit", {"epoch": 2, "rate": 1}, parameters)
    with pytest.raises(ConfigError, match="no key 'rate'"):
        config.check_call("f.yaml", "fit", {}, parameters)
    with pytest.raises(ConfigError, match=r"fit\.rate(.|\n)*'x' \(str\)(.|\n)*float"):
        config.check_call("f.yaml", "fit", {"rate": "x"}, parameters)

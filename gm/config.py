"""Reading YAML that people write: every mistake is named with its file, its key, what was found and what is legal."""

import ast
import difflib
import math
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import yaml

from gm import source

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
SCALARS = ("str", "int", "float", "bool", "null")
DEPTH, BYTES = 16, 2**18  # nesting and size beyond which a file was not written by a person
LARGEST = 2**63 - 1


class ConfigError(Exception):
    """A mistake in a configuration file, told so that it can be mended without reading code."""

    def __init__(self, file: object, key: str, found: str, expected: str, choices: Iterable[str] = ()) -> None:
        choices = list(choices)
        place = f"{visible(str(file))}: {visible(key, 200)}" if key else visible(str(file))
        lines = [place, f"  found:    {visible(found, 500)}", f"  expected: {visible(expected, 500)}"]
        if choices:
            lines.append(f"  legal:    {visible(', '.join(choices), 5000)}")
        super().__init__("\n".join(lines))


def visible(text: str, most: int | None = None) -> str:
    r"""A text in one line, shortened, with escapes for what a terminal would obey or not show.

    Example:
        >>> visible("a\u202eb\nc")
        'a\\u202eb\\nc'
    """
    text = text if most is None or len(text) <= most else f"{text[: most - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no choice is near."""
    near = difflib.get_close_matches(word[:100], list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


class _Loader(yaml.SafeLoader):
    """Safe YAML, of bounded depth and without aliases: what is read is never larger than what was written."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        event = self.peek_event()
        self.depth += 1
        if isinstance(event, yaml.AliasEvent):
            self._refuse(f"an alias, *{event.anchor}; write the value out, nothing is shared or merged", event)
        if self.depth > DEPTH:
            self._refuse(f"a value nested deeper than {DEPTH} levels", event)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    @staticmethod
    def _refuse(problem: str, event: yaml.Event) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def read(path: Path) -> dict:
    """Read a YAML file whose top is a mapping, of texts, numbers, booleans, nulls, lists and mappings alone.

    Raises:
        ConfigError: with the file and the line, and the key if there is one.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"the character {chr(error.character)!r}"
        raise ConfigError(f"{path}:{line}", "", found, "valid YAML, which has no such character") from None
    except yaml.MarkedYAMLError as error:
        where = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else path
        found = ": ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(where, "", found, "valid YAML") from None
    except (ValueError, OverflowError) as error:  # of an escape that is no character, or a version that is no number
        raise ConfigError(f"{path}:{loader.line + 1}", "", str(error), "valid YAML") from None
    if not isinstance(node, yaml.MappingNode):
        found = "nothing" if node is None else f"a {node.id}"
        raise ConfigError(path, "", found, "a mapping of keys to values")
    return _value(path, "", node)


def _text(path: Path) -> str:
    """The text of a file; no folder, no pipe that never ends, nothing larger than a person would write."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(path, "", "a folder" if path.is_dir() else "no regular file", "a YAML file")
        with open(path, "rb") as file:
            content = file.read(BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(path, "", "no such file", "a YAML file") from None
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise ConfigError(path, "", found, "a YAML file that can be read") from None
    if len(content) > BYTES:
        raise ConfigError(path, "", f"more than {BYTES // 1024} KiB", f"a YAML file of at most {BYTES // 1024} KiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}", "", f"the byte {content[error.start]:#x}", "a text in UTF-8") from None


def _value(path: Path, key: str, node: yaml.Node) -> object:
    """What a node says; every mistake with its line and its key."""
    at, kind = f"{path}:{node.start_mark.line + 1}", node.tag.removeprefix("tag:yaml.org,2002:")
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_value(path, f"{key}.{index}", item) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(path, key, node)
    if not isinstance(node, yaml.ScalarNode) or kind not in SCALARS:
        expected = f"a list, a mapping, or one of {', '.join(SCALARS)}; quotes make a text of anything"
        raise ConfigError(at, key, f"{_quoted(node)}, which YAML reads as a value of type '{kind}'", expected)
    if kind == "str" and node.style is None and _NUMBER.fullmatch(node.value):
        mantissa, exponent = re.split("[eE]", node.value)
        point = mantissa if "." in mantissa else f"{mantissa}.0"
        sign = exponent if exponent[0] in "+-" else f"+{exponent}"
        expected = f"a number; write {point}e{sign}"
        raise ConfigError(at, key, f"'{node.value}', which is a text in YAML, not a number", expected)
    try:
        value = yaml.SafeLoader("").construct_object(node)
    except (KeyError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(at, key, f"{_quoted(node)}: {error}", f"a value of type '{kind}'") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(at, key, describe(value), "a finite number")
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ConfigError(at, key, _quoted(node), f"a whole number of at most {LARGEST}")
    return value


def _mapping(path: Path, key: str, node: yaml.MappingNode) -> dict:
    """A mapping, each of whose keys is a text and stands once."""
    found = {}
    for name, value in node.value:
        written = name.value if isinstance(name, yaml.ScalarNode) else _quoted(name)
        at, where = f"{path}:{name.start_mark.line + 1}", f"{key}.{written}" if key else written
        if name.tag != "tag:yaml.org,2002:str" or not isinstance(name, yaml.ScalarNode):
            raise ConfigError(at, where, f"key {_quoted(name)} is not a text", "keys that are texts; nothing is merged")
        if name.value in found:
            raise ConfigError(at, where, f"key '{name.value}' stands twice", "each key once")
        found[name.value] = _value(path, where, value)
    return found


def _quoted(node: yaml.Node) -> str:
    """A scalar as it was written, or what kind of node it is."""
    return f"'{visible(node.value, 80)}'" if isinstance(node, yaml.ScalarNode) else f"a {node.id}"


def describe(value: object) -> str:
    """A value and its type, shortened, for a message."""
    text = repr(value)
    return f"{text if len(text) < 80 else text[:77] + '...'} ({type(value).__name__})"


def check_keys(file: object, where: str, found: dict, legal: Iterable[str], required: Iterable[str] = ()) -> None:
    """Refuse unknown and missing keys."""
    legal = list(legal)
    for key in found:
        if key not in legal:
            prefix = f"{where}." if where else ""
            hint = suggestion(key, legal)
            raise ConfigError(file, f"{prefix}{key}", f"unknown key '{key}'", f"a known key{hint}", legal or ["(none)"])
    for key in required:
        if key not in found:
            raise ConfigError(file, where, f"no key '{key}'", f"the key '{key}'", legal)


def fits(value: object, annotation: str) -> bool:
    """Whether a YAML value is of the annotated type; an annotation beyond YAML's types accepts anything."""
    return _fits(value, ast.parse(annotation, mode="eval").body)


def _fits(value: object, node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp):
        return _fits(value, node.left) or _fits(value, node.right)
    if isinstance(node, ast.Constant) and node.value is None:
        return value is None
    if isinstance(node, ast.Subscript):
        head, inner = ast.unparse(node.value), node.slice
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if head.endswith("Literal"):
            return any(
                value == ast.literal_eval(item) and type(value) is type(ast.literal_eval(item)) for item in items
            )
        if head in ("list", "Sequence"):
            return isinstance(value, list) and all(_fits(item, items[0]) for item in value)
        if head == "tuple":
            if not isinstance(value, list):
                return False
            if len(items) == 2 and ast.unparse(items[1]) == "...":
                return all(_fits(item, items[0]) for item in value)
            return len(value) == len(items) and all(map(_fits, value, items))
        if head in ("dict", "Mapping"):
            return isinstance(value, dict) and all(_fits(item, items[1]) for item in value.values())
        return True
    scalar = {"int": int, "float": (int, float), "str": str, "bool": bool, "dict": dict, "list": list}
    kind = scalar.get(ast.unparse(node))
    if kind is None:
        return True
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def check_call(file: object, where: str, found: object, parameters: dict[str, source.Parameter]) -> None:
    """Check a section of YAML against the keyword-only parameters of the function it is passed to."""
    if not isinstance(found, dict):
        raise ConfigError(file, where, describe(found), "a mapping of parameters", parameters)
    given = {name: p for name, p in parameters.items() if name not in ("generator", "log")}
    required = [name for name, p in given.items() if p.default is None]
    check_keys(file, where, found, given, required)
    for key, value in found.items():
        annotation, at = given[key].annotation, f"{where}.{key}".lstrip(".")
        if annotation and not fits(value, annotation):
            raise ConfigError(file, at, describe(value), f"a value of type {annotation}")

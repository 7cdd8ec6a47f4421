"""Reading YAML that people write: every mistake is named with its file, its key, what was found and what is legal."""

import ast
import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from gm import source

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


class ConfigError(Exception):
    """A mistake in a configuration file, told so that it can be mended without reading code."""

    def __init__(self, file: object, key: str, found: str, expected: str, choices: Iterable[str] = ()) -> None:
        choices = list(choices)
        lines = [f"{file}: {key}" if key else f"{file}", f"  found:    {found}", f"  expected: {expected}"]
        if choices:
            lines.append(f"  legal:    {', '.join(choices)}")
        super().__init__("\n".join(lines))


def suggestion(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no choice is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses duplicate keys and texts that look like numbers."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for index, key in enumerate(keys):
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a text", node.start_mark)
        if key in keys[:index]:
            raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", node.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    if node.style is None and _NUMBER.fullmatch(node.value):
        mantissa, exponent = re.split("[eE]", node.value)
        point = mantissa if "." in mantissa else f"{mantissa}.0"
        sign = exponent if exponent[0] in "+-" else f"+{exponent}"
        message = f"'{node.value}' is a text in YAML, not a number; write {point}e{sign}"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
    return node.value


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)


def read(path: Path) -> dict:
    """Read a YAML file whose top is a mapping."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise ConfigError(path, "", "no such file", "a YAML file") from None
    except IsADirectoryError:
        raise ConfigError(path, "", "a folder", "a YAML file") from None
    except (UnicodeDecodeError, PermissionError) as error:
        raise ConfigError(path, "", str(error), "a readable YAML file in UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        raise ConfigError(where, "", getattr(error, "problem", None) or str(error), "valid YAML") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(path, "", f"{type(error).__name__}: {error}", "valid YAML") from None
    if not isinstance(content, dict):
        raise ConfigError(path, "", describe(content), "a mapping of keys to values")
    return content


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
        if isinstance(value, float) and not abs(value) < float("inf"):
            raise ConfigError(file, at, describe(value), "a finite number")

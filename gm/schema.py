"""The schema of a grid file, `workflow/schemas/grid.schema.yaml`, and what is told where a grid departs from it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml

from gm import io
from gm.config import ConfigError, check_keys, describe, suggestion
from gm.source import REPOSITORY


@cache
def read() -> dict:
    """The schema: the keys of a grid file, their types and legal values."""
    return yaml.safe_load((REPOSITORY / "workflow/schemas/grid.schema.yaml").read_text(encoding="utf-8"))


def check(path: Path, grid: dict) -> None:
    """Refuse a grid that is not as the schema says.

    Raises:
        ConfigError: with the first key that is wrong.
    """
    import jsonschema

    known = read()
    check_keys(path, "", grid, known["properties"], known["required"])
    inner = known["properties"]["inception"]
    if isinstance(found := grid.get("inception"), dict):
        check_keys(path, "inception", found, inner["properties"], inner["required"])

    def unique(_: object, wanted: bool, found: object, __: dict) -> Iterator[jsonschema.ValidationError]:
        if wanted and isinstance(found, list) and len(set(map(io.canonical, found))) < len(found):
            yield jsonschema.ValidationError("not unique")

    # jsonschema takes 1.0 for an integer, and a run is a folder of its seed's name; of a long list of items of several
    # types it compares each with each
    draft = jsonschema.Draft202012Validator
    types = draft.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    extended = jsonschema.validators.extend(draft, {"uniqueItems": unique}, type_checker=types)
    for error in sorted(extended(known).iter_errors(grid), key=lambda e: list(e.path)):
        key = ".".join(str(step) for step in error.path)
        legal = error.validator_value if error.validator == "enum" else ()
        hint = suggestion(str(error.instance), legal) if legal else ""
        kinds = {
            "array": "a list, such as [a, b]",
            "integer": "a whole number",
            "string": "a text",
            "object": "a mapping",
        }
        wanted = {"enum": "one of the legal choices", "type": kinds.get(str(error.validator_value), "another type")}
        wanted |= {
            "uniqueItems": "each item once",
            "minItems": "at least one item",
            "minimum": f"{error.validator_value} or more",
        }
        expected = wanted.get(error.validator, f"{error.validator} {error.validator_value}")
        raise ConfigError(path, key, describe(error.instance), expected + hint, legal)
    if grid["benchmark"] != path.stem:
        expected = f"'{path.stem}', as the file is named (results go to results/<benchmark>)"
        raise ConfigError(path, "benchmark", describe(grid["benchmark"]), expected)

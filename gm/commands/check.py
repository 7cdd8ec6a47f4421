"""gm check: run the model contract on any importable class."""

import argparse
import re
from pathlib import Path

from gm import catalogue, config, source
from gm.config import ConfigError


def _spec(subject: str) -> dict:
    """The specification of `model.yaml`, `package.module.Class` or `path/to/file.py:Class`."""
    if subject.endswith((".yaml", ".yml")):
        spec = catalogue.contestant(Path(subject)).spec
        if "external" in spec:
            raise ConfigError(subject, "external", "samples made elsewhere", "a contestant with a class to run")
        return spec
    if "." not in subject:
        expected = "gm.models.vae.VAE, path/to/file.py:Class or path/to/model.yaml"
        raise ConfigError("gm check", "", config.describe(subject), expected)
    try:
        source.lineage(subject)
    except (LookupError, SyntaxError) as error:
        raise ConfigError("gm check", "", config.describe(subject), str(error)) from None
    try:
        source.resolve(subject)
    except Exception as error:
        raise ConfigError("gm check", "", f"{type(error).__name__}: {error}", f"'{subject}' to import") from error
    return {"class": subject}


def _shape(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        raise ConfigError("--event", "", config.describe(text), "channels x height x width, such as 1x2x2")
    return tuple(int(size) for size in text.split("x"))


def _levels(given: int | None, serves: tuple[str, ...]) -> int | None:
    """Levels of the event: as given (0 for real values), or the least that tell most about the class."""
    least = {"levels": 3, "binary": 2, "real": 0}
    chosen = next((least[kind] for kind in least if kind in serves), 3) if given is None else given
    if chosen < 0 or chosen == 1:
        raise ConfigError("--levels", "", str(chosen), "0 for real values, or 2 and more")
    kind = "real" if chosen == 0 else "binary" if chosen == 2 else "levels"
    if serves and kind not in serves:
        raise ConfigError("--levels", "", f"{chosen}, that is {kind} images", "a kind that the class serves", serves)
    return chosen or None


def _serves(reference: str) -> tuple[str, ...]:
    try:
        found = source.attribute(reference, "serves")
    except ValueError:
        return ()  # not a literal: the contract's first check says so
    return found if isinstance(found, tuple) else ()


def main(arguments: list[str]) -> int:
    """Print a line a check, with what was found and expected; exit 1 if one failed."""
    parser = argparse.ArgumentParser("gm check", description=__doc__.splitlines()[0])
    parser.add_argument("subject", metavar="CLASS|model.yaml", help="gm.models.vae.VAE, path/to/file.py:Class, a file")
    parser.add_argument("--event", default="1x2x2", help="channels x height x width (default 1x2x2)")
    parser.add_argument("--levels", type=int, help="levels of a pixel, 0 for real values (default: 3 if served)")
    parser.add_argument("--seed", type=int, default=0, help="root of every random stream")
    options = parser.parse_args(arguments)
    spec, shape = _spec(options.subject), _shape(options.event)
    levels = _levels(options.levels, _serves(spec["class"]))

    from gm.contract import CHECKS, Event, examine

    size = f"{options.event} images" + (f" of {levels} levels" if levels else " of real values")
    print(f"{options.subject} on {size}, seed {options.seed}")
    width, failed = max(map(len, CHECKS)), 0
    for check, status, text in examine(spec, Event(shape, levels), seed=options.seed):
        failed += status == "FAILED"
        print(f"  {status:<8} {check:<{width}}  {text}", flush=True)
    print(f"{failed} of {len(CHECKS)} checks failed" if failed else "the contract holds")
    return 1 if failed else 0

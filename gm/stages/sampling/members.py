"""The members of a target's family: each is a target of its own, and fails on its own.

Arrays of a target alone go by their name; those of a family's member by `name/member`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from gm.densities.targets.target import Target
from gm.model import Diverged
from gm.source import resolve
from gm.stages.contestant import contestant
from gm.stages.job import Failed

K, T = TypeVar("K"), TypeVar("T")
Arrays = dict[str, np.ndarray]


def targets(spec: dict) -> dict[str, Target]:
    """The targets of a spec by member, `""` for a target alone."""
    return {member: resolve(spec["target"])(**given) for member, given in spec["members"].items()}


def key(name: str, member: str) -> str:
    """The name of a member's array, or of its row in the table."""
    return f"{name}/{member}" if member else name


def flat(found: dict[str, Arrays]) -> Arrays:
    """The arrays of all members, as they are stored."""
    return {key(name, member): array for member, arrays in found.items() for name, array in arrays.items()}


def each(places: Iterable[K], work: Callable[[K], T]) -> tuple[dict[K, T], dict[K, list[str]]]:
    """Do a contestant's work at each place, such as a member; where it fails at all of them, the run has failed.

    Returns:
        What the work gave, and `[status, reason]` where it failed, both by place.
    """
    found, failed = {}, {}
    for place in places:
        try:
            with contestant(), finite():
                found[place] = work(place)
        except Failed as failure:
            failed[place] = [failure.status, str(failure)]
    if failed and not found:
        raise Failed(*next(iter(failed.values())))
    return found, failed


@contextmanager
def finite() -> Iterator[None]:
    """The engine's word for numbers that are not finite, in the contract's."""
    try:
        yield
    except FloatingPointError as error:
        raise Diverged(str(error)) from error

"""Named defects: what each changes in the code, and which tests must notice."""

from typing import NamedTuple


class Defect(NamedTuple):
    """One defect.

    Attributes:
        name: what is wrong, in a few words.
        file: the file it is put into, relative to the repository.
        old: text that occurs there exactly once.
        new: what replaces it.
        tests: tests to run, files or node names; at least one must fail.
        origin: where a defect of this kind was found; empty if it is the authors' own idea.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    origin: str = ""


DEFECTS: list[Defect] = []

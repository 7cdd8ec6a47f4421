"""Mutated configuration files: each knows which file and key were mutated, and whether it can still be valid."""

import copy
import json
import random
from collections.abc import Callable
from typing import NamedTuple

from robustness import valid
from robustness.valid import BASES

ERROR, VALID, EITHER = "error", "valid", "either"
Tree = dict | list | str | int | float | bool | None


class Raw(str):
    """YAML as it stands."""


class Mutant(NamedTuple):
    """One set of configuration files.

    Attributes:
        files: content by name; `grid.yaml` is the grid.
        file: which of them was mutated.
        key: the name that an error must tell, or empty if the mistake belongs to no key.
        must: `error` if it is known to be wrong, `valid` if it is known to be right.
        lined: an error must tell the line.
        kind: of the mutation.
    """

    files: dict[str, bytes]
    file: str
    key: str = ""
    must: str = ERROR
    lined: bool = False
    kind: str = ""


def quote(text: str) -> str:
    """A double-quoted scalar; what cannot be encoded, or would end the line, is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 or c == "\u2028" else c for c in quoted)


def dump(value: Tree, level: int = 0) -> str:
    """YAML, two levels of mappings in blocks, the rest in flow style; a key may be `Raw` too."""
    if isinstance(value, str):
        return str(value) if isinstance(value, Raw) else quote(value)
    if isinstance(value, dict):
        items = [
            f"{key if isinstance(key, Raw) else quote(key)}: {dump(item, level + 1)}" for key, item in value.items()
        ]
        if level < 2 and items:
            return ("\n" if level else "") + "\n".join("  " * level + item for item in items)
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(dump(item, 9) for item in value)}]"
    return json.dumps(value)


def at(tree: Tree, steps: tuple) -> Tree:
    """The value at a path."""
    for step in steps:
        tree = tree[step]
    return tree


def paths(tree: Tree, steps: tuple = ()) -> list[tuple]:
    """Paths of all values inside, those in lists included."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for step, item in items for place in ((*steps, step), *paths(item, (*steps, step)))]


def name(steps: tuple) -> str:
    """The last key of a path; an item of a list goes by the list's key."""
    return next(step for step in reversed(steps) if isinstance(step, str))


class Mutator:
    """Draws mutants: the same seed, the same mutants."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.kinds: tuple[Callable[[], Mutant], ...] = (
            *(self.unknown, self.missing, self.doubled, self.misspelt, self.moved, self.odd_key, self.odd_value),
            *(self.wrong_type, self.unfit, self.negative, self.repeated, self.nested, self.emptied, self.tagged),
            *(self.broken, self.aliased, self.undecodable, self.flipped, self.large, self.harmless, self.named),
        )

    def draw(self, number: int) -> Mutant:
        """A mutant; the kinds take turns."""
        kind = self.kinds[number % len(self.kinds)]
        return kind()._replace(kind=kind.__name__)

    def base(self) -> tuple[dict, str]:
        """A valid set of files, and one of them."""
        base = copy.deepcopy(self.rng.choice(BASES))
        return base, self.rng.choice(list(base))

    def of(self, table: tuple) -> tuple[dict, str, tuple]:
        """A line of a table: the set of files, the file, a path in it."""
        which, file, places = self.rng.choice(table)
        return copy.deepcopy(BASES[which]), file, self.rng.choice(places)

    def closed(self) -> tuple[dict, str, tuple]:
        """A mapping all of whose keys are known beforehand."""
        base, file = self.base()
        places = [p for p in ((), *paths(base[file])) if isinstance(at(base[file], p), dict)]
        return base, file, self.rng.choice([p for p in places if (file, *p[:1]) not in valid.OPEN])

    def place(self) -> tuple[dict, str, tuple]:
        """Any value."""
        base, file = self.base()
        return base, file, self.rng.choice(paths(base[file]))

    def made(self, base: dict, file: str, key: str = "", must: str = ERROR, **more: bool) -> Mutant:
        """A mutant of trees, or of contents that are written already."""
        files = {n: c if isinstance(c, bytes) else (dump(c) + "\n").encode() for n, c in base.items()}
        return Mutant(files | valid.BESIDE, file, key, must, **more)

    def put(self, base: dict, file: str, steps: tuple, value: Tree, must: str = ERROR) -> Mutant:
        """A value in another's place."""
        at(base[file], steps[:-1])[steps[-1]] = value
        return self.made(base, file, name(steps), must)

    def renamed(self, base: dict, file: str, steps: tuple, key: str, new: str) -> Mutant:
        """Another name for a key, in its place."""
        tree = at(base[file], steps)
        items = [(new if k == key else k, value) for k, value in tree.items()]
        tree.clear()
        tree.update(items)
        return self.made(base, file, new)

    # keys

    def unknown(self) -> Mutant:
        base, file, steps = self.closed()
        key = self.rng.choice(
            ("zzz", "__class__", "self", "event", "a b", "x" * 300, "__use_yte__", "0", "ä", "k.k", "-")
        )
        at(base[file], steps)[key] = self.rng.choice((1, "?1/0", None, [], {}))
        return self.made(base, file, key)

    def missing(self) -> Mutant:
        base, file, steps = self.of(valid.REQUIRED)
        del at(base[file], steps[:-1])[steps[-1]]
        return self.made(base, file, name(steps))

    def doubled(self) -> Mutant:
        base, file = self.base()
        steps = self.rng.choice([p for p in paths(base[file]) if isinstance(p[-1], str)])
        tree = at(base[file], steps[:-1])
        again = self.rng.choice((f"{steps[-1]} ", f'"{steps[-1]}"', f"'{steps[-1]}'", f"!!str {steps[-1]}"))
        tree[Raw(again)] = self.rng.choice((tree[steps[-1]], 1, None))
        return self.made(base, file, steps[-1])

    def misspelt(self) -> Mutant:
        while True:
            base, file, steps = self.closed()
            key = self.rng.choice(list(at(base[file], steps)) or [""])
            cut = self.rng.randrange(len(key) or 1)
            ways = (
                key[:cut] + key[cut + 1 :],
                key[: cut + 1] + key[cut:],
                f"{key[:cut]}q{key[cut + 1 :]}",
                key.upper(),
            )
            new = self.rng.choice(ways)
            if key and len(new) > 1 and new != key and new not in valid.KNOWN:
                return self.renamed(base, file, steps, key, new)

    def moved(self) -> Mutant:
        while True:
            base, file, steps = self.closed()
            other = self.rng.choice(BASES)
            source = other[self.rng.choice(list(other))]
            taken = self.rng.choice([p for p in paths(source) if isinstance(p[-1], str)])
            legal = valid.legal(file, steps)
            if taken[-1] not in (*legal, *valid.SWITCHES, *at(base[file], steps)):
                at(base[file], steps)[taken[-1]] = copy.deepcopy(at(source, taken))
                return self.made(base, file, taken[-1])

    def odd_key(self) -> Mutant:
        while True:
            base, file, steps = self.closed()
            if tree := at(base[file], steps):
                key, odd = self.rng.choice(list(tree)), self.rng.choice(valid.ODD)
                cut = self.rng.randrange(len(key) + 1)
                return self.renamed(base, file, steps, key, key[:cut] + odd + key[cut:])

    # values

    def odd_value(self) -> Mutant:
        base, file, steps = self.of(valid.NAMES)
        old, odd = at(base[file], steps), self.rng.choice(valid.ODD)
        cut = self.rng.randrange(len(old) + 1)
        return self.put(base, file, steps, old[:cut] + odd + old[cut:])

    def wrong_type(self) -> Mutant:
        while True:
            base, file, steps = self.place()
            value = self.rng.choice(valid.WRONG[type(at(base[file], steps))])
            value = Raw(value[1:]) if isinstance(value, str) and value.startswith("=") else value
            if not ((value is None or value == "~") and steps[-1] in valid.NULLABLE):
                return self.put(base, file, steps, value)

    def unfit(self) -> Mutant:
        base, file, steps = self.place()
        return self.put(base, file, steps, Raw(self.rng.choice(valid.UNFIT)))

    def negative(self) -> Mutant:
        if self.rng.random() < 0.3:  # what a negative number means there, the class alone knows
            base, file, steps = self.place()
            return self.put(base, file, steps, -self.rng.choice((1, 0.5, 10**9)), EITHER)
        base, file, steps = self.of(valid.COUNTS)
        return self.put(base, file, steps, -self.rng.choice((1, 2, 10**9)))

    def repeated(self) -> Mutant:
        base, file, steps = self.of(valid.UNIQUE)
        items = at(base[file], steps)
        item = self.rng.choice(items)
        if isinstance(item, str) and item.endswith(".yaml") and self.rng.random() < 0.5:
            item = f"./{item}"
        return self.put(base, file, steps, [*items, item])

    def nested(self) -> Mutant:
        base, file, steps = self.place()
        value, depth = at(base[file], steps), self.rng.choice((1, 2, 3, 40, 5000))
        text = "[" * depth + dump(value, 9) + "]" * depth
        if self.rng.random() < 0.3 and depth > 3:
            text = "{a: " * depth + "1" + "}" * depth
        at(base[file], steps[:-1])[steps[-1]] = Raw(text)
        return self.made(base, file, name(steps) if depth < 10 else "", lined=depth > 10)

    def emptied(self) -> Mutant:
        if self.rng.random() < 0.2:
            base, file = self.base()
            content = self.rng.choice(
                (b"", b"\n\n", b"# nothing\n", b"---\n", b"{}", b"[]", b"null", b"''", b"- 1", b"7")
            )
            return self.made(base | {file: content}, file)
        base, file, steps = self.of(valid.NONEMPTY)
        return self.put(base, file, steps, [] if isinstance(at(base[file], steps), list) else "")

    # syntax

    def tagged(self) -> Mutant:
        base, file, steps = self.place()
        return self.put(base, file, steps, Raw(self.rng.choice(valid.TAGS)))

    def broken(self) -> Mutant:
        base, file = self.base()
        text, lined = self.rng.choice([(t, True) for t in valid.BROKEN] + [(t, False) for t in valid.STRANGE])
        before = dump(base[file]) + "\n" if self.rng.random() < 0.5 and not text.startswith("%") else ""
        return self.made(base | {file: (before + text + "\n").encode()}, file, lined=lined)

    def aliased(self) -> Mutant:
        base, file = self.base()
        ways = [
            (
                "a0: &a0 [x, x, x, x, x, x, x, x, x]",
                "".join(
                    f"\na{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, self.rng.choice((3, 9, 30)))
                ),
            )
        ]
        ways += [
            ("a: &a {b: 1}", "\nc:\n  <<: *a"),
            ("a: &a [*a]", ""),
            ("a: &a 1", "\nb: *a"),
            ("a: &a b", "\n*a : 1"),
        ]
        first, rest = self.rng.choice(ways)
        before = dump(base[file]) + "\n" if self.rng.random() < 0.5 else ""
        return self.made(base | {file: f"{before}{first}{rest}\n".encode()}, file, lined=True)

    def undecodable(self) -> Mutant:
        base, file = self.base()
        content = dump(base[file]).encode()
        if self.rng.random() < 0.2:
            return self.made(base | {file: content.decode().encode("utf-16")}, file, lined=True)
        bad = self.rng.choice(
            (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0", b"\x01", b"\x1b[31m", b"\x7f", b"\xef\xbf\xbf")
        )
        cut = self.rng.randrange(len(content) + 1)
        return self.made(base | {file: content[:cut] + bad + b"\n" + content[cut:]}, file, lined=True)

    def flipped(self) -> Mutant:
        base, file = self.base()
        content = bytearray(dump(base[file]).encode())
        for _ in range(self.rng.choice((1, 1, 2, 5))):
            cut = self.rng.randrange(len(content))
            new = (
                bytes([self.rng.randrange(256)])
                if self.rng.random() < 0.5
                else self.rng.choice((b"", b":", b"\n", b"&", b"'"))
            )
            content[cut : cut + self.rng.choice((0, 1, 1, 8))] = new
        if self.rng.random() < 0.3:
            del content[self.rng.randrange(1, len(content) + 1) :]
        return self.made(base | {file: bytes(content)}, file, must=EITHER)

    # sizes, names, and what must be let through

    def large(self) -> Mutant:
        which, file, steps, value, must = self.rng.choice(valid.LARGE)
        base = copy.deepcopy(BASES[which])
        if not steps:
            return self.made(base | {file: dump(base[file]).encode() + value}, file, must=must)
        at(base[file], steps[:-1])[steps[-1]] = copy.deepcopy(value)
        return self.made(base, file, name(steps), must)

    def harmless(self) -> Mutant:
        base, file = self.base()
        text = dump(base[file])
        turned = dump(dict(reversed(base[file].items())))
        ways = (
            f"\ufeff{text}",
            text.replace("\n", "\r\n"),
            turned,
            f"---\n{text}\n...\n",
            f"# \u202e\u0301\n{text}\n\n\n",
        )
        ways += (
            text.replace(": [", ": &anchor [", 1),
            json.dumps(base[file]),
            text.replace(': "', ': !!str "'),
            text + " #",
        )
        return self.made(base | {file: self.rng.choice(ways).encode()}, file, must=VALID)

    def named(self) -> Mutant:
        which, file, steps, value = self.rng.choice(valid.MISNAMED)
        mutant = self.put(copy.deepcopy(BASES[which]), file, steps, value)
        if len(steps) == 2 and file == "grid.yaml" and value.endswith(".yaml") and "/" not in value:
            kind = {"datasets": "data.yaml", "models": "energy.yaml"}[steps[0]]
            return mutant._replace(files=mutant.files | {value: mutant.files[kind]})
        return mutant

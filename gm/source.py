"""Reading code without running it: what a class accepts, what a job imports, and which function changed.

The planner must know a model's hyper-parameters without paying for torch, and a result must be remade when the code
behind it changed and only then. Both are answered from the syntax tree: comments, docstrings and formatting do not
count. A digest is comparable within one minor version of Python.
"""

import ast
import hashlib
import importlib
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent
# What looking for a class can end with: no such module, file or class, or a file that is no Python.
UNREADABLE = (LookupError, SyntaxError, ValueError, OSError, RecursionError)
BOOKKEEPING = ("gm.source", "gm.provenance")  # these describe results and make none: no digest holds them


class Parameter(NamedTuple):
    """A keyword-only parameter: its annotation and its default as written, or None where there is none."""

    annotation: str | None
    default: str | None


def locate(module: str) -> Path | None:
    """The file of a module of this package, or None for any other module."""
    parts = module.split(".")
    if parts[0] != "gm" or not all(part.isidentifier() for part in parts):
        return None
    stem = PACKAGE.joinpath(*parts[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if module != "gm" and os.path.isfile(path):
            return path
    return PACKAGE / "__init__.py" if module == "gm" else None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@cache
def _parse(path: Path, stamp: tuple[int, int]) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def tree(path: Path) -> ast.Module:
    """The syntax tree of a file as it is on disk now."""
    return _parse(path, _stamp(path))


def split(reference: str) -> tuple[str, Path, str]:
    """Split `package.module.Class` or `path.py:Class` into (module, file, class).

    Raises:
        LookupError: the module or file does not exist; the message says which was looked for.
    """
    if ":" in reference:
        file, name = reference.rsplit(":", 1)
        if not os.path.isfile(file):
            raise LookupError(f"no file '{file}'")
        return file, Path(file), name
    module, _, name = reference.rpartition(".")
    path = locate(module)
    if path is None:
        raise LookupError(f"no module '{module}' in gm (a class of your own is written path/to/file.py:Class)")
    return module, path, name


def resolve(reference: str) -> object:
    """Import what `package.module.name` or `path/to/file.py:name` refers to."""
    if ":" in reference:
        file, name = reference.rsplit(":", 1)
        spec = importlib.util.spec_from_file_location(Path(file).stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module_name, _, name = reference.rpartition(".")
        module = importlib.import_module(module_name)
    return getattr(module, name)


def functions(module: str) -> list[str]:
    """Names of a module's public functions."""
    body = tree(locate(module)).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


@cache
def _names(path: Path, stamp: tuple[int, int]) -> dict[str, str]:
    bound = {}
    for node in ast.walk(_parse(path, stamp)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return bound


def names(path: Path) -> dict[str, str]:
    """What a module's `from gm... import name` statements bind: name to `module.name`."""
    return _names(path, _stamp(path))


def classes(path: Path) -> list[str]:
    """Names of the classes a module defines at its top."""
    return [node.name for node in tree(path).body if isinstance(node, ast.ClassDef)]


def lineage(reference: str) -> list[tuple[Path, ast.ClassDef]]:
    """A class and its bases, as far as they are found in this package or the same file, nearest first."""
    _, path, name = split(reference)
    found = next((n for n in tree(path).body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if found is None:
        raise LookupError(f"no class '{name}' in {path.name}; it defines: {', '.join(classes(path)) or 'none'}")
    line = [(path, found)]
    for base in found.bases:
        if isinstance(base, ast.Name):
            local = base.id in classes(path)
            target = names(path).get(base.id)
            if local and base.id != name:
                line += lineage(f"{path}:{base.id}")
            elif target and locate(target.rpartition(".")[0]):
                line += lineage(target)
    return line


def absent(path: Path) -> list[str]:
    """Packages that a file imports at its top and that are not installed; one that it tries for is not counted."""
    found = set()
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
    packages = sorted({name.partition(".")[0] for name in found})
    return [name for name in packages if importlib.util.find_spec(name) is None]


def _parameters(function: ast.FunctionDef) -> dict[str, Parameter]:
    def text(node: ast.expr | None) -> str | None:
        return None if node is None else ast.unparse(node)

    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return {arg.arg: Parameter(text(arg.annotation), text(default)) for arg, default in pairs}


def member(reference: str, name: str) -> dict[str, Parameter] | None:
    """Keyword-only parameters of a class's member, inherited ones included; None if there is no such member."""
    for _, node in lineage(reference):
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == name:
                return _parameters(item)
    return None


def function(reference: str) -> dict[str, Parameter]:
    """Keyword-only parameters of a module-level function, `package.module.function`."""
    _, path, name = split(reference)
    for item in tree(path).body:
        if isinstance(item, ast.FunctionDef) and item.name == name:
            return _parameters(item)
    raise LookupError(f"no function '{name}' in {path.name}")


def attribute(reference: str, name: str) -> object:
    """A literal class attribute, inherited ones included; None if no class of the line has it."""
    for _, node in lineage(reference):
        for item in node.body:
            targets = item.targets if isinstance(item, ast.Assign) else []
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return ast.literal_eval(item.value)
    return None


@cache
def _imported(path: Path, stamp: tuple[int, int]) -> frozenset[str]:
    found = set()
    for node in ast.walk(_parse(path, stamp)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(module for module in found if module != "gm" and locate(module))


def imported(path: Path) -> frozenset[str]:
    """Modules of this package that a file imports, inside functions too."""
    return _imported(path, _stamp(path))


def closure(*roots: str) -> dict[str, Path]:
    """Every module of this package that the roots reach by imports; a root is a module or a user's own file."""
    reached: dict[str, Path] = {}
    queue = sorted(set(roots))
    while queue:
        root = queue.pop()
        path = locate(root) or Path(root)
        if root not in reached:
            reached[root] = path
            queue += sorted(imported(path) - set(reached))
    return reached


def _strip(node: ast.AST) -> ast.AST:
    """Remove docstrings, which are no behaviour."""
    for item in ast.walk(node):
        body = getattr(item, "body", None)
        if isinstance(item, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                item.body = body[1:] or [ast.Pass()]
    return node


def _hash(nodes: list[ast.AST]) -> str:
    text = "\n".join(ast.dump(node) for node in nodes)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _parts(path: Path, stamp: tuple[int, int]) -> dict[str, str]:
    module = _strip(ast.parse(path.read_text(encoding="utf-8")))
    found: dict[str, str] = {}
    functions = ast.FunctionDef | ast.AsyncFunctionDef

    def visit(body: list[ast.stmt], prefix: str, own: str) -> None:
        for item in body:
            if isinstance(item, functions):
                found[prefix + item.name] = _hash([item])
            elif isinstance(item, ast.ClassDef):
                visit(item.body, f"{prefix}{item.name}.", f"{prefix}{item.name}")
        rest = [item for item in body if not isinstance(item, functions | ast.ClassDef)]
        heads = [n for c in body if isinstance(c, ast.ClassDef) for n in (*c.bases, *c.keywords, *c.decorator_list)]
        found[own] = _hash([*rest, *heads])

    visit(module.body, "", "top level")
    return found


def parts(path: Path) -> dict[str, str]:
    """A digest per function, per class (its attributes and bases) and for a module's top level."""
    return _parts(path, _stamp(path))


def fingerprint(*roots: str) -> dict[str, dict[str, str]]:
    """`{module: {part: digest}}` of everything the roots reach; a user's file goes by its name, not its folder."""
    reached = sorted(closure(*roots).items())
    return {
        module if locate(module) else path.name: parts(path) for module, path in reached if module not in BOOKKEEPING
    }


def digest(prints: dict[str, dict[str, str]]) -> str:
    """One digest of a fingerprint."""
    lines = [f"{m}:{p}:{h}" for m, ps in sorted(prints.items()) for p, h in sorted(ps.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

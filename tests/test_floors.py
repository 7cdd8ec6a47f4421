"""Imports point down, wings have no doors between them, and what must stay light stays light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

GM = Path(__file__).resolve().parents[1] / "gm"
FLOORS = [
    {"io", "rng", "source"},
    {"provenance", "config", "archive"},
    {"nets", "sampling"},
    {"densities"},
    {"model"},
    {"sampler"},
    {"models", "samplers", "data", "metrics", "table", "figures"},
    {"stages"},
    {"datasets"},
    {"contract", "catalogue", "schema"},
    {"plan"},
    {"commands"},
    {"__main__"},
]
ALLOWED = {("__init__", "model")}  # gm.load is the notebook's door
FILES = sorted(GM.rglob("*.py"))


def room(path: Path) -> str:
    """The first name below gm: `models`, `plan`, ..."""
    return path.relative_to(GM).parts[0].removesuffix(".py")


def level(name: str) -> int:
    """Number of the floor; the package's own `__init__` is the street."""
    if name == "__init__":
        return -1
    return next(number for number, floor in enumerate(FLOORS) if name in floor)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import; imports are absolute here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GM)))
def test_imports_point_down(path):
    here = room(path)
    for module in imports(path):
        parts = module.split(".")
        known = set.union(*FLOORS)
        if parts[0] != "gm" or len(parts) < 2 or parts[1] not in known or (here, parts[1]) in ALLOWED:
            continue
        assert here == parts[1] or level(parts[1]) < level(here), f"{path.name} imports {module}"
        if here == "models" and parts[1] == "models":
            raise AssertionError(f"{path.name} imports {module}: a family never imports a family")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(GM)))
def test_forbidden_imports(path):
    roots = {module.split(".")[0] for module in imports(path)}
    assert "snakemake" not in roots and "torchvision" not in roots and "pickle" not in roots
    if room(path) in {
        "metrics",
        "table",
        "figures",
        "plan",
        "catalogue",
        "datasets",
        "schema",
        "source",
        "config",
        "io",
        "provenance",
        "commands",
    }:
        assert "torch" not in roots
    if room(path) in {"models", "samplers", "nets", "sampling", "densities", "metrics", "table", "figures"}:
        assert not roots & {"yaml", "time", "os"}, "no YAML, clock or environment below the stages"


@pytest.mark.parametrize("module", ["gm", "gm.plan", "gm.commands.run", "gm.metrics.rows", "gm.stages.evaluate"])
def test_torch_free(module):
    """What the Snakefile, the evaluation and the commands import must not pay for torch."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_workflow_is_parsed_without_torch():
    """Every job of a cluster parses the Snakefile twice."""
    files = [GM.parent / "Snakefile", *sorted((GM.parent / "workflow/rules").glob("*.smk"))]
    lines = re.findall(r"^from gm.*|^import gm.*", "\n".join(path.read_text() for path in files), re.M)
    assert "from gm import plan" in lines
    code = "\n".join([*lines, "import sys", "sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"])
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_modules_are_short():
    long = {path.name: count for path in FILES if (count := len(path.read_text().splitlines())) > 300}
    assert not long


def test_snakefile_is_a_table_of_contents():
    assert len((GM.parent / "Snakefile").read_text().splitlines()) < 60

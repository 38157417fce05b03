"""The Python files of the project and what they import, for the tests of its structure."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALIASES = ROOT / "trainable" / "aliases"


@dataclass(frozen=True)
class ImportedModule:
    """One import of one module."""

    name: str
    line: int
    for_types_only: bool
    """Whether it is inside `if TYPE_CHECKING`."""


def sources(*folders: str) -> list[Path]:
    """Lists the Python files below some folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _modules() -> dict[str, Path]:
    modules = {}
    for path in sources("sweeps", "trainable"):
        if not path.is_relative_to(ALIASES):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            modules[name.removesuffix(".__init__")] = path
    return modules


MODULES = _modules()
"""Dotted name -> file of every module of the two packages, without the aliases."""


def part_of(module: str) -> str:
    """Returns the package, or the module that lies directly in `sweeps` or `trainable`."""
    return ".".join(module.split(".")[:2])


@functools.cache
def syntax_tree(path: Path) -> ast.Module:
    """Returns the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """Lists all nodes of the syntax tree of a file; walking it takes longer than reading it."""
    return list(ast.walk(syntax_tree(path)))


@functools.cache
def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Lists the functions and methods of a file."""
    return [
        node for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@functools.cache
def imported_modules(path: Path) -> list[ImportedModule]:
    """Lists every module that a file imports, also inside functions."""
    return list(_imported_modules(path))


def _imported_modules(path: Path) -> Iterator[ImportedModule]:
    typing_blocks = [
        node
        for node in nodes(path)
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    ]
    for_types = {id(node) for block in typing_blocks for node in ast.walk(block)}
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module or ""
            full = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else module for name in full]
        else:
            continue
        for name in dict.fromkeys(names):
            yield ImportedModule(name, node.lineno, id(node) in for_types)


def importers(package: str, *, for_types: bool = True) -> set[str]:
    """Names the modules that import a top-level package or something below it.

    Args:
        package: The package.
        for_types: Whether imports for types only count.
    """
    return {
        name
        for name, path in MODULES.items()
        for module in imported_modules(path)
        if module.name.partition(".")[0] == package and (for_types or not module.for_types_only)
    }

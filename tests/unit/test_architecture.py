"""How large files, functions and packages may get, and what they may be called."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from tests.support.source_files import ALIASES, MODULES, ROOT, importers, sources

MAX_FILE_LINES = {"sweeps": 400, "trainable": 400, "tests": 500}
MAX_PACKAGE_FILES = 14
MAX_FUNCTION_LINES = 50
"""From a function's first statement, its docstring not counted, to its last."""


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 50
    assert {"sweeps.spec.search_spec", "trainable.config", "trainable.models.cnv"} <= set(MODULES)


@pytest.mark.parametrize("alias", ["models", "utils"])
def test_nobody_imports_the_short_names_of_the_loading_snippet(alias: str) -> None:
    assert importers(alias) == set()


def test_an_alias_defines_nothing_of_its_own() -> None:
    for path in ALIASES.glob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert [type(node) for node in body] == [ast.Expr, ast.ImportFrom, ast.Assign], path


def installed_for_the_project() -> set[str]:
    """Names of the distributions that the project pulls in, as far as they are installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    found: set[str] = set()
    while waiting:
        name = re.split(r"[^\w.-]", waiting.pop(), maxsplit=1)[0]
        name = re.sub(r"[-_.]+", "-", name).lower()
        if name not in found:
            found.add(name)
            try:
                waiting += requires(name) or []
            except PackageNotFoundError:
                continue  # optional, or for another system
    return found


def test_no_module_has_the_name_of_a_library() -> None:
    """Run as a script, Python puts the script's folder first on the path."""
    ours = installed_for_the_project()
    libraries = {
        package
        for package, distributions in packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in ours for name in distributions)
    }
    assert {"torch", "ray", "yaml"} <= libraries
    taken = sys.stdlib_module_names | libraries
    ours_by_name = {name.split(".")[1] for name in MODULES if name.count(".") == 1}
    assert ours_by_name & taken == set()


@pytest.mark.parametrize("folder", ["sweeps", "trainable", "tests"])
def test_no_file_is_too_long(folder: str) -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(folder)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES[folder]} == {}


@pytest.mark.parametrize("folder", ["sweeps", "trainable", "tests"])
def test_no_function_is_too_long(folder: str) -> None:
    too_long = {}
    for path in sources(folder):
        for node in functions(path):
            has_docstring = ast.get_docstring(node, clean=False) is not None
            first = node.body[1 if has_docstring and len(node.body) > 1 else 0]
            lines = (node.end_lineno or 0) - first.lineno + 1
            if lines >= MAX_FUNCTION_LINES:
                too_long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert too_long == {}


@pytest.mark.parametrize("folder", ["sweeps", "trainable"])
def test_no_package_has_too_many_files(folder: str) -> None:
    counts: dict[str, int] = {}
    for path in sources(folder):
        package = path.parent.relative_to(ROOT).as_posix()
        counts[package] = counts.get(package, 0) + 1
    assert {name: count for name, count in counts.items() if count > MAX_PACKAGE_FILES} == {}


def test_modules_lie_in_packages() -> None:
    flat = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("sweeps/*.py")}
    assert flat == {f"sweeps/{name}.py" for name in ("__init__", "api", "run", "restore")}
    flat = {path.stem for path in ROOT.glob("trainable/*.py")}
    assert flat == {
        "__init__",
        "__main__",
        "atomic_files",
        "errors",
        "signals",
        "trial_settings",
        "uri",
        "utils",
    }

"""Directories that the user's own code is imported from (`model.name: module:callable`)."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from trainable.errors import Problem

_directories: list[str] = []


def is_own_code(name: str) -> bool:
    """Returns whether a name is `module:callable`, not that of something built in."""
    return ":" in name


def add_code_directories(directories: Iterable[str | Path]) -> None:
    """Makes the modules in these directories importable in this process.

    Args:
        directories: The first one wins, and those of earlier calls win over all of them.
    """
    for directory in directories:
        path = str(Path(directory).resolve())
        if path not in _directories:
            sys.path.insert(len(_directories), path)
            _directories.append(path)
    importlib.invalidate_caches()  # the files may be newer than the listings


def add_directories_of(names: Iterable[str]) -> None:
    """Adds the directories that `sys.path` has for some own code, so that workers find it, too.

    Args:
        names: Names `module:callable`. Modules that every process of this environment finds,
            because they are installed or on PYTHONPATH, are left out.
    """
    everywhere = {
        *sysconfig.get_paths().values(),
        *os.environ.get("PYTHONPATH", "").split(os.pathsep),
    }
    for name in names:
        top = name.partition(":")[0].partition(".")[0]
        spec = PathFinder.find_spec(top)
        if spec is None or spec.origin is None:
            continue
        file = Path(spec.origin)
        directory = file.parent.parent if spec.submodule_search_locations else file.parent
        if str(directory) not in everywhere:
            add_code_directories([directory])


def code_directories() -> list[str]:
    """Returns the absolute directories that have been added, the first one wins."""
    return list(_directories)


def check_own_code(name: str, *, allowed: bool) -> Problem | None:
    """Returns what is wrong with own code as `model.name`, without importing it.

    Args:
        name: The config's `model.name`.
        allowed: Whether own code may be imported.
    """
    if not is_own_code(name):
        return None
    if not allowed:
        return Problem("model.name", not_allowed(name))
    top = name.partition(":")[0].partition(".")[0]
    if top in sys.modules or PathFinder.find_spec(top) is not None:
        return None
    return Problem("model.name", not_found(name))


def not_allowed(name: str) -> str:
    """Returns the rule that own code as `model.name` breaks without the user's consent."""
    return (
        f'"{name}" is code of your own, which runs only on request: add --allow-custom-model on '
        "the command line; in Python allow_custom_model=True (get_model: allow_custom=True)"
    )


def not_found(name: str) -> str:
    """Returns the rule that a `model.name` breaks whose module does not exist."""
    module = name.partition(":")[0]
    places = ", ".join(_directories) or "the working directory"
    file = f"{module.replace('.', '/')}.py"
    return (
        f'"{name}": there is no module {module}; {file} must be in {places} or on PYTHONPATH, or '
        "the package be installed"
    )

"""Imports the user's own code (`module:callable`), and the directories that it is found in."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from importlib.machinery import PathFinder
from operator import attrgetter
from pathlib import Path
from typing import Any

from trainable.config.names import suggestion
from trainable.errors import Problem, TuneSweepsError, summarize_exception

OWN_NAME = r"\w+(\.\w+)*:\w+(\.\w+)*"
"""Pattern of `module:callable`."""

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


def check_own_code(name: str, *, allowed: bool, key: str = "model.name") -> Problem | None:
    """Returns what is wrong with own code in a config, without importing it.

    Args:
        name: The value in the config.
        allowed: Whether own code may be imported.
        key: The dotted key that has the value.
    """
    if not is_own_code(name):
        return None
    if not allowed:
        return Problem(key, not_allowed(name))
    top = name.partition(":")[0].partition(".")[0]
    if top in sys.modules or PathFinder.find_spec(top) is not None:
        return None
    return Problem(key, not_found(name))


def not_allowed(name: str) -> str:
    """Returns the rule that own code breaks without the user's consent."""
    return (
        f'"{name}" is code of your own, which runs only on request: add --allow-custom-model on '
        "the command line; in Python allow_custom_model=True (get_model: allow_custom=True)"
    )


def not_found(name: str) -> str:
    """Returns the rule that own code breaks whose module does not exist."""
    module = name.partition(":")[0]
    places = ", ".join(_directories) or "the working directory"
    file = f"{module.replace('.', '/')}.py"
    return (
        f'"{name}": there is no module {module}; {file} must be in {places} or on PYTHONPATH, or '
        "the package be installed"
    )


def import_own(key: str, target: str) -> Callable[..., Any]:
    """Imports a callable of the user's.

    Args:
        key: The config key that names it, for messages.
        target: `module:callable`.

    Raises:
        TuneSweepsError: There is no such module or callable, or importing it has failed.
    """
    module_name, _, attribute = target.partition(":")
    importlib.invalidate_caches()  # its file may be newer than the listing of its directory
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise TuneSweepsError(f"{key} {not_found(target)}") from error
        raise TuneSweepsError(_explain_import(key, target, error)) from error
    except Exception as error:  # whatever the user's code raises
        raise TuneSweepsError(_explain_import(key, target, error)) from error
    try:
        builder: Callable[..., Any] | None = attrgetter(attribute)(module)
    except AttributeError:
        builder = None
    if not callable(builder):
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise TuneSweepsError(
            f'{key} "{target}": {module_name} has no callable "{attribute}"'
            f"{suggestion(attribute, names)}"
        )
    return builder


def _explain_import(key: str, target: str, error: Exception) -> str:
    module = target.partition(":")[0]
    return f'{key} "{target}": importing {module} failed: {summarize_exception(error)}'

"""Builds the commands that messages tell the user to type.

A command works as printed, from the directory that it is printed in: words are quoted for a shell,
paths are relative to the working directory where they lie below it, and it begins as the present
process was started, `sweep` or `python sweeps/run.py`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from sweeps.terminal.console import uri_of

PACKAGE = Path(__file__).resolve().parents[1]
"""The directory `sweeps/`, whose scripts also run without an installation."""
SCRIPTS = {"run": ["run.py"], "resume": ["run.py", "--resume"], "restore": ["restore.py"]}
"""Verb -> its script in `sweeps/` and what the script needs before the verb's arguments."""
OTHER_VERBS = "cli"
"""The script for all other verbs: `python sweeps/cli VERB`."""


def sweep_command(
    verb: str,
    *words: str | Path,
    allow_custom_model: bool = False,
    address: str | None = None,
    absolute: bool = False,
) -> str:
    """Returns a `sweep` command.

    Args:
        verb: The verb, e.g. `resume`.
        *words: Its arguments and options; those that are paths as `Path` or as a URI.
        allow_custom_model: Whether the command needs `--allow-custom-model`.
        address: The value of `--address`; None leaves it out.
        absolute: Whether the command is for any directory, as in a file.
    """
    options = ["--allow-custom-model"] if allow_custom_model else []
    options += [] if address is None else ["--address", address]
    program = _find_program(verb, has_options=len(words) > 1, absolute=absolute)
    quoted = [quote_word(word, absolute=absolute) for word in (*words, *options)]
    return " ".join([*program, *quoted])


def train_command(
    config: Path, *, allow_custom_model: bool = False, code_directories: Iterable[str] = ()
) -> str:
    """Returns the command that trains a config without a sweep.

    Args:
        config: The config's file.
        allow_custom_model: Whether its model is code of the user's own.
        code_directories: Where that code is looked for, besides the working directory.
    """
    words = [_find_interpreter(), "-m", "trainable", quote_word(config)]
    words += ["--allow-custom-model"] if allow_custom_model else []
    own = [*code_directories] if allow_custom_model else []
    return add_code_path(" ".join(words), own if _is_installed() else [*own, str(PACKAGE.parent)])


def add_code_path(command: str, directories: Iterable[str]) -> str:
    """Returns a command that also imports from directories other than the working directory."""
    others = [path for path in dict.fromkeys(directories) if Path(path) != Path.cwd()]
    return f"PYTHONPATH={shlex.quote(os.pathsep.join(others))} {command}" if others else command


def quote_word(word: str | Path, *, absolute: bool = False) -> str:
    """Returns a word quoted for a shell; a path as it is typed in the working directory.

    A path in the local mirror of a directory in object storage becomes its URI.

    Args:
        word: A path as a `Path`, anything else as text.
        absolute: Whether a path is typed in another directory.
    """
    if isinstance(word, str):
        return shlex.quote(word)
    uri = uri_of(word)
    if uri is not None:
        return shlex.quote(uri)
    base = Path.cwd()
    if absolute:
        return shlex.quote(str(word.absolute()))
    text = str(word.relative_to(base) if word.is_relative_to(base) else word)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _find_program(verb: str, *, has_options: bool, absolute: bool) -> list[str]:
    """Returns the words of a command up to its first argument, quoted."""
    started = Path(sys.argv[0]).resolve() if sys.argv and sys.argv[0] else None
    if started is None or started not in _scripts():
        return [_find_executable("sweep"), verb]
    script, *first = SCRIPTS.get(verb, [OTHER_VERBS, verb])
    if verb == "resume" and has_options:  # `run --resume` does not have its options
        script, first = OTHER_VERBS, [verb]
    return [_find_interpreter(), quote_word(PACKAGE / script, absolute=absolute), *first]


def _scripts() -> set[Path]:
    names = {*(words[0] for words in SCRIPTS.values()), OTHER_VERBS, f"{OTHER_VERBS}/__main__.py"}
    return {PACKAGE / name for name in names}


def _find_interpreter() -> str:
    own = Path(sys.executable)
    plain = own.with_name("python")
    is_same = plain.exists() and plain.resolve() == own.resolve()
    return _find_executable("python" if is_same else own.name)


def _find_executable(name: str) -> str:
    """Returns a program of this Python environment: its name if the shell finds that one."""
    own = Path(sys.executable).with_name(name)
    by_name = shutil.which(name)
    is_found = by_name is not None and _is_same_program(Path(by_name), own)
    return name if is_found or not own.exists() else shlex.quote(str(own))


def _is_same_program(by_name: Path, own: Path) -> bool:
    """Returns whether a name leads to a program of this environment, also by a link to it.

    The interpreters of all environments may be links to one file.
    """
    is_link = not own.is_symlink() and by_name.resolve() == own.resolve()
    return by_name.parent == own.parent or is_link


def _is_installed() -> bool:
    try:
        distribution("tune-sweeps")
    except PackageNotFoundError:
        return False
    return True

"""Names of sweeps, trials and files on this machine's disks, for the completion of a command line.

A key press must not wait, so that this imports no other package of the project.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

SWEEP_FILE, TRIAL_FILE, CHECKPOINTS = "sweep.json", "trial.json", "checkpoints"
"""As `sweeps.sweep_dir.layout` and `trainable.artifacts.names` have them."""
MAX_ENTRIES = 2000
"""Entries of a directory that are looked at; a key press must not wait for more."""


def complete_sweep(start: str) -> list[str]:
    """Returns the paths of sweeps that begin with a text.

    They lie in the directory that the text names, or in a directory of that one.

    Args:
        start: The beginning of a path, which may begin with `~`.
    """
    prefix, directory, name = _split(start)
    paths = []
    for entry in _directories(directory, name):
        if (directory / entry / SWEEP_FILE).exists():
            paths.append(f"{prefix}{entry}")
            continue
        inner = directory / entry
        paths += [
            f"{prefix}{entry}/{sweep}"
            for sweep in _directories(inner, "")
            if (inner / sweep / SWEEP_FILE).exists()
        ]
    return [path for path in paths if _needs_no_quotes(path)]


def complete_trial(sweep: Path, start: str) -> list[str]:
    """Returns the ids of a sweep's trials that begin with a text, the newest trials first."""
    names = [
        name for name in _directories(sweep, "") if (sweep / name / TRIAL_FILE).exists()
    ]  # they end with the time of the trial's creation and its id
    ids = [name.rpartition("_")[2] for name in sorted(names, key=_time_of, reverse=True)]
    return [id_ for id_ in ids if id_.startswith(start)]


def complete_file(start: str, suffixes: tuple[str, ...]) -> list[str]:
    """Returns the files and directories that begin with a text; a directory ends with `/`.

    Args:
        start: The beginning of a path, which may begin with `~`.
        suffixes: Ends of the names of the files, e.g. `.yaml`.
    """
    prefix, directory, name = _split(start)
    files = [f"{prefix}{entry}" for entry in _files(directory, name) if entry.endswith(suffixes)]
    directories = [f"{prefix}{entry}/" for entry in _directories(directory, name)]
    return [path for path in (*files, *directories) if _needs_no_quotes(path)]


def complete_checkpoint(start: str) -> list[str]:
    """Returns the `.pt` files and directories that begin with a text.

    In the place of a trial's directory stand its checkpoints.

    Args:
        start: The beginning of a path, which may begin with `~`.
    """
    paths = []
    for path in complete_file(start, (".pt",)):
        inner = Path(path).expanduser() / CHECKPOINTS
        checkpoints = [name for name in _files(inner, "") if name.endswith(".pt")]
        paths += [f"{path}{CHECKPOINTS}/{name}" for name in checkpoints] or [path]
    return paths


def _split(start: str) -> tuple[str, Path, str]:
    """Returns the beginning of a path up to its last `/`, that directory, and what follows."""
    parent, separator, name = start.rpartition("/")
    prefix = f"{parent}{separator}"
    return prefix, Path(prefix or ".").expanduser(), name


def _time_of(name: str) -> list[str]:
    return name.split("_")[-3:-1]


def _directories(directory: Path, start: str) -> Iterator[str]:
    """Yields the names of a directory's directories that begin with a text, in order."""
    return (entry.name for entry in _entries(directory, start) if entry.is_dir())


def _files(directory: Path, start: str) -> Iterator[str]:
    """Yields the names of a directory's files that begin with a text, in order."""
    return (entry.name for entry in _entries(directory, start) if entry.is_file())


def _entries(directory: Path, start: str) -> list[os.DirEntry[str]]:
    """Lists the entries of a directory; those that begin with `.` only if the text does."""
    try:
        with os.scandir(directory) as entries:
            matching = [
                entry
                for entry, _ in zip(entries, range(MAX_ENTRIES), strict=False)
                if entry.name.startswith(start) and not (entry.name.startswith(".") and not start)
            ]
    except OSError:
        return []
    return sorted(matching, key=lambda entry: entry.name)


def _needs_no_quotes(path: str) -> bool:
    return shlex.quote(path.removeprefix("~")) == path.removeprefix("~")

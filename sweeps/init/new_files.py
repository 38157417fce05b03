"""Names of the files that `sweep init` writes, and the check that none is replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sweeps.terminal.commands import sweep_command
from trainable.errors import TuneSweepsError

SEARCH, TRAINING = "search.yaml", "training.yaml"
"""Names of the files."""


def refuse_existing(
    directory: Path, names: Iterable[str] = (SEARCH, TRAINING), options: Iterable[str] = ()
) -> None:
    """Checks that no file would be replaced.

    Args:
        directory: The directory of the new files.
        names: Their names.
        options: The options of `sweep init`, for the command that the message proposes.

    Raises:
        TuneSweepsError: One of the files exists.
    """
    for name in names:
        path = directory / name
        if path.exists():
            raise TuneSweepsError(
                f"{path} exists, and nothing is replaced: give another directory, as in "
                f"{sweep_command('init', Path('another'), *options)}, or remove it"
            )

"""Exports a sweep as an Optuna study that optuna-dashboard opens: SQLite or Optuna's journal."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage

from sweeps.report.optuna_study import create_study, frozen_trials, read_space
from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.sweep_dir.errors import SweepError

SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


def export_study(sweep: LoadedSweep, output: Path) -> None:
    """Writes a sweep's study as a file; if that fails, no file is left.

    Args:
        sweep: The loaded sweep.
        output: SQLite if its suffix is one of `SQLITE_SUFFIXES`, else Optuna's journal.

    Raises:
        SweepError: The file already exists, or its directory does not.
    """
    if output.exists():
        raise SweepError(f"{output} already exists; delete it or choose another file")
    if not output.parent.is_dir():
        raise SweepError(f"{output}: the directory {output.parent} does not exist")
    trials = frozen_trials(sweep, read_space(sweep.directory))
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        path = Path(temporary) / output.name
        if output.suffix in SQLITE_SUFFIXES:
            database = RDBStorage(f"sqlite:///{path}", {"creator": lambda: _connect(path)})
            create_study(sweep, database).add_trials(trials)
            database.remove_session()
            database.engine.dispose()
        else:
            journal = JournalStorage(JournalFileBackend(str(path)))
            create_study(sweep, journal).add_trials(trials)
        path.replace(output)


def _connect(path: Path) -> sqlite3.Connection:
    """Connects without waiting for the disk, as nothing reads the file before it is complete."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    return connection

"""A sweep's study as a file that optuna-dashboard opens: SQLite, or Optuna's journal."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial

from sweeps.report.optuna_study import empty_study, frozen_trials, read_space
from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.errors import SweepError

SQLITE = (".db", ".sqlite", ".sqlite3")
KNOWN_TABLES = "v3.2.0.a"
"""The revision of Optuna's tables that `_insert` fills; those of another one Optuna fills itself,
which takes it ten times as long."""

Tables = dict[str, list[tuple[Any, ...]]]


def export_study(directory: Path, output: Path) -> None:
    """Writes the study as a file that optuna-dashboard opens, whole or not at all.

    Args:
        directory: The sweep's.
        output: SQLite if its name ends in `.db`, `.sqlite` or `.sqlite3`, else Optuna's journal.

    Raises:
        SweepError: The directory holds no sweep, or the file is there already.
        ConfigError: The search file is broken.
    """
    if output.exists():
        raise SweepError(f"{output} exists already; delete it, or choose another file")
    if not output.parent.is_dir():
        raise SweepError(f"{output}: there is no directory {output.parent}")
    sweep = load(directory)
    trials = frozen_trials(sweep, read_space(directory))
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        path = Path(temporary) / output.name
        if output.suffix in SQLITE:
            database = RDBStorage(f"sqlite:///{path}", {"creator": lambda: _unsynced(path)})
            study = empty_study(sweep, database)
            if database.get_current_version() == KNOWN_TABLES:
                _insert(path, database.get_study_id_from_name(study.study_name), trials)
            else:
                study.add_trials(trials)
            database.remove_session()
            database.engine.dispose()
        else:
            collected = _Collected()
            empty_study(sweep, JournalStorage(collected)).add_trials(trials)
            JournalFileBackend(str(path)).append_logs(collected.logs)
        path.replace(output)


class _Collected(BaseJournalBackend):
    """A journal in memory: on disk Optuna locks and syncs the file for every trial."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Those from a number on, as they would come from a file."""
        for log in islice(self.logs, log_number_from, None):
            yield json.loads(json.dumps(log))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Adds some."""
        self.logs += logs


def _unsynced(path: Path) -> sqlite3.Connection:
    """A database that does not wait for the disk; nobody reads it half written."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _insert(path: Path, study: int, trials: Sequence[FrozenTrial]) -> None:
    """Fills the tables of an empty study, as Optuna's `add_trials` does row by row."""
    tables = _rows(study, trials)
    with closing(_unsynced(path)) as connection, connection:
        for columns, rows in tables.items():
            marks = ", ".join("?" * len(columns.partition("(")[2].split(",")))
            connection.executemany(f"INSERT INTO {columns} VALUES ({marks})", rows)


def _rows(study: int, trials: Sequence[FrozenTrial]) -> Tables:
    """Table and columns -> rows. All numbers are finite: `frozen_trials` has left out others."""
    texts: dict[BaseDistribution, str] = {}
    found: list[list[tuple[Any, ...]]] = [[] for _ in range(5)]
    own, values, params, attributes, steps = found
    for number, trial in enumerate(trials):
        row = number + 1
        times = _stored(trial.datetime_start), _stored(trial.datetime_complete)
        own.append((row, number, study, trial.state.name, *times))
        if trial.value is not None:
            values.append((row, 0, trial.value, "FINITE"))
        for key, value in trial.params.items():
            distribution = trial.distributions[key]
            if distribution not in texts:
                texts[distribution] = distribution_to_json(distribution)
            params.append((row, key, distribution.to_internal_repr(value), texts[distribution]))
        for key, value in trial.user_attrs.items():
            attributes.append((row, key, json.dumps(value)))
        for step, value in trial.intermediate_values.items():
            steps.append((row, step, value, "FINITE"))
    names = (
        "trials (trial_id, number, study_id, state, datetime_start, datetime_complete)",
        "trial_values (trial_id, objective, value, value_type)",
        "trial_params (trial_id, param_name, param_value, distribution_json)",
        "trial_user_attributes (trial_id, key, value_json)",
        "trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)",
    )
    return dict(zip(names, found, strict=True))


def _stored(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%d %H:%M:%S.%f")

"""An Optuna study rebuilt from a sweep's layout, for Optuna's charts and for optuna-dashboard.

Parameters have the values that trials trained with, not the numbers that a sampler of the sweep
saw. Optuna is told of a trial what happened to it: finished is COMPLETE, stopped by the scheduler
PRUNED, failed FAIL; its metric is that of its best epoch, its intermediate values are its epochs.
"""

from __future__ import annotations

import json
import math
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.distributions import Choice, Distribution, Range
from sweeps.layout import SweepError
from sweeps.loading import LoadedSweep, load
from sweeps.reopening import open_sweep
from sweeps.results import TrialResult

STATES = {
    "pending": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
SQLITE = (".db", ".sqlite", ".sqlite3")

Space = Mapping[str, Distribution]


def build_study(
    sweep: LoadedSweep,
    space: Space,
    *,
    stopped_count: bool = False,
    storage: BaseStorage | None = None,
) -> optuna.Study:
    """Rebuilds the study, its trials in order of creation.

    Args:
        sweep: As loaded.
        space: The distributions of its search file.
        stopped_count: Stopped trials are COMPLETE with the metric of their best epoch: Optuna's
            charts of parameters leave others out.
        storage: Where it is kept; None means in memory.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage or InMemoryStorage(),
        study_name=sweep.record.name,
        direction="maximize" if sweep.mode == "max" else "minimize",
    )
    study.set_user_attr("sweep", str(sweep.directory))
    study.set_user_attr("state", sweep.state)
    ordered = sorted(sweep.results, key=lambda result: result.record.number)
    distributions = _distributions(space, ordered)
    study.add_trials(
        [_frozen(result, sweep.metric, distributions, stopped_count) for result in ordered]
    )
    return study


def study_of(directory: Path, *, stopped_count: bool = False) -> optuna.Study:
    """The study of the sweep in a directory, in memory; see `build_study`.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    return build_study(load(directory), read_space(directory), stopped_count=stopped_count)


def read_space(directory: Path) -> dict[str, Distribution]:
    """What the sweep in a directory draws from; values that follow from others are left out.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    spec, _ = open_sweep(directory)
    return {key: entry for key, entry in spec.space.items() if isinstance(entry, Distribution)}


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
    sweep, space = load(directory), read_space(directory)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as temporary:
        path = Path(temporary) / output.name
        if output.suffix in SQLITE:
            database = RDBStorage(f"sqlite:///{path}", {"creator": lambda: _unsynced(path)})
            build_study(sweep, space, storage=database)
            database.remove_session()
            database.engine.dispose()
        else:
            journal = JournalStorage(JournalFileBackend(str(path)))
            build_study(sweep, space, storage=journal)
        path.replace(output)


def _unsynced(path: Path) -> sqlite3.Connection:
    """A database that does not wait for the disk at every trial; nobody reads it half written."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _frozen(
    result: TrialResult,
    metric: str,
    distributions: Mapping[str, BaseDistribution],
    stopped_count: bool,
) -> FrozenTrial:
    record = result.record
    state = STATES[record.state]
    value = None if result.best is None else float(result.best[metric])
    if stopped_count and state == TrialState.PRUNED and value is not None:
        state = TrialState.COMPLETE
    if state == TrialState.COMPLETE and value is None:
        state = TrialState.FAIL
    params = {key: plain(v) for key, v in record.current.items() if key in distributions}
    trial = optuna.trial.create_trial(
        state=state,
        value=value if state in {TrialState.COMPLETE, TrialState.PRUNED} else None,
        params=params,
        distributions={key: distributions[key] for key in params},
        intermediate_values=_intermediate(result.rows, metric),
        user_attrs={
            "trial": record.id,
            "state": record.state,
            "directory": record.directory,
            **({"failure": record.failures[-1].message} if record.failures else {}),
        },
    )
    created = _time(record.started or record.created)
    trial.datetime_start = None if state == TrialState.WAITING else created
    trial.datetime_complete = _time(record.ended or record.created) if record.ended else None
    if state.is_finished() and trial.datetime_complete is None:
        trial.datetime_complete = created
    return trial


def _intermediate(rows: Iterable[Mapping[str, Any]], metric: str) -> dict[int, float]:
    """Epoch -> metric, where it is a number."""
    return {
        int(row["epoch"]): float(row[metric])
        for row in rows
        if row.get(metric) is not None and math.isfinite(row[metric])
    }


def _time(text: str) -> datetime:
    """A time of the layout as Optuna has it: local, without an offset."""
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


# ------------------------------------------------------------------- distributions


def _distributions(space: Space, results: list[TrialResult]) -> dict[str, BaseDistribution]:
    """Key -> Optuna's distribution, wide enough for all values that trials had.

    A population, or more epochs given to some trials, may have left the range that was drawn from.
    """
    found: dict[str, BaseDistribution] = {}
    for key, distribution in space.items():
        values = [r.record.current[key] for r in results if key in r.record.current]
        found[key] = _native(distribution, values)
    return found


def _native(distribution: Distribution, values: list[Any]) -> BaseDistribution:
    if isinstance(distribution, Choice):
        known = [plain(value) for value in (*distribution.values, *values)]
        return CategoricalDistribution(_unique(known))
    low, high = distribution.corners
    if isinstance(distribution, Range) and isinstance(low, float) and distribution.q is None:
        low, high = distribution.low, distribution.high  # a corner may be off by a rounding error
    ends = min([low, *values]), max([high, *values])
    log = "log" in distribution.kind and ends[0] > 0
    if all(isinstance(value, int) for value in (low, *values)):
        return IntDistribution(int(ends[0]), int(ends[1]), log=log)
    return FloatDistribution(float(ends[0]), float(ends[1]), log=log)


def plain(value: Any) -> Any:
    """A value as a category or number of Optuna's; a list or a mapping is its text."""
    return value if isinstance(value, bool | int | float | str | None) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _unique(values: list[Any]) -> list[Any]:
    """Values that differ as they are written; 1, 1.0 and true are three."""
    return list({_text(value): value for value in values}.values())

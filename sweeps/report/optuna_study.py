"""An Optuna study rebuilt from a sweep's layout, for Optuna's charts and for optuna-dashboard.

Parameters have the values that trials trained with, not the numbers that a sampler of the sweep
saw. Optuna is told of a trial what happened to it: finished is COMPLETE, stopped by the scheduler
PRUNED, failed FAIL; its metric is that of its best epoch, its intermediate values are its epochs.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Container, Iterable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.results.stored_spec import open_sweep
from sweeps.results.trial_results import TrialResult
from sweeps.space.distributions import Choice, Distribution, NumericDistribution, Range

STATES = {
    "pending": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

Space = Mapping[str, Distribution]


class Unchanging(InMemoryStorage):
    """Trials that are only read: Optuna's charts get these themselves, and no copies.

    Copying took most of a report's time: every chart asks for all trials, some several times.
    """

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: ARG002
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """See Optuna."""
        return super().get_all_trials(study_id, deepcopy=False, states=states)


def chart_studies(sweep: LoadedSweep, space: Space) -> tuple[optuna.Study, optuna.Study]:
    """What Optuna draws charts of: the study as it is, and with stopped trials as COMPLETE.

    Their trials are for reading alone, and have no epochs.

    Args:
        sweep: As loaded.
        space: The distributions of its search file.
    """
    found = []
    for stopped_count in (False, True):
        study = empty_study(sweep, Unchanging())
        study.add_trials(
            frozen_trials(sweep, space, stopped_count=stopped_count, with_epochs=False)
        )
        found.append(study)
    return found[0], found[1]


def import_importances_alone() -> None:
    """Imports Optuna's importances as if scikit-learn were not installed.

    Importing that takes longer than all charts, for evaluators which no report uses. They are
    missing in this process afterwards: a command may do this, a library may not.
    """
    if "sklearn" in sys.modules or "optuna.importance" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]  # Python's mark of what is missing
    try:
        import_module("optuna.importance")
    finally:
        del sys.modules["sklearn"]


def study_of(directory: Path, *, stopped_count: bool = False) -> optuna.Study:
    """The study of the sweep in a directory, in memory, its trials in order of creation.

    Args:
        directory: The sweep's.
        stopped_count: See `frozen_trials`.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    sweep = load(directory)
    study = empty_study(sweep, InMemoryStorage())
    study.add_trials(frozen_trials(sweep, read_space(directory), stopped_count=stopped_count))
    return study


def empty_study(sweep: LoadedSweep, storage: BaseStorage) -> optuna.Study:
    """The study without its trials.

    Args:
        sweep: As loaded.
        storage: Where it is kept.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage,
        study_name=sweep.record.name,
        direction="maximize" if sweep.mode == "max" else "minimize",
    )
    study.set_user_attr("sweep", str(sweep.directory))
    study.set_user_attr("state", sweep.state)
    return study


def frozen_trials(
    sweep: LoadedSweep, space: Space, *, stopped_count: bool = False, with_epochs: bool = True
) -> list[FrozenTrial]:
    """The trials of the study in order of creation.

    Args:
        sweep: As loaded.
        space: The distributions of its search file.
        stopped_count: Stopped trials are COMPLETE with the metric of their best epoch: Optuna's
            charts of parameters leave others out.
        with_epochs: Whether the epochs are intermediate values.
    """
    ordered = sorted(sweep.results, key=lambda result: result.record.number)
    distributions = _distributions(space, ordered)
    return [
        _frozen(result, sweep.metric, distributions, stopped_count, with_epochs)
        for result in ordered
    ]


def read_space(directory: Path) -> dict[str, Distribution]:
    """What the sweep in a directory draws from; values that follow from others are left out.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    spec, _ = open_sweep(directory)
    return {key: entry for key, entry in spec.space.items() if isinstance(entry, Distribution)}


def _frozen(
    result: TrialResult,
    metric: str,
    distributions: Mapping[str, BaseDistribution],
    stopped_count: bool,
    with_epochs: bool,
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
        intermediate_values=_intermediate(result.rows, metric) if with_epochs else {},
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
    low, high = distribution.extremes
    if isinstance(distribution, Range) and isinstance(low, float) and distribution.step is None:
        low, high = distribution.low, distribution.high  # a corner may be off by a rounding error
    ends = min([low, *values]), max([high, *values])
    log = isinstance(distribution, NumericDistribution) and distribution.log and ends[0] > 0
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

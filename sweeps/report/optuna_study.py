"""Rebuilds an Optuna study from a sweep's files, for the importance and optuna-dashboard.

Parameters have the values that the best epoch was trained with. Finished trials and those that a
rule of their training config has ended are COMPLETE, trials stopped by the scheduler PRUNED,
failed ones FAIL. A trial's value is the metric at its best epoch; its intermediate values are the
metrics of its epochs.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
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
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.results.stored_spec import read_search
from sweeps.results.trial_results import TrialResult
from sweeps.space.distributions import Choice, Distribution, NumericDistribution, Range
from sweeps.space.mixture import Mixture
from trainable.artifacts.metrics import is_scored

STATES = {
    "pending": TrialState.WAITING,
    "running": TrialState.RUNNING,
    "paused": TrialState.RUNNING,
    "finished": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

Space = Mapping[str, Distribution]


class ReadOnlyStorage(InMemoryStorage):
    """Stores trials that are only read: returns the trials themselves instead of copies.

    The importance requests all trials several times, and copying took most of a report's time.
    """

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: ARG002
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Returns the study's trials, never as copies."""
        return super().get_all_trials(study_id, deepcopy=False, states=states)


def scored_study(sweep: LoadedSweep, space: Space) -> optuna.Study:
    """Returns the study in which stopped trials are COMPLETE, without intermediate values.

    Its trials are read-only.

    Args:
        sweep: The loaded sweep.
        space: The distributions of its search file.
    """
    study = create_study(sweep, ReadOnlyStorage())
    study.add_trials(frozen_trials(sweep, space, stopped_complete=True, with_epochs=False))
    return study


def build_study(directory: Path, *, stopped_complete: bool = False) -> optuna.Study:
    """Returns the study of a sweep, in memory, with its trials in order of creation.

    Args:
        directory: The sweep directory.
        stopped_complete: See `frozen_trials`.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    sweep = load(directory)
    study = create_study(sweep, InMemoryStorage())
    trials = frozen_trials(sweep, read_space(directory), stopped_complete=stopped_complete)
    study.add_trials(trials)
    return study


def create_study(sweep: LoadedSweep, storage: BaseStorage) -> optuna.Study:
    """Creates a sweep's study without its trials.

    Args:
        sweep: The loaded sweep.
        storage: The storage of the study.
    """
    study = open_study(storage, sweep.record.name, sweep.mode)
    study.set_user_attr("sweep", str(sweep.directory))
    study.set_user_attr("state", sweep.state)
    return study


def open_study(storage: BaseStorage, name: str, mode: str) -> optuna.Study:
    """Returns a study of a storage; creates it if it is not there.

    Args:
        storage: The storage.
        name: The name of the study.
        mode: `max` or `min`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize" if mode == "max" else "minimize",
        load_if_exists=True,
    )


def frozen_trials(
    sweep: LoadedSweep, space: Space, *, stopped_complete: bool = False, with_epochs: bool = True
) -> list[FrozenTrial]:
    """Returns the trials of the study in order of creation.

    Args:
        sweep: The loaded sweep.
        space: The distributions of its search file.
        stopped_complete: Whether stopped trials are COMPLETE with the metric of their best epoch.
            Optuna's charts of parameters only show COMPLETE trials.
        with_epochs: Whether the epochs are added as intermediate values.
    """
    results = sorted(sweep.results, key=lambda result: result.record.number)
    distributions = optuna_distributions(space, results)
    return [
        freeze_trial(
            result,
            sweep.metric,
            distributions,
            stopped_complete=stopped_complete,
            with_epochs=with_epochs,
        )
        for result in results
    ]


def read_space(directory: Path) -> dict[str, Distribution]:
    """Returns a sweep's distributions by key; parameters that follow from others are left out.

    Raises:
        SweepError: The directory holds no sweep.
        ConfigError: Its search file is broken.
    """
    spec, _ = read_search(directory)
    return {
        key: parameter
        for key, parameter in spec.space.items()
        if isinstance(parameter, Distribution)
    }


def freeze_trial(
    result: TrialResult,
    metric: str,
    distributions: Mapping[str, BaseDistribution],
    *,
    stopped_complete: bool = False,
    with_epochs: bool = True,
) -> FrozenTrial:
    """Returns a trial of the study.

    Args:
        result: The trial.
        metric: The metric that ranks trials.
        distributions: Key -> distribution that contains the trial's value.
        stopped_complete: See `frozen_trials`.
        with_epochs: See `frozen_trials`.
    """
    record = result.record
    ended_itself = record.state == "stopped" and record.ended_itself
    state = TrialState.COMPLETE if ended_itself else STATES[record.state]
    value = None if result.own_best is None else float(result.own_best[metric])
    if stopped_complete and state == TrialState.PRUNED and value is not None:
        state = TrialState.COMPLETE
    if state == TrialState.COMPLETE and value is None:
        state = TrialState.FAIL
    params = {key: to_category(v) for key, v in result.values.items() if key in distributions}
    trial = optuna.trial.create_trial(
        state=state,
        value=value if state in {TrialState.COMPLETE, TrialState.PRUNED} else None,
        params=params,
        distributions={key: distributions[key] for key in params},
        intermediate_values=_intermediate_values(result.rows, metric) if with_epochs else {},
        user_attrs={
            "trial": record.id,
            "state": record.state,
            "directory": record.directory,
            **({"added": True} if record.added else {}),
            **({"failure": record.failures[-1].message} if record.failures else {}),
        },
    )
    created = _parse_time(record.started or record.created)
    trial.datetime_start = None if state == TrialState.WAITING else created
    trial.datetime_complete = _parse_time(record.ended or record.created) if record.ended else None
    if state.is_finished() and trial.datetime_complete is None:
        trial.datetime_complete = created
    return trial


def _intermediate_values(rows: Iterable[Mapping[str, Any]], metric: str) -> dict[int, float]:
    """Returns epoch -> metric, for epochs with a finite metric and finite losses."""
    return {int(row["epoch"]): float(row[metric]) for row in rows if is_scored(row, metric)}


def _parse_time(text: str) -> datetime:
    """Parses a recorded time into Optuna's form: local time without a UTC offset."""
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)


# ------------------------------------------------------------------- distributions


def optuna_distributions(space: Space, results: list[TrialResult]) -> dict[str, BaseDistribution]:
    """Returns key -> Optuna's distribution, wide enough for all values that trials had.

    PBT may leave the sampled range, and `sweep extend` raises the epochs of some trials.
    """
    distributions = {}
    for key, distribution in space.items():
        values = [r.values[key] for r in results if key in r.values]
        distributions[key] = _optuna_distribution(distribution, values)
    return distributions


def _optuna_distribution(distribution: Distribution, values: list[Any]) -> BaseDistribution:
    if isinstance(distribution, Choice):
        categories = [to_category(value) for value in (*distribution.values, *values)]
        return CategoricalDistribution(_unique(categories))
    if isinstance(distribution, Mixture):
        return _mixture_distribution(distribution, values)
    low, high = distribution.extremes
    if isinstance(distribution, Range) and isinstance(low, float) and distribution.step is None:
        low, high = distribution.low, distribution.high  # extremes may have rounding errors
    smallest, largest = min([low, *values]), max([high, *values])
    log = isinstance(distribution, NumericDistribution) and distribution.log and smallest > 0
    if all(isinstance(value, int) for value in (low, *values)):
        return IntDistribution(int(smallest), int(largest), log=log)
    return FloatDistribution(float(smallest), float(largest), log=log)


def _mixture_distribution(mixture: Mixture, values: list[Any]) -> BaseDistribution:
    """Returns a range if all options are numbers, else a category for every value so far."""
    everything = [*mixture.extremes, *values]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in everything):
        plain = [option for option in mixture.options if not isinstance(option, Distribution)]
        return CategoricalDistribution(_unique([to_category(v) for v in (*plain, *values)]))
    low, high = min(everything), max(everything)
    inner = [option for option in mixture.options if isinstance(option, NumericDistribution)]
    log = low > 0 and all(option.log for option in inner)
    if all(isinstance(value, int) for value in everything):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def to_category(value: Any) -> Any:
    """Returns a value as a category or number of Optuna's; lists and mappings become JSON text."""
    return value if isinstance(value, bool | int | float | str | None) else _to_json(value)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _unique(values: list[Any]) -> list[Any]:
    """Returns the values without duplicates; 1, 1.0 and true are three values."""
    return list({_to_json(value): value for value in values}.values())

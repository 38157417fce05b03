"""Gives trials to Tune: values from the searcher, records in the sweep directory.

Tune's own searchers name trials at random, count samples per process and lose them with it. This
source records a trial on disk before Tune gets it and keeps the limit of live trials. In a resumed
sweep it first returns every recorded trial under its old id and in its old directory.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.cluster.placement import Reservation
from sweeps.schedulers.replay import NullSearcher
from sweeps.search.trial_planner import AddedConfiguration, PlannedTrial, TrialPlanner
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import ID_BYTES, SweepLayout
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.trials.oom_memory import OomMemory
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.splits import SweepSplits
from sweeps.trials.trial import OnFailure, SweepTrial, new_trial
from trainable.artifacts.metrics import has_diverged, read_rows
from trainable.artifacts.names import METRICS_FILE, automatic_name
from trainable.config import TrainConfig, without_cache
from trainable.config.dotted import pop_dotted
from trainable.config.own_code import code_directories
from trainable.trial_settings import SETTINGS, SPLIT, WEIGHTS

RestoreTrials = Callable[[dict[str, SweepTrial]], None]


@dataclass(frozen=True)
class TrialTemplate:
    """Settings that every trial of a sweep is created with."""

    settings: Mapping[str, Any]
    """Content of a trial's config under `SETTINGS`."""
    mutated: tuple[str, ...]
    """Keys that the scheduler changes while a trial trains. A trial's config has them at its top,
    dotted, where Tune's schedulers look for them."""
    num_to_keep: int
    """Number of Tune's own checkpoint directories that a trial keeps."""
    on_failure: OnFailure
    """Decides whether a failed trial is retried."""
    splits: SweepSplits
    """Which images the trials hold out."""
    memory: OomMemory
    """Memory of trainings that ran out of it."""


@dataclass(frozen=True)
class Admission:
    """Rules for which trials Tune may have at a time."""

    limit: int
    """Most live trials at the start; waiting ones do not count."""
    reservation: Reservation
    """Resources that trials reserve at the start."""
    is_waiting: Callable[[Trial], bool]
    """Whether the scheduler keeps a trial paused, so that it takes no slot."""
    switch: PauseSwitch
    """No new trial starts in a pausing sweep."""


class TrialSource(SearchAlgorithm):
    """Source of the trials of a sweep.

    Args:
        spec: The resolved search file.
        layout: The sweep directory.
        records: Trial id -> record of the existing trials in order of creation; new ones are
            added.
        planner: Plans the next trial; has no trial of this sweep yet.
        template: Settings of every trial.
        admission: Rules for which trials Tune may have.
        restore: Called with the recorded trials, created anew, before Tune's first step.
    """

    def __init__(
        self,
        spec: SearchSpec,
        layout: SweepLayout,
        records: dict[str, TrialRecord],
        *,
        planner: TrialPlanner,
        template: TrialTemplate,
        admission: Admission,
        restore: RestoreTrials,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self.records = records
        self._planner = planner
        self._template = template
        self._admission = admission
        self._restore = restore
        self._has_cache = layout.read_sweep().cache
        self._experiment: Any = None
        self._recorded: deque[SweepTrial] = deque()
        """Recorded trials that Tune has not got yet."""
        self._live: dict[str, SweepTrial] = {}
        self.searcher = NullSearcher()
        self.limit = admission.limit
        """Most live trials, which may change while the sweep runs."""
        self.reservation = admission.reservation
        """Resources that trials reserve."""
        self._has_none = False

    @property
    def total_samples(self) -> int:
        """Number of trials of the sweep."""
        return self._spec.count_trials(self._planner.count_added, self.records.values())

    def add_configurations(self, experiments: Any) -> None:
        """Takes the experiment that the trials belong to; Tune calls it once, at the start."""
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]
        trials = {
            record.id: self._create_trial(record, record.config(self._spec))
            for record in self.records.values()
        }
        self._template.memory.add_recorded(trial.config for trial in trials.values())
        self._restore(trials)
        self._planner.add_recorded(self.records.values(), self._read_rows)
        # Paused ones last: they need no slot, and their scheduler may choose one at any time.
        self._recorded.extend(sorted(trials.values(), key=lambda t: t.status == Trial.PAUSED))

    def next_trial(self) -> Trial | None:
        """Returns recorded trials, then new ones; None at the limit or if there are no more."""
        if self._recorded:
            first = self._recorded[0]
            if first.is_finished():
                return self._recorded.popleft()
            if first.status == Trial.PAUSED or self._slots_taken < self.limit:
                return self._admit(self._recorded.popleft())
            return None
        is_full = self._slots_taken >= self.limit
        if super().is_finished() or self._admission.switch.reason or is_full:
            return None
        planned = self._planner.next_trial(self.records.values())
        self._has_none = planned is None
        if planned is not None:
            with self._admission.switch.on_full_disk():
                return self._begin(self._record_trial(planned))
        return None

    def running_epoch(self, trial_id: str) -> int | None:
        """Returns the epoch that a trial is training; None for one that waits.

        A trial that is saving usually trains on; one that is about to pause cannot be told apart.
        """
        trial = self._live.get(trial_id)
        if trial is None or trial.status != Trial.RUNNING:
            return None
        last: int = (trial.last_result or {}).get("epoch", 0)
        return last + 1

    @property
    def is_idle(self) -> bool:
        """Whether there was no trial to return although slots were free."""
        return not self._recorded and (self._has_none or self.is_finished())

    def change_spec(self, spec: SearchSpec, limit: int) -> None:
        """Takes the search file with other settings.

        Args:
            spec: The search file.
            limit: Most live trials. If it is larger than before, trials that start from now on
                reserve only what they need, so that more of them fit.
        """
        self._spec = spec
        self._planner.change_spec(spec)
        settings = {**self._template.settings, **keep_settings(spec)}
        self._template = replace(self._template, settings=settings)
        share = {key: self._template.settings[key] for key in ("cpu", "gpu")}
        if limit > self.limit and share["gpu"] < self.reservation.share["gpu"]:
            self.reservation = Reservation(share)
        self.limit = limit
        self._has_none = False

    def add(self, configuration: AddedConfiguration) -> None:
        """Adds a configuration by hand; its trials come next."""
        self._planner.add(configuration, self.records.values())
        self._has_none = False

    def suggest(self) -> tuple[int, Mapping[str, Any]] | None:
        """Returns the number and values of the next suggestion; None if there is none."""
        return self._planner.reserve(self.records.values())

    def note_reserved(self, number: int) -> None:
        """Keeps the number of a suggestion from the sweep's own trials."""
        self._planner.note_reserved(number)

    def retry(self, record: TrialRecord, restore: Callable[[SweepTrial], None]) -> None:
        """Gives Tune a failed trial once more, as a new object with its old id.

        Args:
            record: The trial, which is not marked as ended any more.
            restore: Lets Tune restore the object from the trial's checkpoint.
        """
        trial = self._create_trial(record, record.config(self._spec))
        restore(trial)
        self._recorded.append(trial)
        self._planner.on_retry(record, self.records.values())
        self._has_none = False

    def _read_rows(self, record: TrialRecord) -> list[dict[str, Any]]:
        return read_rows(self._layout.directory / record.directory / METRICS_FILE)

    @property
    def _slots_taken(self) -> int:
        """Trials that hold a slot or wait for one; those that wait for other trials do not."""
        return sum(not self._admission.is_waiting(trial) for trial in self._live.values())

    def _begin(self, trial: SweepTrial) -> SweepTrial:
        """Admits a new trial; one that is skipped has ended for the searcher and Tune."""
        record = self.records[trial.trial_id]
        if record.state not in ENDED:
            return self._admit(trial)
        trial.set_status(Trial.TERMINATED)
        self._planner.on_trial_end(record, self.records.values(), failed=True)
        return trial

    def _admit(self, trial: SweepTrial) -> SweepTrial:
        reservation = self.reservation
        if reservation is not self._admission.reservation:
            trial.reserve(reservation.share)
        elif sum(other.has_whole_gpu for other in self._live.values()) < reservation.alone:
            trial.reserve({**reservation.share, "gpu": 1.0})
        self._live[trial.trial_id] = trial
        return trial

    def _record_trial(self, planned: PlannedTrial) -> SweepTrial:
        number = len(self.records)
        config = self._spec.trial_config(
            planned.values, number, planned.repeat, planned.seed_offset
        )
        # First: a recorded trial without a split would be taken for one of an older version.
        self._template.splits.settings(config)
        trial_id = planned.id or secrets.token_hex(ID_BYTES)
        name = automatic_name(config, datetime.now())
        record = TrialRecord(
            id=trial_id,
            number=number,
            directory=f"{name}_{trial_id}",
            values=dict(planned.values),
            changes=self._spec.fold_of(config),
            configuration=planned.configuration,
            repeat=planned.repeat,
            final=planned.final,
            added=planned.added,
            seed_offset=planned.seed_offset,
            weights=planned.weights,
        )
        if self._template.memory.prepare(record, config.to_dict()):
            config = record.config(self._spec)
        self._layout.write_trial(record)
        self.records[trial_id] = record
        return self._create_trial(record, config)

    def _create_trial(self, record: TrialRecord, training: TrainConfig) -> SweepTrial:
        template = self._template
        config = (training if self._has_cache else without_cache(training)).to_dict()
        for key in template.mutated:  # schedulers change keys at the top only
            config[key] = pop_dotted(config, key)
        config[SETTINGS] = {
            **template.settings,
            SPLIT: template.splits.settings(training),
            "sampled": list(record.current),
            "mutated": list(template.mutated),
        }
        if record.weights is not None:
            path = self._layout.weights_file(record.configuration_id)
            config[SETTINGS][WEIGHTS] = str(path.relative_to(self._layout.directory))
        return new_trial(
            self._experiment,
            record,
            config,
            on_failure=template.on_failure,
            num_to_keep=template.num_to_keep,
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Frees the trial's slot and reports its score to the searcher."""
        if self._admission.switch.reason and result is None and not error:
            return  # released by a pausing sweep; it is resumed with the sweep
        self._live.pop(trial_id, None)
        failed = error or has_diverged(result or {})
        self._planner.on_trial_end(self.records[trial_id], self.records.values(), failed=failed)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Reports the metric of an epoch to the searcher."""
        self._planner.on_epoch(self.records[trial_id], result)

    def is_finished(self) -> bool:
        """Whether there are no more trials to return."""
        if super().is_finished() or self._admission.switch.reason:
            return True
        return self.is_complete and not self._recorded

    @property
    def is_complete(self) -> bool:
        """Whether every trial of the sweep has been created."""
        return self._planner.is_complete(self.records.values())


def build_settings(
    spec: SearchSpec, share: Mapping[str, float], *, allow_custom_model: bool
) -> dict[str, Any]:
    """Returns what every trial has in its config under `SETTINGS`.

    Args:
        spec: The search file.
        share: CPUs and GPUs of one trial.
        allow_custom_model: Whether trials may import the user's own code.
    """
    return {
        **share,
        **keep_settings(spec),
        "allow_custom_model": allow_custom_model,
        "code_directories": code_directories() if allow_custom_model else [],
    }


def keep_settings(spec: SearchSpec) -> dict[str, Any]:
    """Returns what trials need of the search file's `keep`, for their config under `SETTINGS`."""
    keep = spec.keep
    return {
        "keep_epochs": None if keep.epochs == "all" else keep.epochs,
        "min_free_gib": keep.min_free_gib,
    }

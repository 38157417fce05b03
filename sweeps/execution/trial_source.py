"""Hands trials to Tune: the values are the searcher's, the records the layout's.

Tune's own searchers name trials at random, count samples per process and forget them with it.
This source records a trial on disk before Tune hears of it, keeps the concurrency limit, and in a
resumed sweep first hands back every recorded trial under its old id and in its old directory.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.cluster.placement import Booking
from sweeps.execution.recorder import diverged
from sweeps.schedulers.replay import Unasked
from sweeps.search.searcher import Searcher
from sweeps.search.trial_planner import Copies, Planned
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout, TrialRecord, value_at
from sweeps.trials.pause import PauseSwitch
from sweeps.trials.trial import OnFailure, SweepTrial, new_trial
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.names import METRICS_FILE, automatic_name
from trainable.config import parse_config
from trainable.trial_settings import SETTINGS

ID_BYTES = 4

Rebuild = Callable[[dict[str, SweepTrial]], None]


class TrialSource(SearchAlgorithm):
    """Tune's source of trials.

    Args:
        spec: The resolved search file.
        layout: Where trials are recorded.
        searcher: Proposes values; knows of no trial of this sweep yet.
        records: Id -> record of the trials that exist already, in order of creation; new ones
            are added.
        switch: Nothing new starts in a pausing sweep.
        settings: What every trial gets under `classifier.SETTINGS`.
        mutated: Keys that the scheduler changes in mid-training. A trial's config has them once
            more at its top, dotted, where Tune's schedulers look for them.
        limit: Trials that may be live at once.
        booking: What they book of the cluster.
        waits: Whether the scheduler keeps a trial paused, which then takes nobody's place.
        kept: How many of Tune's own checkpoint directories a trial keeps.
        on_failure: Decides what follows a trial's failure.
        score: Reads a trial's metrics from its files when it has ended; None if it has none.
        rebuild: Given the recorded trials, made anew, before Tune's first step.
    """

    def __init__(
        self,
        spec: SearchSpec,
        layout: SweepLayout,
        searcher: Searcher,
        records: dict[str, TrialRecord],
        *,
        switch: PauseSwitch,
        settings: dict[str, Any],
        mutated: tuple[str, ...],
        limit: int,
        booking: Booking,
        waits: Callable[[Trial], bool],
        kept: int,
        on_failure: OnFailure,
        score: Callable[[TrialRecord], list[float] | None],
        rebuild: Rebuild,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._switch = switch
        self._settings = settings
        self._mutated = mutated
        self.limit = limit
        self._booking = booking
        self._waits = waits
        self._kept = kept
        self._on_failure = on_failure
        self._rebuild = rebuild
        self._experiment: Any = None
        self._waiting: deque[SweepTrial] = deque()
        self._live: dict[str, SweepTrial] = {}
        self.searcher = Unasked()
        self._copies = Copies(spec, searcher, score)
        self.records = records

    @property
    def total_samples(self) -> int:
        """Trials the sweep has in all."""
        return self._spec.trials

    def add_configurations(self, experiments: Any) -> None:
        """Learns the experiment that its trials belong to; Tune calls it once, before all else."""
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]
        trials = {record.id: self._trial(record) for record in self.records.values()}
        self._rebuild(trials)
        self._copies.tell_recorded(self.records.values(), self._rows)
        # Paused ones last: they need no place, and their scheduler may call for one at any time.
        self._waiting.extend(sorted(trials.values(), key=lambda t: t.status == Trial.PAUSED))

    def next_trial(self) -> Trial | None:
        """A recorded trial, then new ones; None at the limit or when there are no more."""
        if self._waiting:
            first = self._waiting[0]
            if first.is_finished():
                return self._waiting.popleft()
            if first.status == Trial.PAUSED or self._taken < self.limit:
                return self._taking(self._waiting.popleft())
            return None
        if self._finished or self._switch.reason or self._taken >= self.limit:
            return None
        found = self._copies.following(self.records.values())
        return None if found is None else self._taking(self._new(found))

    def _rows(self, record: TrialRecord) -> list[dict[str, Any]]:
        return read_rows(self._layout.directory / record.directory / METRICS_FILE)

    @property
    def _taken(self) -> int:
        """Trials that hold a slot or wait for one; those that wait for others do not."""
        return sum(not self._waits(trial) for trial in self._live.values())

    def _taking(self, trial: SweepTrial) -> SweepTrial:
        if sum(other.is_alone for other in self._live.values()) < self._booking.alone:
            trial.book({**self._booking.share, "gpu": 1.0})
        self._live[trial.trial_id] = trial
        return trial

    def _new(self, planned: Planned) -> SweepTrial:
        number = len(self.records)
        config = self._spec.trial_config(planned.values, number, planned.repeat)
        trial_id = secrets.token_hex(ID_BYTES)
        name = automatic_name(parse_config(config), datetime.now())
        record = TrialRecord(
            id=trial_id,
            number=number,
            directory=f"{name}_{trial_id}",
            values=dict(planned.values),
            configuration=planned.configuration,
            repeat=planned.repeat,
            final=planned.final,
        )
        self._layout.write_trial(record)
        self.records[trial_id] = record
        return self._trial(record)

    def _trial(self, record: TrialRecord) -> SweepTrial:
        values = {**record.current, **record.changes}
        config = self._spec.trial_config(values, record.number, record.repeat)
        settings = {**self._settings, "sampled": list(record.current)}
        settings["mutated"] = list(self._mutated)
        config.update({key: value_at(config, key) for key in self._mutated})
        config[SETTINGS] = settings
        return new_trial(
            self._experiment, record, config, on_failure=self._on_failure, kept=self._kept
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Frees the trial's slot and tells the searcher its score."""
        if self._switch.reason and result is None and not error:
            return  # a pausing sweep lets go of a waiting trial; it will come back
        self._live.pop(trial_id, None)
        failed = error or diverged(result or {})
        self._copies.ended(self.records[trial_id], self.records.values(), failed=failed)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tells the searcher an epoch's metric."""
        self._copies.reported(self.records[trial_id], result)

    def is_finished(self) -> bool:
        """Whether no trial will come any more."""
        if self._finished or self._switch.reason:
            return True
        return self.complete and not self._waiting

    @property
    def complete(self) -> bool:
        """Whether every trial that the sweep is to have has been made."""
        return self._copies.complete(self.records.values())

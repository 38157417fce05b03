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

from sweeps.layout import ENDED, SweepLayout, TrialRecord, value_at
from sweeps.pause import PauseSwitch
from sweeps.search import Searcher
from sweeps.spec import SearchSpec
from sweeps.sweep_trial import OnFailure, SweepTrial, new_trial
from trainable.classifier import SETTINGS
from trainable.config import parse_config
from trainable.experiment import automatic_name

ID_BYTES = 4

Rebuild = Callable[[dict[str, SweepTrial]], None]


class TrialSource(SearchAlgorithm):
    """Tune's source of trials.

    Args:
        spec: The resolved search file.
        layout: Where trials are recorded.
        searcher: Proposes values; has been told every recorded trial.
        records: Id -> record of the trials that exist already, in order of creation; new ones
            are added.
        switch: Nothing new starts in a pausing sweep.
        settings: What every trial gets under `classifier.SETTINGS`.
        mutated: Keys that the scheduler changes in mid-training. A trial's config has them once
            more at its top, dotted, where Tune's schedulers look for them.
        limit: Trials that may be live at once.
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
        kept: int,
        on_failure: OnFailure,
        score: Callable[[TrialRecord], list[float] | None],
        rebuild: Rebuild,
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._searcher = searcher
        self._switch = switch
        self._settings = settings
        self._mutated = mutated
        self.limit = limit
        self._kept = kept
        self._on_failure = on_failure
        self._score = score
        self._rebuild = rebuild
        self._experiment: Any = None
        self._waiting: deque[SweepTrial] = deque()
        self._live: set[str] = set()
        self._exhausted = False
        self.records = records

    @property
    def total_samples(self) -> int:
        """Trials the sweep has in all."""
        return self._spec.tune.num_samples

    def add_configurations(self, experiments: Any) -> None:
        """Learns the experiment that its trials belong to; Tune calls it once, before all else."""
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]
        trials = {record.id: self._trial(record) for record in self.records.values()}
        self._rebuild(trials)
        self._waiting.extend(trials.values())

    def next_trial(self) -> Trial | None:
        """A recorded trial, then new ones; None at the limit or when there are no more."""
        if self._waiting:
            if self._waiting[0].is_finished():
                return self._waiting.popleft()
            if len(self._live) < self.limit:
                trial = self._waiting.popleft()
                self._live.add(trial.trial_id)
                return trial
            return None
        if self._finished or self._switch.reason or len(self._live) >= self.limit:
            return None
        return self._new()

    def _new(self) -> SweepTrial | None:
        number = len(self.records)
        values = self._searcher.suggest(number) if number < self.total_samples else None
        if values is None:
            self._exhausted = True
            return None
        config = parse_config(self._spec.trial_config(values, number))
        trial_id = secrets.token_hex(ID_BYTES)
        directory = f"{automatic_name(config, datetime.now())}_{trial_id}"
        record = TrialRecord(id=trial_id, number=number, directory=directory, values=values)
        self._layout.write_trial(record)
        self.records[trial_id] = record
        self._live.add(trial_id)
        return self._trial(record)

    def _trial(self, record: TrialRecord) -> SweepTrial:
        values = {**record.current, **record.changes}
        config = self._spec.trial_config(values, record.number)
        settings = {**self._settings, "sampled": list(record.current)}
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
        self._live.discard(trial_id)
        record = self.records[trial_id]
        score = None if error else self._score(record)
        self._searcher.tell(record.number, record.values, score)

    def is_finished(self) -> bool:
        """Whether no trial will come any more."""
        if self._finished or self._switch.reason:
            return True
        return self.complete and not self._waiting

    @property
    def complete(self) -> bool:
        """Whether every trial that the sweep is to have has been made."""
        return self._exhausted or len(self.records) >= self.total_samples


def tell_recorded(
    searcher: Searcher,
    records: list[TrialRecord],
    score: Callable[[TrialRecord], list[float] | None],
) -> None:
    """Tells a new searcher what earlier processes learnt, in order of creation."""
    for record in records:
        if record.state in ENDED:
            failed = record.state == "failed"
            searcher.tell(record.number, record.values, None if failed else score(record))
        else:
            searcher.restore(record.number, record.values)

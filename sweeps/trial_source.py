"""Hands trials to Tune, one at a time: the values are the searcher's, the records the layout's.

Tune's own searchers name trials at random, count samples per run and forget them with the
process. This one records a trial on disk before Tune hears of it, under an id and a directory of
its own, and keeps the concurrency limit.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ray.tune.experiment import Experiment as TuneExperiment
from ray.tune.experiment import Trial
from ray.tune.search.search_algorithm import SearchAlgorithm

from sweeps.layout import SweepLayout, TrialRecord
from sweeps.search import Searcher
from sweeps.spec import SearchSpec
from trainable.classifier import SETTINGS
from trainable.config import parse_config
from trainable.experiment import automatic_name

ID_BYTES = 4


class TrialSource(SearchAlgorithm):  # type: ignore[misc]
    """Tune's source of trials.

    Args:
        spec: The resolved search file.
        layout: Where trials are recorded.
        searcher: Proposes values.
        settings: What every trial gets under `classifier.SETTINGS`.
        limit: Trials that may be live at once.
        score: Reads a trial's score from its files when it has ended; None if it has none.
    """

    def __init__(
        self,
        spec: SearchSpec,
        layout: SweepLayout,
        searcher: Searcher,
        *,
        settings: dict[str, Any],
        limit: int,
        score: Callable[[TrialRecord], float | None],
    ) -> None:
        self._spec = spec
        self._layout = layout
        self._searcher = searcher
        self._settings = settings
        self.limit = limit
        self._score = score
        self._experiment: TuneExperiment | None = None
        self._live: set[str] = set()
        self._exhausted = False
        self.records: dict[str, TrialRecord] = {}

    @property
    def total_samples(self) -> int:
        """Trials the sweep has in all."""
        return self._spec.tune.num_samples

    def add_configurations(self, experiments: Any) -> None:
        """Learns the experiment that its trials belong to; Tune calls it once."""
        (self._experiment,) = experiments if isinstance(experiments, list) else [experiments]

    def next_trial(self) -> Trial | None:
        """A new trial, or None while the limit is reached or when there are no more."""
        if self._finished or len(self._live) >= self.limit:
            return None
        number = len(self.records)
        values = self._searcher.suggest(number) if number < self.total_samples else None
        if values is None:
            self._exhausted = True
            return None
        config = self._spec.trial_config(values, number)
        trial_id = secrets.token_hex(ID_BYTES)
        directory = f"{automatic_name(parse_config(config), datetime.now())}_{trial_id}"
        record = TrialRecord(id=trial_id, number=number, directory=directory, values=values)
        self._layout.write_trial(record)
        self.records[trial_id] = record
        self._live.add(trial_id)
        return self._trial(record, config)

    def _trial(self, record: TrialRecord, config: dict[str, Any]) -> Trial:
        assert self._experiment is not None, "Tune adds the experiment before it asks for trials"
        spec = self._experiment.spec
        return Trial(
            spec["run"],
            trial_id=record.id,
            config={**config, SETTINGS: {**self._settings, "sampled": list(record.values)}},
            evaluated_params=record.values,
            experiment_tag=record.id,
            storage=spec["storage"],
            checkpoint_config=spec["checkpoint_config"],
            max_failures=spec.get("max_failures", 0),
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: record.directory,
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Frees the trial's slot and tells the searcher its score."""
        del result
        self._live.discard(trial_id)
        record = self.records[trial_id]
        score = None if error else self._score(record)
        self._searcher.tell(record.number, record.values, score)

    def is_finished(self) -> bool:
        """Whether no trial will come any more."""
        return self._finished or self._exhausted or len(self.records) >= self.total_samples

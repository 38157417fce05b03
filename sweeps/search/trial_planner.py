"""Decides which trial comes next: new values, the last ones again, or those of a winner."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from sweeps.search.searcher import Searcher
from sweeps.spec.search_algorithms import BOHBSearch
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import ENDED, TrialRecord
from trainable.artifacts.metrics import has_diverged

ReadScores = Callable[[TrialRecord], list[float] | None]
"""Reads the metrics of an ended trial from its files; None if it has none."""

ReadRows = Callable[[TrialRecord], list[dict[str, Any]]]
"""Reads the metrics of a trial from its files, one row per epoch."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that is to be created."""

    values: Mapping[str, Any]
    configuration: int | None
    """The number of its configuration; None where every trial is its own configuration."""
    repeat: int
    final: bool
    """Whether it is one of `tune.final`."""


class TrialPlanner:
    """Plans a sweep's trials and reports them to its searcher.

    A configuration is tried `tune.repeats` times; the searcher gets the mean when the last of
    these trials ends.

    Args:
        spec: The resolved search file.
        searcher: A searcher without trials of this sweep.
        read_scores: See `ReadScores`.
    """

    def __init__(self, spec: SearchSpec, searcher: Searcher, read_scores: ReadScores) -> None:
        self._spec = spec
        self._searcher = searcher
        self._read_scores = read_scores
        self._exhausted = False
        self._ranked: list[int] | None = None
        self._counted_records = 0
        """Number of records, which are only ever added, that the next two attributes include."""
        self._search_trials = 0
        """Number of trials without those of `final`."""
        self._trials_of: dict[int, list[TrialRecord]] = {}
        """Configuration -> its trials without those of `final`."""

    def next_trial(self, records: Collection[TrialRecord]) -> PlannedTrial | None:
        """Returns the trial after the given ones; None if none can be created now.

        Args:
            records: Every trial, in order of creation.
        """
        if self._is_search_planned(records):
            return self._next_final(records)
        tune = self._spec.tune
        configuration, repeat = divmod(self._search_trials, tune.repeats)
        if repeat:
            values = self._trials_of[configuration][-1].values
            return PlannedTrial(values, configuration, repeat, final=False)
        suggested = self._searcher.suggest(configuration)
        if suggested is None:
            self._exhausted = True
            return self._next_final(records)
        has_copies = tune.repeats > 1 or tune.final is not None
        return PlannedTrial(suggested, configuration if has_copies else None, 0, final=False)

    def is_complete(self, records: Collection[TrialRecord]) -> bool:
        """Whether every trial of the sweep has been created."""
        if not self._is_search_planned(records):
            return False
        if self._spec.tune.final is None:
            return True
        return _have_ended(records) and self._next_final(records) is None

    def on_trial_end(
        self, record: TrialRecord, records: Collection[TrialRecord], *, failed: bool
    ) -> None:
        """Tells the searcher a configuration's mean scores when the last of its trials ends.

        Args:
            record: The trial that ends now.
            records: Every trial.
            failed: Whether this trial failed.
        """
        if record.final:
            return
        self._count_trials(records)
        configuration = record.configuration_id
        trials = self._trials_of[configuration]
        others = [trial for trial in trials if trial is not record]
        if len(trials) < self._spec.tune.repeats or not _have_ended(others):
            return
        good = [trial for trial in others if trial.state != "failed"] + [record] * (not failed)
        scores = average_scores(good, self._read_scores).get(configuration)
        self._searcher.tell(configuration, record.values, scores)

    def on_epoch(self, record: TrialRecord, row: Mapping[str, Any]) -> None:
        """Reports one epoch of a trial to the searcher."""
        value = row.get(self._spec.tune.metric)
        if not record.final and not has_diverged(row) and isinstance(value, int | float):
            self._searcher.report(record.configuration_id, int(row["epoch"]), float(value))

    def add_recorded(self, records: Collection[TrialRecord], read_rows: ReadRows) -> None:
        """Adds the trials of earlier processes to the searcher, in order of creation.

        Args:
            records: Every trial.
            read_rows: See `ReadRows`.
        """
        for record in records:
            if record.final:
                continue
            if record.repeat == 0:
                self._searcher.add_running(record.configuration_id, record.values)
            if isinstance(self._spec.tune.search_alg, BOHBSearch):
                for row in read_rows(record):
                    self.on_epoch(record, row)
            if record.state in ENDED and record.repeat == self._spec.tune.repeats - 1:
                self.on_trial_end(record, records, failed=record.state == "failed")

    def _is_search_planned(self, records: Collection[TrialRecord]) -> bool:
        """Whether all trials but those of `final` have been created."""
        tune = self._spec.tune
        self._count_trials(records)
        return self._exhausted or self._search_trials >= tune.num_samples * tune.repeats

    def _count_trials(self, records: Collection[TrialRecord]) -> None:
        """Counts new records only: Tune calls this at every step, and there may be thousands."""
        if len(records) == self._counted_records:
            return
        for record in islice(records, self._counted_records, None):
            if not record.final:
                self._search_trials += 1
                self._trials_of.setdefault(record.configuration_id, []).append(record)
        self._counted_records = len(records)

    def _next_final(self, records: Collection[TrialRecord]) -> PlannedTrial | None:
        """Returns the next trial of `final`, once every trial of the search has ended."""
        tune = self._spec.tune
        searched = [record for record in records if not record.final]
        if tune.final is None or not _have_ended(searched):
            return None
        if self._ranked is None:  # once: it reads the metrics of every trial
            self._ranked = self._rank_configurations(searched)
        finals = [(record.configuration_id, record.repeat) for record in records if record.final]
        begun = [configuration for configuration, _ in finals]
        winners = list(dict.fromkeys([*begun, *self._ranked]))[: tune.final.top]
        values = {record.configuration_id: record.values for record in searched}
        for winner in winners:
            for repeat in range(tune.repeats, tune.repeats + tune.final.repeats):
                if (winner, repeat) not in finals:
                    return PlannedTrial(values[winner], winner, repeat, final=True)
        return None

    def _rank_configurations(self, records: Iterable[TrialRecord]) -> list[int]:
        """Returns the configurations of ended trials, best first."""
        good = (record for record in records if record.state != "failed")
        scores = average_scores(good, self._read_scores)
        sign = 1 if self._spec.tune.mode == "max" else -1
        return sorted(scores, key=lambda number: (-sign * scores[number][0], number))


def _have_ended(records: Iterable[TrialRecord]) -> bool:
    return all(record.state in ENDED for record in records)


def average_scores(
    records: Iterable[TrialRecord], read_scores: ReadScores
) -> dict[int, list[float]]:
    """Returns the mean of each metric per configuration, without those that have no scores."""
    rows: dict[int, list[list[float]]] = {}
    for record in records:
        scores = read_scores(record)
        if scores is not None:
            rows.setdefault(record.configuration_id, []).append(scores)
    return {
        configuration: [fmean(column) for column in zip(*scores, strict=True)]
        for configuration, scores in rows.items()
    }

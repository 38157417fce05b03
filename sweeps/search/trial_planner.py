"""Decides which trial comes next: new values, the last ones again, or those of a winner."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from sweeps.search.searcher import Searcher
from sweeps.space.membership import contains
from sweeps.spec.search_algorithms import BOHBSearch
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import ENDED, StartWeights, TrialRecord
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
    id: str | None = None
    """Its id, if that was drawn when its configuration was added by hand."""
    added: bool = False
    """Whether its configuration was added by hand."""
    seed_offset: int = 0
    """Added to its seed as well."""
    weights: StartWeights | None = None
    """The weights that it starts from, if not those of its config."""


@dataclass(frozen=True)
class AddedConfiguration:
    """A configuration that was added by hand."""

    values: Mapping[str, Any]
    number: int
    """The number of the suggestion that it is, or one from `ADDED` on."""
    trials: Sequence[str]
    """Ids of its trials, of which there are `tune.repeats`."""
    seed_offset: int = 0
    """Added to the seeds of its trials as well, if other trials have the same values."""
    weights: StartWeights | None = None
    """The weights that its trials start from, if not those of their config."""


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
        self._added: list[AddedConfiguration] = []
        """The configurations that were added by hand and may have trials to be created."""
        self.count_added = 0
        """Number of configurations that were added by hand."""
        self._reserved = -1
        """The largest number of a suggestion that was asked for by hand."""
        self._counted_records = 0
        """Number of records, which are only ever added, that the next three attributes include."""
        self._search_trials = 0
        """Number of trials without those of `final` and those that were added by hand."""
        self._last = -1
        """The largest number of a configuration that the sweep has planned itself."""
        self._trials_of: dict[int, list[TrialRecord]] = {}
        """Configuration -> its trials without those of `final`."""

    def next_trial(self, records: Collection[TrialRecord]) -> PlannedTrial | None:
        """Returns the trial after the given ones; None if none can be created now.

        Args:
            records: Every trial, in order of creation.
        """
        is_planned = self._is_search_planned(records)
        if (added := self._next_added()) is not None:
            return added
        if is_planned:
            return self._next_final(records)
        repeat = self._search_trials % self._spec.tune.repeats
        if repeat:
            values = self._trials_of[self._last][-1].values
            return self._plan(values, self._last, repeat, records)
        configuration = self._next_number
        suggested = self._searcher.suggest(configuration)
        if suggested is None:
            self._exhausted = True
            return self._next_final(records)
        return self._plan(suggested, configuration, 0, records)

    def _plan(
        self,
        values: Mapping[str, Any],
        configuration: int,
        repeat: int,
        records: Collection[TrialRecord],
    ) -> PlannedTrial:
        """Returns a trial of a configuration that the searcher has suggested."""
        tune = self._spec.tune
        differs = configuration != len(records) or tune.repeats > 1 or tune.final is not None
        return PlannedTrial(
            values,
            configuration if differs else None,
            repeat,
            final=False,
            seed_offset=self._seed_offset(records),
        )

    def _seed_offset(self, records: Collection[TrialRecord]) -> int:
        """Returns what takes added trials out of the seeds of others.

        Where only seeds differ they follow from the trial's number.
        """
        return 0 if self._spec.space else -sum(record.added for record in records)

    def add(self, configuration: AddedConfiguration, records: Collection[TrialRecord]) -> None:
        """Adds a configuration by hand; its trials come next.

        Args:
            configuration: The configuration.
            records: Every trial; those of the configuration that exist are not created again.
        """
        self.count_added += 1
        ids = {record.id for record in records}
        if not ids.issuperset(configuration.trials):
            self._added.append(configuration)
            self._ranked = None

    def reserve(self, records: Collection[TrialRecord]) -> tuple[int, Mapping[str, Any]] | None:
        """Returns the number and values of the next suggestion, which `note_reserved` takes.

        Returns:
            None if there are no more suggestions.
        """
        self._count_trials(records)
        number = self._next_number
        values = self._searcher.preview(number)
        return None if values is None else (number, values)

    def note_reserved(self, number: int) -> None:
        """Keeps the number of a suggestion from the sweep's own trials."""
        self._reserved = max(self._reserved, number)

    def change_spec(self, spec: SearchSpec) -> None:
        """Replaces the search file by one that differs in its settings, such as `num_samples`."""
        self._spec = spec
        self._searcher.change_spec(spec)
        self._exhausted = False
        self._ranked = None

    @property
    def _next_number(self) -> int:
        return 1 + max(self._last, self._reserved)

    def _next_added(self) -> PlannedTrial | None:
        """Returns the next trial of a configuration that was added by hand."""
        while self._added:
            first = self._added[0]
            trials = self._trials_of.get(first.number, ())
            if len(trials) < len(first.trials):
                repeat = len(trials)
                return PlannedTrial(
                    first.values,
                    first.number,
                    repeat,
                    final=False,
                    id=first.trials[repeat],
                    added=True,
                    seed_offset=first.seed_offset,
                    weights=first.weights,
                )
            self._added.pop(0)
        return None

    def _is_told(self, record: TrialRecord) -> bool:
        """Whether the searcher gets a trial's results: it must be able to suggest such a trial."""
        if not record.added:
            return True
        spec = self._spec
        return (
            record.weights is None
            and self._searcher.learns
            and contains(spec.space, spec.constraints, record.values)
        )

    def is_complete(self, records: Collection[TrialRecord]) -> bool:
        """Whether every trial of the sweep has been created."""
        if not self._is_search_planned(records) or self._next_added() is not None:
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
        self._count_trials(records)
        if record.final or not self._is_told(record):
            return
        configuration = record.configuration_id
        trials = self._trials_of[configuration]
        others = [trial for trial in trials if trial is not record]
        if len(trials) < self._spec.tune.repeats or not _have_ended(others):
            return
        good = [trial for trial in others if trial.state != "failed"] + [record] * (not failed)
        scores = average_scores(good, self._read_scores).get(configuration)
        self._searcher.tell(configuration, record.values, scores)

    def on_retry(self, record: TrialRecord, records: Collection[TrialRecord]) -> None:
        """Takes back that the configuration of a failed trial, which is retried, has ended.

        Args:
            record: The trial.
            records: Every trial.
        """
        self._count_trials(records)
        if not record.final and self._is_told(record):
            self._searcher.add_running(record.configuration_id, record.values)

    def on_epoch(self, record: TrialRecord, row: Mapping[str, Any]) -> None:
        """Reports one epoch of a trial to the searcher."""
        value = row.get(self._spec.tune.metric)
        if record.added or record.final:  # only BOHB reads it, whose sweeps get no added trials
            return
        if not has_diverged(row) and isinstance(value, int | float):
            self._searcher.report(record.configuration_id, int(row["epoch"]), float(value))

    def add_recorded(self, records: Collection[TrialRecord], read_rows: ReadRows) -> None:
        """Adds the trials of earlier processes to the searcher, in order of creation.

        Args:
            records: Every trial.
            read_rows: See `ReadRows`.
        """
        self._count_trials(records)
        for record in records:
            if record.final or not self._is_told(record):
                continue
            if not record.added and record.repeat == 0:
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
            if record.final:
                continue
            number = record.configuration_id
            self._trials_of.setdefault(number, []).append(record)
            if not record.added:
                self._search_trials += 1
                self._last = max(self._last, number)
            elif record.repeat == 0 and self._is_told(record):
                self._searcher.add_running(number, record.values, after=self._last)
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
        by_configuration = {record.configuration_id: record for record in searched}
        for winner in winners:
            for repeat in range(tune.repeats, tune.repeats + tune.final.repeats):
                if (winner, repeat) not in finals:
                    first = by_configuration[winner]
                    added = first.added
                    return PlannedTrial(
                        first.values,
                        winner,
                        repeat,
                        final=True,
                        added=added,
                        seed_offset=first.seed_offset if added else self._seed_offset(records),
                        weights=first.weights,
                    )
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

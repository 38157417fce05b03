"""Which trial comes next: new values, another copy of the last ones, or a winner once more."""

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

Score = Callable[[TrialRecord], list[float] | None]
"""Reads a trial's metrics from its files when it has ended; None if it has none."""

Rows = Callable[[TrialRecord], list[dict[str, Any]]]


@dataclass(frozen=True)
class Planned:
    """A trial that is to be made."""

    values: Mapping[str, Any]
    configuration: int | None
    repeat: int
    final: bool


class Copies:
    """The plan of a sweep's trials, and what its searcher is told of them.

    Args:
        spec: The resolved search file.
        searcher: Knows nothing yet of this sweep's trials.
        score: See `Score`.
    """

    def __init__(self, spec: SearchSpec, searcher: Searcher, score: Score) -> None:
        self._spec = spec
        self._searcher = searcher
        self._score = score
        self._exhausted = False
        self._ranked: list[int] | None = None
        self._counted = 0
        """How many of the records, which only grow in number, the next two know of."""
        self._searched = 0
        self._of_search: dict[int, list[TrialRecord]] = {}
        """Configuration -> its trials; like the number, without those of `final`."""

    def following(self, records: Collection[TrialRecord]) -> Planned | None:
        """The trial after those that there are; None if none can be made now.

        Args:
            records: Every trial, in order of creation.
        """
        if self._all_searched(records):
            return self._next_final(records)
        tune = self._spec.tune
        configuration, repeat = divmod(self._searched, tune.repeats)
        if repeat:
            values = self._of_search[configuration][-1].values
            return Planned(values, configuration, repeat, final=False)
        suggested = self._searcher.suggest(configuration)
        if suggested is None:
            self._exhausted = True
            return self._next_final(records)
        named = configuration if tune.repeats > 1 or tune.final else None
        return Planned(suggested, named, 0, final=False)

    def complete(self, records: Collection[TrialRecord]) -> bool:
        """Whether every trial that the sweep is to have has been made."""
        if not self._all_searched(records):
            return False
        if self._spec.tune.final is None:
            return True
        return _all_ended(records) and self._next_final(records) is None

    def ended(
        self, record: TrialRecord, records: Collection[TrialRecord], *, failed: bool
    ) -> None:
        """Tells the searcher of a configuration when the last of its trials ends.

        Args:
            record: The trial that ends now.
            records: Every trial.
            failed: Whether this one did not come to its end.
        """
        if record.final:
            return
        self._count(records)
        copies = self._of_search[record.configuration_id]
        others = [copy for copy in copies if copy is not record]
        if len(copies) < self._spec.tune.repeats or not _all_ended(others):
            return
        good = [copy for copy in others if copy.state != "failed"] + [record] * (not failed)
        scores = means(good, self._score).get(record.configuration_id)
        self._searcher.tell(record.configuration_id, record.values, scores)

    def reported(self, record: TrialRecord, row: Mapping[str, Any]) -> None:
        """Tells the searcher one epoch of a trial."""
        value = row.get(self._spec.tune.metric)
        if not record.final and isinstance(value, int | float):
            self._searcher.report(record.configuration_id, int(row["epoch"]), float(value))

    def tell_recorded(self, records: Collection[TrialRecord], rows: Rows) -> None:
        """Tells the searcher what earlier processes learnt, in order of creation.

        Args:
            records: Every trial.
            rows: Reads a trial's metrics, a row an epoch.
        """
        for record in records:
            if record.final:
                continue
            if record.repeat == 0:
                self._searcher.restore(record.configuration_id, record.values)
            if isinstance(self._spec.tune.search_alg, BOHBSearch):
                for row in rows(record):
                    self.reported(record, row)
            if record.state in ENDED and record.repeat == self._spec.tune.repeats - 1:
                self.ended(record, records, failed=record.state == "failed")

    def _all_searched(self, records: Collection[TrialRecord]) -> bool:
        tune = self._spec.tune
        self._count(records)
        return self._exhausted or self._searched >= tune.num_samples * tune.repeats

    def _count(self, records: Collection[TrialRecord]) -> None:
        """Takes in new records; Tune asks at every step, and there may be thousands."""
        if len(records) == self._counted:
            return
        for record in islice(records, self._counted, None):
            if not record.final:
                self._searched += 1
                self._of_search.setdefault(record.configuration_id, []).append(record)
        self._counted = len(records)

    def _next_final(self, records: Collection[TrialRecord]) -> Planned | None:
        """The next copy of a winner, once every trial of the search has ended."""
        tune = self._spec.tune
        searched = [record for record in records if not record.final]
        if tune.final is None or not _all_ended(searched):
            return None
        made = {(record.configuration_id, record.repeat) for record in records if record.final}
        if (
            self._ranked is None
        ):  # once: it reads every trial's metrics, and Tune asks all the time
            self._ranked = self._ranking(searched)
        ranked = self._ranked
        begun = list(dict.fromkeys(record.configuration_id for record in records if record.final))
        winners = [*begun, *(group for group in ranked if group not in begun)][: tune.final.top]
        values = {record.configuration_id: record.values for record in searched}
        for winner in winners:
            for repeat in range(tune.repeats, tune.repeats + tune.final.repeats):
                if (winner, repeat) not in made:
                    return Planned(values[winner], winner, repeat, final=True)
        return None

    def _ranking(self, searched: Iterable[TrialRecord]) -> list[int]:
        """The configurations of ended trials, best first."""
        scores = means((r for r in searched if r.state != "failed"), self._score)
        sign = 1 if self._spec.tune.mode == "max" else -1
        return sorted(scores, key=lambda group: (-sign * scores[group][0], group))


def _all_ended(records: Iterable[TrialRecord]) -> bool:
    return all(record.state in ENDED for record in records)


def means(records: Iterable[TrialRecord], score: Score) -> dict[int, list[float]]:
    """Configuration -> the mean of each metric over its trials; without those that have none."""
    found: dict[int, list[list[float]]] = {}
    for record in records:
        scores = score(record)
        if scores is not None:
            found.setdefault(record.configuration_id, []).append(scores)
    return {
        group: [fmean(column) for column in zip(*rows, strict=True)]
        for group, rows in found.items()
    }

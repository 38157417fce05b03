"""Groups the failures of a sweep's trials by cause and message."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.results.loaded_sweep import LoadedSweep
from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import Failure
from sweeps.terminal.formatting import count_of


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one cause whose messages differ only by numbers."""

    failures: list[tuple[TrialResult, Failure]]
    """In the order of their trials' numbers."""

    @property
    def newest(self) -> Failure:
        """The failure that happened last."""
        return max((failure for _, failure in self.failures), key=lambda failure: failure.time)

    @property
    def trials(self) -> list[TrialResult]:
        """Every trial that has failed so, once."""
        return list({result.record.id: result for result, _ in self.failures}.values())

    @property
    def failed(self) -> list[TrialResult]:
        """Those that ended as failed."""
        return [result for result in self.trials if result.record.state == "failed"]


def group_failures(results: Sequence[TrialResult]) -> list[FailureGroup]:
    """Groups all failures of trials, the most frequent ones first."""
    groups: dict[tuple[str, str], list[tuple[TrialResult, Failure]]] = {}
    for result in sorted(results, key=lambda result: result.record.number):
        for failure in result.record.failures:
            key = failure.cause, re.sub(r"\d+", "0", failure.message)
            groups.setdefault(key, []).append((result, failure))
    return [FailureGroup(group) for group in sorted(groups.values(), key=len, reverse=True)]


def has_recovered(result: TrialResult) -> bool:
    """Returns whether a trial that has failures has ended well."""
    return result.record.state in {"finished", "stopped"}


def failures_note(sweep: LoadedSweep) -> str:
    """Returns a sentence about a sweep's failures."""
    groups = group_failures(sweep.results)
    failed = sum(result.record.state == "failed" for result in sweep.results)
    ended = f"{count_of(failed, 'trial')} ended as failed."
    if not groups:
        return f"{ended} No failure is recorded." if failed else "No trial has failed."
    causes = Counter[str]()
    for group in groups:
        causes[group.newest.cause] += len(group.failures)
    counts = ", ".join(f"{number} {cause}" for cause, number in causes.most_common())
    recovered = sum(has_recovered(r) for r in sweep.results if r.record.failures)
    others = f" {count_of(recovered, 'trial')} recovered by a retry." if recovered else ""
    return f"{count_of(causes.total(), 'failure')}: {counts}. {ended}{others}"

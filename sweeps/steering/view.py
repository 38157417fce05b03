"""A sweep as requests are judged by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.spec.search_spec import SearchSpec
from sweeps.steering.request import Request
from sweeps.steering.state import SteeringState
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import TrialRecord

Resolved = dict[str, Any]
"""Result of resolving an accepted request: the `values` of its judgement and answer."""

TRIAL = "trial"
"""Key under which the function of a verb returns the id of a new trial."""


@dataclass(frozen=True)
class SweepView:
    """A sweep as requests are judged by it."""

    directory: Path
    spec: SearchSpec
    """The current search file."""
    records: Mapping[str, TrialRecord]
    """Trial id -> record, in order of creation."""
    state: SteeringState
    """The state after all requests so far."""
    run_s: float | None = None
    """Seconds that the driver has run; None if no driver runs the sweep."""
    running_epoch: Callable[[str], int | None] = lambda _: None
    """Returns the epoch that a trial is training; None for one that waits."""
    suggest: Callable[[], tuple[int, Mapping[str, Any]] | None] | None = None
    """Returns the number and values of the searcher's next suggestion, None if there is none; only
    in a driver."""

    @property
    def is_live(self) -> bool:
        """Whether a driver runs the sweep."""
        return self.run_s is not None

    def record(self, request: Request) -> TrialRecord:
        """Returns the record of the request's trial.

        Raises:
            SweepError: The request names no trial of the sweep.
        """
        if request.trial is None:
            raise SweepError(f"{request.verb} needs a trial")
        record = self.records.get(request.trial)
        if record is None:
            raise SweepError(f"there is no trial {request.trial}")
        return record

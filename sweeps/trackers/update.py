"""The data that a tracker gets: the sweep once, and a trial whenever its files change."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter

from sweeps.results.trial_results import TrialResult, best_row, inherited_row
from sweeps.storage.location import join_location
from sweeps.sweep_dir.records import ENDED, TrialRecord
from trainable.artifacts.metrics import Row
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS
from trainable.trial_settings import VALUES

CURRENT = "current/"
"""Beginning of metrics that are values of the space, which PBT changes while a trial trains."""

LARGEST = sys.float_info.max

RECORD = TypeAdapter(TrialRecord)

PASSING = frozenset(
    {"stop_reason", "failure", "donor", "best_checkpoint", "best_checkpoint_location"}
)
"""Facts of a summary that a trial can lose again, when it is continued or retried."""

Fingerprint = tuple[str, ...]
"""Numbers of an epoch by which two trainings of it are told apart."""


@dataclass(frozen=True)
class SweepInfo:
    """The sweep, and where and how it is reported."""

    id: str
    """Tells the sweep apart from all others, also from one of the same name."""
    name: str
    directory: str
    """The sweep directory on this machine."""
    location: str
    """The path or URI at which the sweep can be read."""
    metric: str
    mode: str
    attributes: dict[str, str]
    """Facts about the sweep, such as its scheduler."""
    settings: dict[str, Any]
    """The tracker's section of `log_to`."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values from which an equal one can be created."""
        return asdict(self)


@dataclass(frozen=True)
class TrialUpdate:
    """A trial as it is now."""

    record: TrialRecord
    rows: list[Row]
    """All of its epochs so far."""
    has_best: bool
    """Whether it has a `best.pt`."""

    @property
    def id(self) -> str:
        """The trial's id."""
        return self.record.id

    @property
    def has_ended(self) -> bool:
        """Whether the trial has finished, was stopped or has failed."""
        return self.record.state in ENDED

    def result(self, sweep: SweepInfo) -> TrialResult:
        """Returns the trial as other parts of the project describe it."""
        directory = Path(sweep.directory) / self.record.directory
        own = best_row(self.rows, sweep.metric, sweep.mode)
        inherited = inherited_row(self.rows, sweep.metric, sweep.mode)
        return TrialResult(self.record, directory, self.rows, own, inherited)

    def summary(self, sweep: SweepInfo) -> dict[str, Any]:
        """Returns the state of the trial, its best epoch, and why and where it has ended."""
        record, best = self.record, self.result(sweep).best
        facts: dict[str, Any] = {
            "state": record.state,
            "epochs": self.rows[-1]["epoch"] if self.rows else 0,
            "stop_reason": self._stop_reason(sweep),
        }
        if best is not None:
            facts |= {"best_epoch": best["epoch"], f"best_{sweep.metric}": best[sweep.metric]}
        if self.has_best:
            path = f"{record.directory}/{CHECKPOINTS}/{BEST_FILE}"
            facts["best_checkpoint"] = path
            facts["best_checkpoint_location"] = join_location(sweep.location, path)
        if record.state == "failed" and record.failures:
            failure = record.failures[-1]
            facts["failure"] = f"{failure.cause}: {failure.message}"
        if record.lineage:
            facts["donor"] = record.lineage[-1]["donor"]
        changed = {k: v for k, v in record.current.items() if record.values.get(k) != v}
        facts |= {f"{CURRENT}{key}": value for key, value in (changed | record.changes).items()}
        return {key: value for key, value in facts.items() if value is not None}

    def _stop_reason(self, sweep: SweepInfo) -> str | None:
        if self.record.state != "stopped":
            return None
        if self.record.stop_reason is not None:
            return self.record.stop_reason
        if self.record.ended is None:
            return "the target of the sweep is reached"
        return f"scheduler {sweep.attributes.get('scheduler', '')}"


class Runs(Protocol):
    """The runs of one sweep in one tracker, written with the tracker's client."""

    def open(self) -> bool:
        """Connects, and creates the group or parent of the trials' runs unless it is there.

        Returns:
            Whether the tracker may have runs of the sweep already.
        """

    def update(self, trial: TrialUpdate) -> None:
        """Brings a trial's run up to date; creates it if it is not there.

        What the run has already is not sent again, also if another process has sent it.
        """

    def close(self, state: str) -> None:
        """Ends the connection.

        Args:
            state: The state of the sweep.
        """


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of an epoch: its numbers, and those of the values that PBT changes."""
    values = {f"{CURRENT}{key}": value for key, value in row.get(VALUES, {}).items()}
    return {
        key: value
        for key, value in {**row, **values}.items()
        if key != "epoch" and isinstance(value, int | float) and not isinstance(value, bool)
    }


def parameters_of(record: TrialRecord) -> dict[str, Any]:
    """Returns the values that a trial has started with."""
    return {"trial_number": record.number, **record.values}


def fingerprint_of(metrics: Mapping[str, Any], metric: str) -> Fingerprint:
    """Returns the fingerprint of an epoch's metrics; times do not count.

    Infinity counts as the largest number, which MLflow makes of it.
    """
    values = [metrics.get(key) for key in dict.fromkeys([metric, "train_loss", "val_loss"])]
    return tuple("" if v is None else repr(max(-LARGEST, min(LARGEST, float(v)))) for v in values)


def rows_to_send(
    trial: TrialUpdate, metric: str, sent: Mapping[int, Fingerprint]
) -> list[Row] | None:
    """Returns the epochs that a run lacks; None if it has others than the trial.

    A retry or an exploit of PBT goes back to an earlier epoch. As long as the trial trains the
    epochs after it again, the run keeps the first ones. If they turn out to be different, or are
    not trained again, the run has to be written anew.

    Args:
        trial: The trial.
        metric: The metric that ranks trials.
        sent: Epoch -> fingerprint of the epochs that the run has.
    """
    own = {row["epoch"]: fingerprint_of(row, metric) for row in trial.rows}
    last = max(own, default=0)
    if any(own.get(epoch, fingerprint) != fingerprint for epoch, fingerprint in sent.items()):
        return None
    if any(epoch not in own and (epoch < last or trial.has_ended) for epoch in sent):
        return None
    return [row for row in trial.rows if row["epoch"] not in sent]

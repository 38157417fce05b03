"""Reads the epochs of trials whose files may be damaged.

A trial's state, its failures, its checkpoints and the event log say how many epochs it has
completed. Epochs that `metrics.jsonl` lacks are read from `events.jsonl` or, the best one, from
`best.pt`. What is damaged is described in a sentence, which every command prints: a trial whose
epochs are unknown may be better than the one that is called the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import EVENTS_FILE
from sweeps.sweep_dir.records import ENDED, TrialRecord
from trainable.artifacts.metrics import Row, best_column, scan_rows
from trainable.artifacts.names import (
    BEST_FILE,
    CHECKPOINTS,
    EPOCH_FILES,
    LATEST_FILE,
    METRICS_FILE,
    epoch_of,
)
from trainable.config.dotted import get_dotted

NOT_IN_ROWS = "time_total_s"
"""A number of the event log that `metrics.jsonl` does not have."""


@dataclass(frozen=True)
class TrialRows:
    """The epochs of one trial."""

    rows: list[Row]
    """One row per epoch, in order."""
    damage: str | None = None
    """A sentence on the trial's damaged files, with the remedy."""
    unknown: tuple[int, ...] = ()
    """Completed epochs whose metric is in no file, any of which may be the trial's best."""


class TrialRowsReader:
    """Reads the epochs of one sweep's trials.

    Args:
        directory: The sweep directory.
        metric: The metric that ranks trials.
        config: The training config that all trials start from, as plain values; None if it is
            unknown. Then a finished trial may have completed any number of epochs.
        is_live: Whether a driver runs the sweep. Trials that have not ended are then being written
            and are taken as they are.
    """

    def __init__(
        self,
        directory: Path,
        metric: str,
        config: Mapping[str, Any] | None = None,
        *,
        is_live: bool = False,
    ) -> None:
        self._directory = directory
        self._metric = metric
        self._epochs = _get(config, "training.epochs")
        self._resumes = _get(config, "checkpoint.resume") is not None
        self._is_live = is_live
        self._log = EventLog(directory / EVENTS_FILE)

    def read(self, record: TrialRecord) -> TrialRows:
        """Returns the epochs of a trial."""
        directory = self._directory / record.directory
        newest_file = _newest_epoch_file(directory)  # before the rows, which are written first
        path = directory / METRICS_FILE
        rows, problems = scan_rows(path)
        is_written = self._is_live and record.state not in ENDED
        last = 0 if is_written else self._last_epoch(record, rows, newest_file)
        by_epoch = {row["epoch"]: row for row in rows}
        lacking = [] if is_written else self._list_lacking(record, by_epoch, last)
        if not problems and not lacking:
            return TrialRows(rows)
        unknown, sources = self._fill(record, by_epoch, lacking)
        problem = "; ".join(problems) or _describe_gap(path, lacking)
        rows = [by_epoch[epoch] for epoch in sorted(by_epoch)]
        damage = f"{path}: {problem}; {_describe_outcome(record, lacking, unknown, sources)}"
        return TrialRows(rows, damage, tuple(unknown))

    def _last_epoch(self, record: TrialRecord, rows: list[Row], newest_file: int) -> int:
        """Returns the last epoch that a trial has completed, as far as its other files tell."""
        own = max((row["epoch"] for row in rows), default=0)
        if record.state == "finished" and self._epochs is not None:
            return record.epochs(self._epochs)
        if record.state in {"finished", "stopped"}:
            return max(own, self._logged.get(record.id, 0))
        if record.state == "failed" and record.failures and not rows:
            return max(newest_file, record.failures[-1].epoch)
        if record.lineage:  # an exploit goes back or ahead to the donor's epoch
            return own
        latest = self._directory / record.directory / CHECKPOINTS / LATEST_FILE
        if latest.exists() and (not rows or self._logged.get(record.id, 0) > own):
            # The log may be ahead of a training that went back to its last checkpoint.
            from trainable.artifacts.checkpoint import checkpoint_epoch  # torch

            newest_file = max(newest_file, checkpoint_epoch(latest) or 0)
        return max(own, newest_file)

    @cached_property
    def _logged(self) -> dict[str, int]:
        return self._log.last_epochs()

    @cached_property
    def _logged_rows(self) -> dict[str, dict[int, Row]]:
        """Trial -> epoch -> the metrics that the scheduler received."""
        rows: dict[str, dict[int, Row]] = {}
        for event in self._log.scan()[0]:
            if event.metrics is not None and event.epoch:
                numbers = {k: v for k, v in event.metrics.items() if "." not in k and "/" not in k}
                numbers.pop(NOT_IN_ROWS, None)
                rows.setdefault(event.trial, {})[event.epoch] = {"epoch": event.epoch, **numbers}
        return rows

    def _list_lacking(
        self, record: TrialRecord, by_epoch: Mapping[int, Row], last: int
    ) -> list[int]:
        """Lists the completed epochs whose metric is not in `metrics.jsonl`."""
        epochs: Iterable[int] = by_epoch
        if not record.lineage:
            first = min(by_epoch, default=1) if self._resumes else 1
            epochs = range(first, last + 1)
        return [epoch for epoch in epochs if by_epoch.get(epoch, {}).get(self._metric) is None]

    def _fill(
        self, record: TrialRecord, by_epoch: dict[int, Row], lacking: list[int]
    ) -> tuple[list[int], list[str]]:
        """Adds lacking epochs from other files; returns the rest and the files' names."""
        logged = self._logged_rows.get(record.id, {}) if lacking else {}
        sources = []
        for epoch in lacking:
            if logged.get(epoch, {}).get(self._metric) is not None:
                own = {k: v for k, v in by_epoch.get(epoch, {}).items() if v is not None}
                by_epoch[epoch] = {**logged[epoch], **own}
                sources = [EVENTS_FILE]
        unknown = [e for e in lacking if by_epoch.get(e, {}).get(self._metric) is None]
        best = self._read_best(record) if unknown else None
        if best is not None and best["epoch"] in unknown:
            by_epoch[best["epoch"]] = {**by_epoch.get(best["epoch"], {}), **best}
            return [], [*sources, BEST_FILE]
        return unknown, sources

    def _read_best(self, record: TrialRecord) -> Row | None:
        """Returns epoch and metric of a trial's `best.pt`; None if it says nothing here."""
        path = self._directory / record.directory / CHECKPOINTS / BEST_FILE
        if self._metric.startswith("train_") or not path.is_file():
            return None
        from trainable.artifacts.checkpoint import EPOCH, read_checkpoint, read_monitored  # torch
        from trainable.errors import CheckpointError

        try:
            state = read_checkpoint(path)
        except CheckpointError:
            return None
        monitor, value = read_monitored(state)
        names = monitor, best_column(monitor)
        return (
            {"epoch": state[EPOCH], **dict.fromkeys(names, value)}
            if self._metric in names
            else None
        )


def _describe_outcome(
    record: TrialRecord, lacking: list[int], unknown: list[int], sources: list[str]
) -> str:
    """Says what has become of the epochs that `metrics.jsonl` lacks, and the remedy."""
    trial, names = f"trial {record.id}", " and ".join(sources)
    if not lacking:
        return f"{trial} has all its epochs without that line; delete it"
    if unknown:
        return (
            f"{format_epochs(unknown)} of {trial} cannot be read, so it may be better than it is "
            "shown, and than the best; restore the file from a copy"
        )
    if BEST_FILE in sources:
        return f"the best epoch of {trial} is read from {names}; restore the file from a copy"
    verb = "is" if len(lacking) == 1 else "are"
    return (
        f"{format_epochs(lacking)} of {trial} {verb} read from {names}; the file is written again "
        "when the sweep is resumed"
    )


def _get(config: Mapping[str, Any] | None, key: str) -> Any:
    try:
        return get_dotted(dict(config or {}), key)
    except (KeyError, TypeError):
        return None


def _newest_epoch_file(directory: Path) -> int:
    paths = (directory / CHECKPOINTS).glob(EPOCH_FILES)
    return max((epoch_of(path.name) for path in paths), default=0)


def _describe_gap(path: Path, lacking: list[int]) -> str:
    if not path.exists():
        return "is missing"
    if path.stat().st_size == 0:
        return "is empty"
    return f"lacks {format_epochs(lacking)}"


def format_epochs(epochs: list[int]) -> str:
    """Returns epochs as text: `epochs 1 to 3, 5`."""
    ranges: list[list[int]] = []
    for epoch in epochs:
        if ranges and ranges[-1][1] == epoch - 1:
            ranges[-1][1] = epoch
        else:
            ranges.append([epoch, epoch])
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in ranges]
    return f"epoch{'' if len(epochs) == 1 else 's'} {', '.join(texts)}"

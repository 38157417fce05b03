"""Reads from a trial's files what a tracker does not have yet."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweeps.storage.location import read_live
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import TRIAL_FILE
from sweeps.sweep_dir.records import ENDED, TrialRecord
from sweeps.trackers.marks import Mark
from sweeps.trackers.update import RECORD
from trainable.artifacts.metrics import parse_rows
from trainable.artifacts.names import BEST_FILE, CHECKPOINTS, METRICS_FILE


@dataclass(frozen=True)
class Cursor:
    """The part of a trial that a client's process has."""

    size: int = 0
    """Bytes of `metrics.jsonl`."""
    digest: bytes = b""
    """Their hash."""
    rows: int = 0
    """Their number of rows."""
    record: bytes = b""
    """The content of `trial.json`."""
    has_ended: bool = False
    """Whether the trial had ended, so that the process has dropped its rows."""


@dataclass(frozen=True)
class Reading:
    """A message about a trial, and what holds when it has been carried out."""

    record: TrialRecord
    message: dict[str, Any] | None
    """None if there is nothing new."""
    cursor: Cursor
    mark: Mark


def read_trial(directory: Path, cursor: Cursor | None) -> Reading | None:
    """Reads a trial that has started.

    Args:
        directory: The trial's directory.
        cursor: The part that the client's process has; None for nothing.

    Returns:
        None if the trial has not started.

    Raises:
        SweepError: A file of the trial is damaged.
        StorageError: The store cannot be read.
    """
    text = (directory / TRIAL_FILE).read_bytes()
    try:
        record = RECORD.validate_json(text)
    except ValidationError as error:
        raise SweepError(f"{directory / TRIAL_FILE}: not a record of this version") from error
    if record.started is None and record.state not in ENDED:
        return None
    data = _read_metrics(directory / METRICS_FILE)
    digest = _hash(data)
    is_new = cursor is None or digest != cursor.digest or text != cursor.record
    sent = cursor if cursor is not None and not cursor.has_ended else Cursor()
    if len(data) < sent.size or _hash(data[: sent.size]) != sent.digest:
        sent = Cursor()  # the trial has gone back to an earlier epoch
    rows, problems = parse_rows(data[sent.size :])
    if problems:
        raise SweepError(f"{directory / METRICS_FILE}: {problems[0]}")
    count = sent.rows + len(rows)
    message = {
        "record": text.decode(),
        "known_rows": sent.rows,
        "rows": rows,
        "has_best": (directory / CHECKPOINTS / BEST_FILE).exists(),
    }
    return Reading(
        record,
        message if is_new else None,
        Cursor(len(data), digest, count, text, record.state in ENDED),
        Mark(count, record.state, len(data)),
    )


def is_whole(record: TrialRecord, directory: Path, mark: Mark | None) -> bool:
    """Returns whether a tracker has all of a trial that has ended."""
    if mark is None or record.state not in ENDED or mark.state != record.state:
        return False
    path = directory / METRICS_FILE
    return mark.size == (path.stat().st_size if path.exists() else 0)


def count_unsent(directory: Path, mark: Mark | None) -> int:
    """Returns how many epochs of a trial a tracker does not have."""
    epochs = _read_metrics(directory / METRICS_FILE).count(b"\n")
    return max(0, epochs - (mark.epochs if mark is not None else 0))


def _read_metrics(path: Path) -> bytes:
    """Returns the complete lines of `metrics.jsonl`; a last one may be in the making."""
    try:
        data = read_live(path)
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest() if data else b""

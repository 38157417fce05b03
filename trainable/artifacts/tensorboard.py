"""TensorBoard event files: every metric a curve over the epoch, every epoch once.

Written record by record with TensorBoard's own writer, not through a `SummaryWriter`: that begins
a file at every start, and files begun in one second may be read in the wrong order.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from trainable.artifacts.names import EVENT_FILES
from trainable.artifacts.tensorboard_hparams import Session, ended, is_end, is_start, same_values
from trainable.atomic_files import remove_temporaries, write_once

TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "test_loss": "loss/test",
    "train_acc": "acc/train",
    "val_acc": "acc/val",
    "test_acc": "acc/test",
    "best_acc": "acc/best",
    "lr": "lr",
    "epoch_s": "time/epoch_s",
    "images_per_s": "time/images_per_s",
    "peak_memory_gib": "memory/peak_gib",
}
"""Metric to TensorBoard tag; the part before the slash groups the charts."""

FILE_VERSION = "brain.Event:2"
RECORD_OVERHEAD = 16
"""Bytes around a record's data: its length and two checksums."""


class TensorBoardWriter:
    """Writes one training's curves into one event file, which a resumed training goes on with.

    Nothing is created before the first row, so that a truncation comes first.

    Args:
        directory: Of the event file, and of nothing else.
        session: What the HParams page shows of the training; None if it is not on the page.
    """

    def __init__(self, directory: Path, session: Session | None = None) -> None:
        self._directory = directory
        self._session = session
        self._file: BinaryIO | None = None

    def append(self, row: dict[str, Any]) -> None:
        """Adds one epoch's point to every curve that has one, and puts it on disk."""
        if self._file is None:
            self._file = self._open()
        values = [
            Summary.Value(tag=tag, simple_value=row[metric])
            for metric, tag in TAGS.items()
            if row.get(metric) is not None
        ]
        if self._session is not None:
            values += self._session.points()
        event = Event(wall_time=time.time(), step=row["epoch"], summary=Summary(value=values))
        RecordWriter(self._file).write(event.SerializeToString())
        self._file.flush()

    def truncate(self, epoch: int) -> None:
        """Takes later epochs and whatever else no longer holds out of the event files.

        That is a record that a kill cut short, that the training has ended, and values that have
        changed.
        """
        self.close()
        # TensorBoard reads every file with "tfevents" in its name, half written ones too.
        remove_temporaries(self._directory)
        found = _event_files(self._directory)
        if not found:
            return
        records = [record for path in found for record in _records(path)]
        kept = self._still_true(records, epoch)
        if len(found) == 1 and kept == records:
            _cut_half_record(found[0], records)
            return
        # Under a new name: a TensorBoard that runs goes on reading the file it has opened.
        _write(_new_file(self._directory), kept)
        for path in found:
            path.unlink()

    def end(self, *, failed: bool) -> None:
        """Says on the HParams page that the training has ended."""
        self.close()
        end_session(self._directory, failed=failed)

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _still_true(self, records: list[bytes], epoch: int) -> list[bytes]:
        """The records of a training that goes on after an epoch, each once."""
        # A kill between the writing of a new file and the deletion of the old one leaves copies.
        events = {record: Event.FromString(record) for record in dict.fromkeys(records)}
        points = [
            record
            for record, event in events.items()
            if event.step <= epoch and event.HasField("summary") and not is_end(event)
        ]
        versions = [record for record, event in events.items() if event.HasField("file_version")]
        if self._session is not None:
            starts = [record for record in points if is_start(events[record])]
            now = self._session.started(events[starts[0]].wall_time if starts else time.time())
            is_same = bool(starts) and same_values(events[starts[0]], now)
            points = [record for record in points if record not in starts]
            points.insert(0, starts[0] if is_same else now.SerializeToString())
        return [*versions[:1], *points]

    def _open(self) -> BinaryIO:
        """The newest event file to go on with, or a new one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        found = _event_files(self._directory)
        if found:
            return found[-1].open("ab")
        now = time.time()
        first = [Event(wall_time=now, file_version=FILE_VERSION)]
        if self._session is not None:
            first.append(self._session.started(now))
        path = _new_file(self._directory)
        _write(path, [event.SerializeToString() for event in first])
        return path.open("ab")


def end_session(directory: Path, *, failed: bool) -> None:
    """Says in a training's event file that it has ended, unless the file says so already.

    Args:
        directory: Of the event file; where there is none, or one without a beginning on the
            HParams page, nothing is done.
        failed: Whether it has ended badly.
    """
    found = _event_files(directory)
    if not found:
        return
    records = _records(found[-1])
    events = [Event.FromString(record) for record in records]
    if not any(map(is_start, events)) or any(map(is_end, events)):
        return
    _cut_half_record(found[-1], records)
    with found[-1].open("ab") as file:
        RecordWriter(file).write(ended(time.time(), failed=failed).SerializeToString())


def _event_files(directory: Path) -> list[Path]:
    """In the order in which they were begun."""
    return sorted(directory.glob(EVENT_FILES))


def _new_file(directory: Path) -> Path:
    """A name behind those that there are: TensorBoard reads files in the order of their names."""
    times = [path.name.split(".")[3] for path in _event_files(directory)]
    after = max((int(text) + 1 for text in times if text.isdecimal()), default=0)
    begun = max(int(time.time()), after)
    return directory / EVENT_FILES.replace("*", f"{begun:010d}.{platform.node()}")


def _records(path: Path) -> list[bytes]:
    return list(RawEventFileLoader(str(path)).Load())


def _cut_half_record(path: Path, records: list[bytes]) -> None:
    """Takes the end off a file that a kill left in the middle of a record."""
    whole = sum(len(record) + RECORD_OVERHEAD for record in records)
    if path.stat().st_size != whole:
        os.truncate(path, whole)


def _write(path: Path, records: list[bytes]) -> None:
    def write(file: BinaryIO) -> None:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)

    write_once([path], write)

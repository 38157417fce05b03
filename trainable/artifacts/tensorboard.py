"""TensorBoard event files: one curve per metric over the epochs, every epoch once.

They are written record by record with TensorBoard's own writer and not with a `SummaryWriter`. A
`SummaryWriter` creates a new file at every start, and TensorBoard may read files that were created
within one second in the wrong order.
"""

from __future__ import annotations

import io
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from trainable.artifacts.metrics import more_scores
from trainable.artifacts.names import EVENT_FILES
from trainable.artifacts.tensorboard_classes import class_values
from trainable.artifacts.tensorboard_hparams import (
    Session,
    end_event,
    is_end,
    is_start,
    same_values,
)
from trainable.atomic_files import append_whole, remove_temporaries, write_once

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
"""Metric -> TensorBoard tag; the part before the slash groups the charts."""

FILE_VERSION = "brain.Event:2"
RECORD_OVERHEAD = 16
"""Bytes that surround a record's data: its length and two checksums."""


def more_tags(row: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags of the config's `metrics`, such as `f1_macro/val`."""
    return {
        name: f"{name.removeprefix(f'{split}_')}/{split}"
        for split in ("val", "test")
        for name in more_scores(row, split)
    }


class TensorBoardWriter:
    """Writes one training's curves into one event file, which a resumed training continues.

    The file is not created before the first row, so that `truncate` can come first.

    Args:
        directory: The directory of the event file, which contains nothing else.
        session: The training's entry on the HParams page; None for no entry.
    """

    def __init__(self, directory: Path, session: Session | None = None) -> None:
        self._directory = directory
        self._session = session
        self._file: io.FileIO | None = None

    def append(
        self,
        row: dict[str, Any],
        per_class: Mapping[str, Any] | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        """Adds one epoch's point to every curve that has one.

        Args:
            row: The epoch's metrics.
            per_class: Those that have a value for every class.
            class_names: The names of the classes, if they are known.

        Raises:
            OSError: The disk is full; the file is as it was before.
        """
        if self._file is None:
            self._file = self._open()
        values = [
            Summary.Value(tag=tag, simple_value=row[metric])
            for metric, tag in (TAGS | more_tags(row)).items()
            if row.get(metric) is not None
        ]
        values += class_values(per_class or {}, class_names)
        if self._session is not None:
            values += self._session.points()
        event = Event(wall_time=time.time(), step=row["epoch"], summary=Summary(value=values))
        append_whole(self._file, _to_record(event))

    def truncate(self, epoch: int) -> None:
        """Removes from the event files what does not hold when training continues after an epoch.

        That is later epochs, a record that a kill cut short, the end of the training, and
        hyperparameters that have changed.
        """
        self.close()
        # TensorBoard reads every file with "tfevents" in its name, incomplete ones as well.
        remove_temporaries(self._directory)
        paths = _list_event_files(self._directory)
        if not paths:
            return
        records = [record for path in paths for record in _read_records(path)]
        remaining = self._select_valid_records(records, epoch)
        if len(paths) == 1 and remaining == records:
            _remove_partial_record(paths[0], records)
            return
        # A new name, because a running TensorBoard continues to read the file it has opened.
        _write_records(_choose_file_name(self._directory), remaining)
        for path in paths:
            path.unlink()

    def end(self, *, failed: bool) -> None:
        """Marks the training as ended on the HParams page."""
        self.close()
        end_session(self._directory, failed=failed)

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _select_valid_records(self, records: list[bytes], epoch: int) -> list[bytes]:
        """Returns the records that hold when training continues after an epoch, each once."""
        # A kill between writing a new file and deleting the old one leaves copies.
        events = {record: Event.FromString(record) for record in dict.fromkeys(records)}
        points = [
            record
            for record, event in events.items()
            if event.step <= epoch and event.HasField("summary") and not is_end(event)
        ]
        versions = [record for record, event in events.items() if event.HasField("file_version")]
        if self._session is not None:
            starts = [record for record in points if is_start(events[record])]
            time_s = events[starts[0]].wall_time if starts else time.time()
            start = self._session.start_event(time_s)
            is_same = bool(starts) and same_values(events[starts[0]], start)
            points = [record for record in points if record not in starts]
            points.insert(0, starts[0] if is_same else start.SerializeToString())
        return [*versions[:1], *points]

    def _open(self) -> io.FileIO:
        """Opens the newest event file for appending, or creates one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        paths = _list_event_files(self._directory)
        if paths:
            return paths[-1].open("ab", buffering=0)
        now = time.time()
        events = [Event(wall_time=now, file_version=FILE_VERSION)]
        if self._session is not None:
            events.append(self._session.start_event(now))
        path = _choose_file_name(self._directory)
        _write_records(path, [event.SerializeToString() for event in events])
        return path.open("ab", buffering=0)


def end_session(directory: Path, *, failed: bool) -> None:
    """Marks a training as ended in its event file, unless it is marked already.

    Does nothing without an event file, or if the file has no entry for the HParams page.

    Args:
        directory: The directory of the event file.
        failed: Whether the training has failed.
    """
    paths = _list_event_files(directory)
    if not paths:
        return
    records = _read_records(paths[-1])
    events = [Event.FromString(record) for record in records]
    if not any(map(is_start, events)) or any(map(is_end, events)):
        return
    _remove_partial_record(paths[-1], records)
    with paths[-1].open("ab", buffering=0) as file:
        append_whole(file, _to_record(end_event(time.time(), failed=failed)))


def _list_event_files(directory: Path) -> list[Path]:
    """Returns the event files, the oldest first."""
    return sorted(directory.glob(EVENT_FILES))


def _choose_file_name(directory: Path) -> Path:
    """Returns a name that sorts last, because TensorBoard reads files in the order of names."""
    times = [path.name.split(".")[3] for path in _list_event_files(directory)]
    earliest = max((int(text) + 1 for text in times if text.isdecimal()), default=0)
    created = max(int(time.time()), earliest)
    return directory / EVENT_FILES.replace("*", f"{created:010d}.{platform.node()}")


def _read_records(path: Path) -> list[bytes]:
    return list(RawEventFileLoader(str(path)).Load())


def _remove_partial_record(path: Path, records: list[bytes]) -> None:
    """Truncates a file that a kill left in the middle of a record."""
    size = sum(len(record) + RECORD_OVERHEAD for record in records)
    if path.stat().st_size != size:
        os.truncate(path, size)


def _to_record(event: Event) -> bytes:
    buffer = io.BytesIO()
    RecordWriter(buffer).write(event.SerializeToString())
    return buffer.getvalue()


def _write_records(path: Path, records: list[bytes]) -> None:
    def write(file: BinaryIO) -> None:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)

    write_once([path], write)

"""TensorBoard event files: every metric a curve over the epoch, every epoch once.

Written record by record with TensorBoard's own writer, not through a `SummaryWriter`: that begins
a file at every start, and files begun in one second may be read in the wrong order.
"""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from trainable.files import remove_temporaries, write_once

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


EVENT_FILES = "events.out.tfevents.*"
FILE_VERSION = "brain.Event:2"
RECORD_OVERHEAD = 16
"""Bytes around a record's data: its length and two checksums."""


class Curves:
    """Writes one training's curves into one event file, which a resumed training goes on with.

    Nothing is created before the first row, so that a truncation comes first.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
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
        event = Event(wall_time=time.time(), step=row["epoch"], summary=Summary(value=values))
        RecordWriter(self._file).write(event.SerializeToString())
        self._file.flush()

    def truncate(self, epoch: int) -> None:
        """Takes later epochs, and a record that a kill cut short, out of the event files."""
        self.close()
        # TensorBoard reads every file with "tfevents" in its name, half written ones too.
        remove_temporaries(self._directory)
        for path in sorted(self._directory.glob(EVENT_FILES)):
            records = _records(path)
            kept = [record for record in records if Event.FromString(record).step <= epoch]
            if path.stat().st_size != sum(len(record) + RECORD_OVERHEAD for record in kept):
                _rewrite(path, kept)

    def close(self) -> None:
        """Closes the event file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        """The newest event file to go on with, or a new one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        found = sorted(self._directory.glob(EVENT_FILES))
        if found:
            return found[-1].open("ab")
        name = EVENT_FILES.replace("*", f"{int(time.time()):010d}.{platform.node()}")
        file = (self._directory / name).open("ab")
        version = Event(wall_time=time.time(), file_version=FILE_VERSION)
        RecordWriter(file).write(version.SerializeToString())
        return file


def _records(path: Path) -> list[bytes]:
    return list(RawEventFileLoader(str(path)).Load())


def _rewrite(path: Path, records: list[bytes]) -> None:
    def write(file: BinaryIO) -> None:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)

    write_once([path], write)

"""TensorBoard event files: every metric a curve over the epoch, every epoch once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

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


class Curves:
    """Writes one training's curves into a directory of event files.

    Nothing is created before the first row, so that a truncation comes first.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: SummaryWriter | None = None

    def append(self, row: dict[str, Any]) -> None:
        """Adds one epoch's point to every curve that has one, and puts it on disk."""
        if self._writer is None:
            self._writer = SummaryWriter(str(self._directory))
        for metric, tag in TAGS.items():
            if row.get(metric) is not None:
                self._writer.add_scalar(tag, row[metric], row["epoch"])
        self._writer.flush()

    def truncate(self, epoch: int) -> None:
        """Takes the points of later epochs out of the event files."""
        self.close()
        # TensorBoard reads every file with "tfevents" in its name, half written ones too.
        remove_temporaries(self._directory)
        for path in sorted(self._directory.glob("events.out.tfevents.*")):
            records = list(_records(path))
            kept = [r for r in records if Event.FromString(r).step <= epoch]
            if len(kept) < len(records):
                _rewrite(path, kept)

    def close(self) -> None:
        """Flushes and closes the current event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _records(path: Path) -> Iterator[bytes]:
    yield from RawEventFileLoader(str(path)).Load()


def _rewrite(path: Path, records: list[bytes]) -> None:
    def write(file: BinaryIO) -> None:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)

    write_once([path], write)

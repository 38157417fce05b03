"""The event that a training waits for while its checkpoint is written."""

from __future__ import annotations

from concurrent.futures import Future, wait
from dataclasses import dataclass

from trainable.training.overlapped_epoch import OverlappedEpoch

POLL_S = 0.0002
"""Interval at which an unfinished checkpoint and the GPU are checked when nothing else can run."""


@dataclass(frozen=True)
class CheckpointEvent:
    """Event that is reached when a checkpoint is written or the next epoch can continue.

    Args:
        writing: A future that is done when the checkpoint is written.
        next_epoch: The epoch that waits for the GPU; None if there is nothing to train.
    """

    writing: Future[None]
    next_epoch: OverlappedEpoch | None

    def query(self) -> bool:
        """See `Event.query`."""
        ahead = self.next_epoch
        return self.writing.done() or (ahead is not None and not ahead.waits_for_gpu)

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        while not self.query():
            wait([self.writing], timeout=None if self.next_epoch is None else POLL_S)

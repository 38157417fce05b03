"""A training's state, copied, so that it can be written while the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from trainable.trainer import Trainer

WRITER = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
"""Writes the checkpoints of this process, one after the other."""


@dataclass(frozen=True)
class Snapshot:
    """The state after an epoch."""

    epoch: int
    state: dict[str, Any]
    """See `Trainer.state_dict`; its tensors are copies on the CPU once `wait` has returned."""
    reached: torch.Event | None
    """When the card has copied everything; None without a card."""

    def wait(self) -> None:
        """Waits until the tensors have been copied."""
        if self.reached is not None:
            self.reached.synchronize()


def take_snapshot(trainer: Trainer, last: Snapshot | None = None) -> Snapshot:
    """Copies a training's state; the training may go on at once.

    The card copies into page-locked memory, in the order of its stream: what is computed
    afterwards does not reach into the copy, and nobody waits.

    Args:
        trainer: Between two epochs.
        last: A snapshot of it that nobody reads any more; its memory is used again, which on a
            CPU is most of the time.
    """
    state = _copied(trainer.state_dict(), last.state if last else None)
    reached = None
    if trainer.device.type == "cuda":
        reached = torch.Event(trainer.device)
        reached.record()
    return Snapshot(trainer.epoch, state, reached)


def write_behind(work: Callable[[], None]) -> Future[None]:
    """Does work behind the training's back, after all that was given before."""
    return WRITER.submit(work)


def _copied(value: Any, room: Any) -> Any:
    """A copy of a nested state, in the tensors of an older copy where these have the form."""
    if isinstance(value, torch.Tensor):
        if not isinstance(room, torch.Tensor) or _form(room) != _form(value):
            room = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        return room.copy_(value.detach(), non_blocking=True)
    if isinstance(value, dict):
        rooms = room if isinstance(room, dict) else {}
        return {key: _copied(item, rooms.get(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        same = isinstance(room, list | tuple) and len(room) == len(value)
        rooms_of = room if same else [None] * len(value)
        return type(value)(_copied(*pair) for pair in zip(value, rooms_of, strict=True))
    return value


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.stride()

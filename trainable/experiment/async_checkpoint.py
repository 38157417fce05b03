"""A training's state, copied, so that it can be written while the training goes on.

What the forward pass changes (running statistics, counters) is copied at once. The weights and the
optimizer's buffers, nearly all of a state, change only when the optimizer steps: they are copied
beside the next batch's forward and backward pass, and its step waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from trainable.artifacts.checkpoint import MODEL, OPTIMIZER
from trainable.models import MODELS
from trainable.training.trainer import Trainer

WRITER = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
"""Writes the checkpoints of this process, one after the other."""

COPIER = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
"""Copies what lies in the CPU's memory; not the writer, which waits for the disk."""

Pairs = list[tuple[torch.Tensor, torch.Tensor]]
"""Copies and what goes into them."""


@dataclass(frozen=True)
class Snapshot:
    """The state after an epoch."""

    epoch: int
    state: dict[str, Any]
    """See `Trainer.state_dict`; its tensors are copies on the CPU once `wait` has returned."""
    wait: Callable[[], None]
    """Waits until the tensors have been copied."""


def take_snapshot(trainer: Trainer, last: Snapshot | None = None) -> Snapshot:
    """Copies a training's state; the training may go on at once.

    A card copies into page-locked memory, on a stream of its own: nobody waits on the CPU.

    Args:
        trainer: Between two epochs.
        last: A snapshot of it that nobody reads any more; its memory is used again, which on a
            CPU is most of the time.
    """
    state, pairs = trainer.state_dict(), Pairs()
    copied = _with_room(state, last.state if last else None, pairs)
    stepped = _stepped(trainer, state)
    _copy([pair for pair in pairs if id(pair[1]) not in stepped])
    wait, trainer.train_step.pending_copy = _copy_beside(
        trainer.device, [pair for pair in pairs if id(pair[1]) in stepped]
    )
    return Snapshot(trainer.epoch, copied, wait)


def write_behind(work: Callable[[], None]) -> Future[None]:
    """Does work behind the training's back, after all that was given before."""
    return WRITER.submit(work)


def _stepped(trainer: Trainer, state: dict[str, Any]) -> set[int]:
    """The ids of a state's tensors that nothing but a step of the optimizer changes."""
    if trainer.config.model.name not in MODELS:  # it may change its weights whenever it likes
        return set()
    weights = {name for name, _ in trainer.model.named_parameters()}
    found = [tensor for name, tensor in state[MODEL].items() if name in weights]
    for buffers in state[OPTIMIZER]["state"].values():
        found += buffers.values()
    return {id(tensor) for tensor in found}


def _copy_beside(
    device: torch.device, pairs: Pairs
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Begins to copy.

    Returns:
        What waits for the copies, and what keeps the present stream's work back until then.
    """
    if device.type != "cuda":
        copied = COPIER.submit(_copy, pairs)
        return copied.result, copied.result
    side, reached = _side_stream(device), torch.Event(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # type: ignore[arg-type]
        _copy(pairs)
    reached.record(side)
    return reached.synchronize, lambda: reached.wait(torch.cuda.current_stream(device))


@cache
def _side_stream(device: torch.device) -> torch.Stream:
    return torch.Stream(device)


def _copy(pairs: Pairs) -> None:
    for room, tensor in pairs:
        room.copy_(tensor, non_blocking=True)


def _with_room(value: Any, room: Any, pairs: Pairs) -> Any:
    """A nested state with room for its tensors: an older copy's tensors where they fit.

    Args:
        value: The state.
        room: The older copy, or None.
        pairs: Is told what goes where.
    """
    if isinstance(value, torch.Tensor):
        if not isinstance(room, torch.Tensor) or _form(room) != _form(value):
            room = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        pairs.append((room, value))
        return room
    if isinstance(value, dict):
        rooms = room if isinstance(room, dict) else {}
        return {key: _with_room(item, rooms.get(key), pairs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        same = isinstance(room, list | tuple) and len(room) == len(value)
        rooms_of = room if same else [None] * len(value)
        return type(value)(_with_room(*p, pairs) for p in zip(value, rooms_of, strict=True))
    return value


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.stride()

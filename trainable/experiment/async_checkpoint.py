"""Copies a training's state, so that it can be written while the training continues.

Tensors that a forward pass changes (running statistics, counters) are copied immediately. Weights
and optimizer buffers, which are nearly all of a state, change only when the optimizer steps. They
are copied during the next batch's forward and backward pass, and the optimizer waits for the copy.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from trainable.artifacts.checkpoint import MODEL, OPTIMIZER, raw_weights
from trainable.models import MODELS
from trainable.training.trainer import Trainer

WRITER = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
"""Writes the checkpoints of this process, one after another."""

COPIER = ThreadPoolExecutor(1, thread_name_prefix="snapshots")
"""Copies tensors in the CPU's memory. The writer cannot do that, because it waits for the disk."""

Pairs = list[tuple[torch.Tensor, torch.Tensor]]
"""(copy, original) for each tensor."""


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state after an epoch."""

    epoch: int
    state: dict[str, Any]
    """See `Trainer.state_dict`; its tensors are copies on the CPU once `wait` has returned."""
    wait: Callable[[], None]
    """Waits until the tensors have been copied."""


def take_snapshot(trainer: Trainer, last: Snapshot | None = None) -> Snapshot:
    """Starts to copy a training's state; the training may continue immediately.

    A GPU copies into page-locked memory on a separate stream, so that no CPU thread waits for it.

    Args:
        trainer: A training between two epochs.
        last: An earlier snapshot of the training that is no longer read. Its memory is reused,
            which on a CPU saves most of the time.
    """
    state, pairs = trainer.state_dict(), Pairs()
    copied_state = _allocate_copies(state, last.state if last else None, pairs)
    stepped = _find_stepped_tensors(trainer, state)
    _copy([pair for pair in pairs if id(pair[1]) not in stepped])
    wait, trainer.train_step.pending_copy = _start_copy(
        trainer.device, [pair for pair in pairs if id(pair[1]) in stepped]
    )
    return Snapshot(trainer.epoch, copied_state, wait)


def write_in_background(work: Callable[[], None]) -> Future[None]:
    """Runs work in the writer's thread, after all work that was submitted earlier."""
    return WRITER.submit(work)


def _find_stepped_tensors(trainer: Trainer, state: dict[str, Any]) -> set[int]:
    """Returns the ids of a state's tensors that change only with a step of the optimizer."""
    if trainer.config.model.name not in MODELS:  # a custom model may change its weights anywhere
        return set()
    weights = {name for name, _ in trainer.model.named_parameters()}
    tensors = [tensor for name, tensor in raw_weights(state).items() if name in weights]
    if trainer.average is not None:  # it is updated after a step
        tensors += state[MODEL].values()
    for buffers in state[OPTIMIZER]["state"].values():
        tensors += buffers.values()
    return {id(tensor) for tensor in tensors}


def _start_copy(
    device: torch.device, pairs: Pairs
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Starts to copy tensors.

    Returns:
        A function that waits for the copies, and one that makes the current stream wait for them.
    """
    if device.type != "cuda":
        future = COPIER.submit(_copy, pairs)
        return future.result, future.result
    side, copied = _get_side_stream(device), torch.Event(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):  # type: ignore[arg-type]
        _copy(pairs)
    copied.record(side)
    return copied.synchronize, lambda: copied.wait(torch.cuda.current_stream(device))


@cache
def _get_side_stream(device: torch.device) -> torch.Stream:
    return torch.Stream(device)


def _copy(pairs: Pairs) -> None:
    for copy, tensor in pairs:
        copy.copy_(tensor, non_blocking=True)


def _allocate_copies(value: Any, old: Any, pairs: Pairs) -> Any:
    """Returns a nested state with memory for copies of its tensors, reused where possible.

    Args:
        value: The state.
        old: An older copy whose tensors are reused where they fit, or None.
        pairs: The list to which each copy is added with its original.
    """
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_nested:
            return value.detach().to("cpu", copy=True)  # sparse: it has no strides to compare
        if not isinstance(old, torch.Tensor) or _describe_layout(old) != _describe_layout(value):
            old = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
        pairs.append((old, value))
        return old
    if isinstance(value, dict):
        old_items = old if isinstance(old, dict) else {}
        return {
            key: _allocate_copies(item, old_items.get(key), pairs) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        is_same_length = isinstance(old, list | tuple) and len(old) == len(value)
        olds = old if is_same_length else [None] * len(value)
        items = zip(value, olds, strict=True)
        return type(value)(_allocate_copies(item, old_item, pairs) for item, old_item in items)
    return value


def _describe_layout(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.stride()

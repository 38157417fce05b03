"""The epoch loop: plain torch, on one screen.

Loss and counts add up on the device and are read once an epoch, so the host never waits inside.
A pass is a generator that rests after every batch: one process can take turns between the passes
of several trainings (`packed.py`), and whoever has but one drains it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
Steps = Generator[int, None, T]
"""A piece of work in steps; each yields how many images it trained on."""
Batches = Iterable[tuple[Tensor, Tensor]]
Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Score:
    """What one pass over a split came to."""

    loss: float
    """Mean per image."""
    acc: float
    """Fraction of images whose largest logit is the label, in [0, 1]."""


def drain(steps: Steps[T], on_batch: Callable[[int], None] | None = None) -> T:
    """Does all of the work at once.

    Args:
        steps: The work.
        on_batch: Told the number of images after every step that trained on some.

    Returns:
        What the work came to.
    """
    while True:
        try:
            images = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if images and on_batch is not None:
            on_batch(images)


def train_epoch(
    model: nn.Module,
    batches: Batches,
    loss_fn: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    scaler: torch.amp.GradScaler,
    autocast: Autocast,
    accumulation_steps: int = 1,
) -> Steps[Score]:
    """Trains the model on every batch once, a batch a step.

    Args:
        model: On the batches' device.
        batches: Images `[B, C, H, W]` float32 and labels `[B]` int64.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` to the mean loss.
        optimizer: Takes one step a batch.
        scaler: Scales the loss in float16; a disabled one passes it through.
        autocast: Makes the context in which the forward pass runs.
        accumulation_steps: Parts a batch is run in, of at least two images each; their gradients
            add up.

    Returns:
        Loss and accuracy as seen while training.
    """
    model.train()
    totals = _Totals()
    for images, labels in batches:
        optimizer.zero_grad(set_to_none=True)
        # A part of one image is what batch norm cannot take: a small last batch has fewer parts.
        count = max(1, min(accumulation_steps, len(labels) // 2))
        parts = zip(images.tensor_split(count), labels.tensor_split(count), strict=True)
        for part_images, part_labels in parts:
            with autocast():
                logits = model(part_images)
                loss = loss_fn(logits, part_labels)
            share = len(part_labels) / len(labels)
            scaler.scale(loss if share == 1 else loss * share).backward()
            totals.add(logits, part_labels, loss)
        scaler.step(optimizer)
        scaler.update()
        yield len(labels)
    return (yield from totals.score())


def evaluate(
    model: nn.Module, batches: Batches, loss_fn: nn.Module, *, autocast: Autocast
) -> Steps[Score]:
    """Scores the model on every batch, without training it, a batch a step.

    Args:
        model: On the batches' device.
        batches: Images `[B, C, H, W]` float32 and labels `[B]` int64.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` to the mean loss.
        autocast: Makes the context in which the forward pass runs.
    """
    model.eval()
    totals = _Totals()
    for images, labels in batches:
        # Not around the rest between two steps: another training may take its turn there.
        with torch.inference_mode(), autocast():
            logits = model(images)
            loss = loss_fn(logits, labels)
            totals.add(logits, labels, loss)
        yield 0
    return (yield from totals.score())


class _Totals:
    """Sums kept on the device until the end of the pass."""

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._images = 0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        correct = (logits.detach().argmax(1) == labels).sum()
        batch = torch.stack([loss.detach().double() * len(labels), correct.double()])
        self._sums = batch if self._sums is None else self._sums + batch
        self._images += len(labels)

    def score(self) -> Steps[Score]:
        if self._sums is None:
            raise ValueError("a pass over a split needs at least one image")
        if self._sums.is_cuda:
            reached: torch.Event = torch.Event(self._sums.device)
            reached.record()
            while not reached.query():  # the turns of others, if there are any
                yield 0
        loss, correct = self._sums.tolist()
        return Score(loss=loss / self._images, acc=correct / self._images)

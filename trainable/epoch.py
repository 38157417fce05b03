"""The epoch loop: plain torch, on one screen.

Loss and counts add up on the device and are read once an epoch, so the host never waits inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Batches = Iterable[tuple[Tensor, Tensor]]
Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Score:
    """What one pass over a split came to."""

    loss: float
    """Mean per image."""
    acc: float
    """Fraction of images whose largest logit is the label, in [0, 1]."""


def train_epoch(
    model: nn.Module,
    batches: Batches,
    loss_fn: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    scaler: torch.amp.GradScaler,
    autocast: Autocast,
    accumulation_steps: int = 1,
    on_batch: Callable[[int], None] | None = None,
) -> Score:
    """Trains the model on every batch once.

    Args:
        model: On the batches' device.
        batches: Images `[B, C, H, W]` float32 and labels `[B]` int64.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` to the mean loss.
        optimizer: Takes one step a batch.
        scaler: Scales the loss in float16; a disabled one passes it through.
        autocast: Makes the context in which the forward pass runs.
        accumulation_steps: Parts a batch is run in, of at least two images each; their gradients
            add up.
        on_batch: Told the number of images after every batch.

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
        if on_batch is not None:
            on_batch(len(labels))
    return totals.score()


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Batches, loss_fn: nn.Module, *, autocast: Autocast
) -> Score:
    """Scores the model on every batch, without training it.

    Args:
        model: On the batches' device.
        batches: Images `[B, C, H, W]` float32 and labels `[B]` int64.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` to the mean loss.
        autocast: Makes the context in which the forward pass runs.
    """
    model.eval()
    totals = _Totals()
    for images, labels in batches:
        with autocast():
            logits = model(images)
            loss = loss_fn(logits, labels)
        totals.add(logits, labels, loss)
    return totals.score()


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

    def score(self) -> Score:
        if self._sums is None:
            raise ValueError("a pass over a split needs at least one image")
        loss, correct = self._sums.tolist()
        return Score(loss=loss / self._images, acc=correct / self._images)

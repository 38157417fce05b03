"""The epoch loop: plain torch, on one screen.

Loss and counts add up on the device and are read once an epoch, so the host never waits inside.
A pass is a generator that rests after every batch: one process can take turns between the passes
of several trainings (`packed.py`), and whoever has but one drains it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from trainable.graphs import RecordedPass
from trainable.optimizers import RatesOnDevice

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
    before_step: Callable[[], None] = lambda: None,
    rates: RatesOnDevice | None = None,
    recorded: RecordedPass | None = None,
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
        before_step: Called before the weights change, at every step; may be called twice.
        rates: Where the optimizer finds its learning rates on a card.
        recorded: Replays whole steps instead of launching every kernel.

    Returns:
        Loss and accuracy as seen while training.
    """
    model.train()
    totals = _Totals(model, recorded)
    if rates is not None:
        rates.refresh()

    def learn(images: Tensor, labels: Tensor, share: float = 1.0) -> None:
        with autocast():
            logits = model(images)
            loss = loss_fn(logits, labels)
        scaler.scale(loss if share == 1 else loss * share).backward()
        totals.add(logits, labels, loss)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        # A part of one image is what batch norm cannot take: a small batch has fewer parts.
        count = max(1, min(accumulation_steps, len(labels) // 2))
        for part in zip(images.tensor_split(count), labels.tensor_split(count), strict=True):
            learn(*part, share=len(part[1]) / len(labels))
        before_step()
        with nullcontext() if rates is None else rates.lent():
            scaler.step(optimizer)
        scaler.update()

    for images, labels in batches:
        totals.images += len(labels)
        if recorded is not None:
            before_step()  # a recording waits for nothing
        if recorded is None or not recorded.run(step, images, labels):
            step(images, labels)
        yield len(labels)
    return (yield from totals.score())


def evaluate(
    model: nn.Module,
    batches: Batches,
    loss_fn: nn.Module,
    *,
    autocast: Autocast,
    recorded: RecordedPass | None = None,
) -> Steps[Score]:
    """Scores the model on every batch, without training it, a batch a step.

    Args:
        model: On the batches' device.
        batches: Images `[B, C, H, W]` float32 and labels `[B]` int64.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` to the mean loss.
        autocast: Makes the context in which the forward pass runs.
        recorded: Replays batches instead of launching every kernel.
    """
    model.eval()
    totals = _Totals(model, recorded)

    def look(images: Tensor, labels: Tensor) -> None:
        with autocast():
            logits = model(images)
            loss = loss_fn(logits, labels)
        totals.add(logits, labels, loss)

    for images, labels in batches:
        totals.images += len(labels)
        # Not around the rest between two steps: another training may take its turn there.
        with torch.inference_mode():
            if recorded is None or not recorded.run(look, images, labels):
                look(images, labels)
        yield 0
    return (yield from totals.score())


class _Totals:
    """Sums kept on the device until the end of the pass."""

    def __init__(self, model: nn.Module, recorded: RecordedPass | None) -> None:
        device = next(model.parameters()).device
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        if recorded is not None:
            self._sums = recorded.sums.zero_()
        self.images = 0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        correct = (logits.detach().argmax(1) == labels).sum()
        self._sums += torch.stack([loss.detach().double() * len(labels), correct.double()])

    def score(self) -> Steps[Score]:
        if self.images == 0:
            raise ValueError("a pass over a split needs at least one image")
        if self._sums.is_cuda:
            reached: torch.Event = torch.Event(self._sums.device)
            reached.record()
            while not reached.query():  # the turns of others, if there are any
                yield 0
        loss, correct = self._sums.tolist()
        return Score(loss=loss / self.images, acc=correct / self.images)

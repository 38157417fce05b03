"""The epoch loop: one pass over the training images, and one over a split to be scored.

Loss and hits add up on the device and are read once a pass, so the host never waits inside.
A pass is a generator that yields after every batch: a process can alternate between the passes of
several trainings (`ray_trial/shared_worker.py`); a single one is run to its end by `drain`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from trainable.training.cuda_graphs import GraphedPass
from trainable.training.gpu_queue import Event
from trainable.training.step import EvaluationStep, PassSums, TrainStep

T = TypeVar("T")
Steps = Generator[int | Event, None, T]
"""Work in steps. Each yields the number of images it trained on, or an event: there is nothing to
do until that is reached. Resumed earlier, the generator yields it again."""
Batches = Iterable[tuple[Tensor, Tensor]]
"""Images `[B, C, H, W]` float32 and labels `[B]` int64, on the model's device."""


@dataclass(frozen=True)
class Score:
    """Loss and accuracy of one pass over a split."""

    loss: float
    """Mean per image."""
    acc: float
    """Fraction of images whose largest logit is the label, in [0, 1]."""


def drain(steps: Steps[T], on_batch: Callable[[int], None] | None = None) -> T:
    """Runs all steps and returns the result.

    Args:
        steps: The work.
        on_batch: Called with the number of images after every step that trained on some.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if not isinstance(step, int):
            step.synchronize()  # without the interpreter lock: a checkpoint may be written
        elif step and on_batch is not None:
            on_batch(step)


def train_epoch(
    step: TrainStep, batches: Batches, graph: GraphedPass | None = None
) -> Steps[Score]:
    """Trains the model on every batch once.

    Args:
        step: Trains on one batch.
        batches: The training images.
        graph: Replays the step instead of launching every kernel.

    Returns:
        Loss and accuracy as seen while training.
    """
    step.start_pass()
    count = 0
    for images, labels in batches:
        count += len(labels)
        if graph is None:
            step(images, labels)
        else:
            graph.run(images, labels)
        yield len(labels)
    return (yield from _score(step.sums, count))


def evaluate(
    step: EvaluationStep, batches: Batches, graph: GraphedPass | None = None
) -> Steps[Score]:
    """Scores the model on every batch, without training it.

    Args:
        step: Scores one batch.
        batches: The images of a split.
        graph: Replays the step instead of launching every kernel.
    """
    step.start_pass()
    count = 0
    for images, labels in batches:
        count += len(labels)
        # Not around the yield: another training may run until the next step.
        with torch.inference_mode():
            if graph is None:
                step(images, labels)
            else:
                graph.run(images, labels)
        yield 0
    return (yield from _score(step.sums, count))


def _score(sums: PassSums, count: int) -> Steps[Score]:
    if count == 0:
        raise ValueError("a pass over a split needs at least one image")
    if sums.loss.is_cuda:
        # Sleeps while it waits; a torch.Event would keep a core busy.
        reached: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        reached.record()
        while not reached.query():
            yield reached
    loss, hits = sums.read()
    return Score(loss=loss / count, acc=hits / count)

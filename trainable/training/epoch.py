"""The epoch loop: `train_epoch` trains on every batch once, `evaluate` scores a split.

`step.py` has what is done with one batch, `trainer.py` what surrounds the loop: data, learning
rate, best epoch. Loss and hits are summed on the device and read once per pass, so the host does
not wait inside the loop.

A pass is a generator that yields after every batch. A process can therefore alternate between the
passes of several trainings (`ray_trial/shared_worker.py`); `drain` runs a single one to its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from trainable.artifacts.metrics import ACCURACY, PER_CLASS_KEY, Row
from trainable.metrics.collector import Measurements, MetricCollector
from trainable.training.ema import WeightAverage
from trainable.training.gpu.cuda_graphs import GraphedPass
from trainable.training.gpu.gpu_queue import Event
from trainable.training.step import EvaluationStep, PassSums, TrainStep

T = TypeVar("T")
Steps = Generator[int | Event, None, T]
"""Work in steps. A step yields the number of images that it trained on, or an event that the next
step has to wait for. A generator that is continued too early yields the event again."""
Batches = Iterable[tuple[Tensor, Tensor]]
"""Images `[B, C, H, W]` float32 and labels `[B]` int64, on the model's device. In training, soft
targets `[B, num_classes]` float32 can take the place of the labels."""


@dataclass(frozen=True)
class Score:
    """Loss and accuracy of one pass over a split."""

    loss: float
    """Mean per image."""
    acc: float
    """Fraction of images whose largest logit is the label, in [0, 1]."""
    measured: Measurements = field(default_factory=Measurements)
    """The config's `metrics`, of an evaluation."""


def evaluation_columns(val: Score, test: Score | None) -> Row:
    """Returns loss, accuracy and the config's `metrics` of the splits.

    Args:
        val: Of the split that decides.
        test: Of the test set; None if it was not due.
    """
    columns: Row = {
        "val_loss": val.loss,
        ACCURACY: val.acc,
        "test_loss": None if test is None else test.loss,
        "test_acc": None if test is None else test.acc,
    }
    columns |= {f"val_{name}": value for name, value in val.measured.scores.items()}
    test_scores = dict.fromkeys(val.measured.scores) if test is None else test.measured.scores
    return columns | {f"test_{name}": value for name, value in test_scores.items()}


def class_columns(val: Score, test: Score | None) -> Row:
    """Returns the metrics that have a value for every class, under one key; often nothing."""
    splits = {"val": val, **({} if test is None else {"test": test})}
    columns = {
        f"{split}_{name}": values
        for split, score in splits.items()
        for name, values in score.measured.per_class.items()
    }
    return {PER_CLASS_KEY: columns} if columns else {}


@dataclass(frozen=True)
class MetricsOfPass:
    """Collector of a pass's metrics, and the number of its images."""

    collector: MetricCollector
    images: int


def drain(steps: Steps[T], on_batch: Callable[[int], None] | None = None) -> T:
    """Runs all steps and returns their result.

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
            step.synchronize()  # releases the interpreter lock, which a checkpoint may need
        elif step and on_batch is not None:
            on_batch(step)


def train_epoch(
    step: TrainStep,
    batches: Batches,
    graph: GraphedPass | None = None,
    average: WeightAverage | None = None,
) -> Steps[Score]:
    """Trains the model on every batch once.

    Args:
        step: Trains on one batch.
        batches: The training images.
        graph: Replays the step instead of launching every kernel.
        average: Averages the weights after every step.

    Returns:
        Loss and accuracy of the batches as they were trained on.
    """
    step.start_pass()
    count = 0
    for number, (images, labels) in enumerate(batches):
        count += len(labels)
        step.start_step(number)
        if graph is None:
            step(images, labels)
        else:
            graph.run(images, labels)
        if average is not None:
            average.update()
        yield len(labels)
    return (yield from _read_score(step.sums, count))


def evaluate(
    step: EvaluationStep,
    batches: Batches,
    graph: GraphedPass | None = None,
    metrics: MetricsOfPass | None = None,
) -> Steps[Score]:
    """Scores the model on every batch, without training it.

    Args:
        step: Scores one batch.
        batches: The images of a split.
        graph: Replays the step instead of launching every kernel.
        metrics: Measures more than loss and accuracy; the step keeps its logits for it.
    """
    step.start_pass()
    if metrics is not None:
        metrics.collector.start(metrics.images)
    count = 0
    for images, labels in batches:
        count += len(labels)
        # The yield is outside, because another training may run before the next step.
        with torch.inference_mode():
            if graph is None:
                step(images, labels)
            else:
                graph.run(images, labels)
            if metrics is not None and step.logits is not None:
                metrics.collector.add(step.logits[: len(labels)], labels)
        yield 0
    score = yield from _read_score(step.sums, count)
    if metrics is None:
        return score
    collector = metrics.collector
    is_finite = math.isfinite(score.loss)
    return replace(score, measured=collector.compute() if is_finite else collector.undefined())


def _read_score(sums: PassSums, count: int) -> Steps[Score]:
    if count == 0:
        raise ValueError("a pass over a split needs at least one image")
    if sums.loss.is_cuda:
        # `blocking` makes the waiting thread sleep; a torch.Event would keep a core busy.
        reached: Any = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        reached.record()
        while not reached.query():
            yield reached
    loss, hits = sums.read()
    return Score(loss=loss / count, acc=hits / count)

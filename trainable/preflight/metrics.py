"""Builds the user's own metrics and computes each once: they must be one number."""

from __future__ import annotations

import torch

from trainable.augment.streams import same_random_numbers
from trainable.config import TrainConfig
from trainable.config.sections.metrics import list_scores
from trainable.errors import Problem, TuneSweepsError
from trainable.metrics.collector import MetricCollector
from trainable.preflight.shapes import DataShape

KEY = "metrics"
IMAGES_PER_CLASS = 2
"""Images of the pass that the metrics are computed of."""


def check_metrics(config: TrainConfig, data: DataShape) -> list[Problem]:
    """Computes own metrics of random predictions for images of every class.

    Args:
        config: The config; its own metrics are code of the user's, which is run.
        data: The shape of its data.
    """
    num_classes = config.model.num_classes or data.num_classes
    labels = torch.arange(data.num_classes).repeat(IMAGES_PER_CLASS)
    logits = torch.randn(len(labels), num_classes, generator=torch.Generator().manual_seed(0))
    problems = []
    for name in config.metrics:
        score = next(iter(list_scores([name])), None)
        if score is None or score.code is None:
            continue
        with same_random_numbers():
            try:
                collector = MetricCollector(
                    [name], num_classes, torch.device("cpu"), allow_custom=True
                )
                for _ in range(2):  # every pass begins anew
                    collector.start(len(labels))
                    collector.add(logits, labels)
                    collector.compute()
            except TuneSweepsError as error:
                problems.append(Problem(KEY, str(error).removeprefix(f"{KEY} ")))
    return problems

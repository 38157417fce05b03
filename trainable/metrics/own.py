"""Metrics of the user's own: classes of torchmetrics, or callables that return one."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from trainable.config.own_code import import_own
from trainable.config.sections.metrics import Score
from trainable.errors import TuneSweepsError, summarize_exception

KEY = "metrics"


class OwnMetric:
    """One metric of the user's own.

    Args:
        score: Its name in the config.
        num_classes: Passed to the callable if it takes a `num_classes`.
        device: Where the probabilities are.

    Raises:
        TuneSweepsError: It cannot be imported or built, or is not a torchmetrics metric.
    """

    def __init__(self, score: Score, num_classes: int, device: torch.device) -> None:
        assert score.code is not None, "a built-in metric"
        self._code = score.code
        builder = import_own(KEY, score.code)
        try:
            parameters = inspect.signature(builder).parameters
            metric = builder(
                **({"num_classes": num_classes} if "num_classes" in parameters else {})
            )
        except Exception as error:  # whatever the user's code raises
            raise self._explain("cannot be built", error) from error
        if not isinstance(metric, Metric):
            raise TuneSweepsError(
                f'{KEY} "{self._code}" must be a torchmetrics.Metric, or return one; found '
                f"{type(metric).__name__}"
            )
        self._metric = metric.to(device)
        self._check_direction(score)

    def reset(self) -> None:
        """Starts a pass."""
        self._metric.reset()

    def add(self, probabilities: Tensor, labels: Tensor) -> None:
        """Adds images.

        Args:
            probabilities: `[B, C]` float32, the softmax of the logits.
            labels: `[B]` int64.

        Raises:
            TuneSweepsError: The metric's code has failed.
        """
        try:
            self._metric.update(probabilities, labels)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise self._explain("cannot be computed", error) from error

    def value(self) -> float | None:
        """Returns the metric of the images so far; None if it is not finite.

        Raises:
            TuneSweepsError: The metric's code has failed, or the result is not one number.
        """
        try:
            value: Any = self._metric.compute()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise self._explain("cannot be computed", error) from error
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, int | float):
            kind = (
                f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            raise TuneSweepsError(f'{KEY} "{self._code}" must be one number, found {kind}')
        return float(value) if abs(value) < float("inf") else None

    def _check_direction(self, score: Score) -> None:
        larger = self._metric.higher_is_better
        if larger is None or larger == (score.mode == "max"):
            return
        better, remedy = ("larger", self._code) if larger else ("lower", f"{self._code}:min")
        raise TuneSweepsError(
            f'{KEY} "{self._code}": {better} values of it are better (its higher_is_better says '
            f"so); write {remedy}"
        )

    def _explain(self, what: str, error: Exception) -> TuneSweepsError:
        return TuneSweepsError(f'{KEY} "{self._code}" {what}: {summarize_exception(error)}')

"""Exponential moving average of a model's weights, by torch's `AveragedModel`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from trainable.config.sections.ema import EmaConfig
from trainable.errors import ModelError, summarize_exception


class WeightAverage:
    """The averaged copy of a model, which is evaluated and saved in its place.

    The running statistics of batch norm are averaged like the weights, because those of the model
    itself do not fit averaged weights; counters are copied. The number of updates is kept on the
    CPU, so that an update neither waits for the device nor is part of a recorded step.

    Args:
        model: The model on its device, in its memory format.
        config: The config's `ema` section.
    """

    def __init__(self, model: nn.Module, config: EmaConfig) -> None:
        self._config = config
        self._source = model
        try:
            self._averaged = AveragedModel(model, multi_avg_fn=self._average, use_buffers=True)
        except (RuntimeError, TypeError) as error:
            raise ModelError(
                f"ema.enabled needs a model that can be copied: {summarize_exception(error)}"
            ) from error
        self._averaged.requires_grad_(False)

    @property
    def model(self) -> nn.Module:
        """The averaged model; its tensors keep their addresses."""
        module: nn.Module = self._averaged.module
        return module

    @property
    def updates(self) -> int:
        """Number of steps that have been averaged."""
        return int(self._averaged.n_averaged)

    @property
    def decay(self) -> float:
        """Share of the average that the next update keeps."""
        if not self._config.warmup:
            return self._config.decay
        return min(self._config.decay, (1 + self.updates) / (10 + self.updates))

    def update(self) -> None:
        """Adds the present weights; the first update copies them."""
        self._averaged.update_parameters(self._source)

    def load(self, averaged: Mapping[str, Any], updates: int) -> None:
        """Loads the state of an earlier average.

        Args:
            averaged: State dict of the averaged model; without updates, that of the model itself.
            updates: Number of steps that it has averaged.

        Raises:
            RuntimeError: The state is of another model.
        """
        self.model.load_state_dict(averaged)
        self._averaged.n_averaged.fill_(updates)

    def _average(self, averaged: Any, current: Any, updates: Tensor | int) -> None:
        """Updates tensors of one data type in place."""
        del updates  # on the device: reading it there would wait
        with torch.no_grad():
            if averaged[0].is_floating_point() or averaged[0].is_complex():
                torch._foreach_lerp_(averaged, current, 1 - self.decay)
            else:
                torch._foreach_copy_(averaged, current)

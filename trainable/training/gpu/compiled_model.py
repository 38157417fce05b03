"""Runs full batches through `torch.compile`, and all other batches through the plain model.

A worker compiles an architecture once per batch size. The compiled code takes the weights as
arguments, so a later trial's model of the same architecture uses it without compiling again.
"""

from __future__ import annotations

import textwrap
from typing import Any

import torch
from torch import Tensor, nn

from trainable.config import TrainConfig
from trainable.models import MODELS
from trainable.training.gpu.cuda_graphs import graph_refusal

MIN_BATCHES = 78_000
"""Full batches that a training must have for `compile: auto`. Compiling ResNet-20 takes half a
minute and saves half a millisecond per step, so that it pays from about here on (an estimate)."""
MAX_COMPILED_FORMS = 64
"""Compiled forms that a process keeps of one architecture, two per batch size. Torch's own limit
of 8 is reached with four batch sizes."""


def should_compile(config: TrainConfig, device: torch.device, full_batches: int) -> bool:
    """Returns whether `training.compile` asks for a compiled model.

    Args:
        config: Complete settings.
        device: The training's device.
        full_batches: Number of full batches in the whole training.
    """
    setting = config.training.compile
    if setting != "auto":
        return setting
    is_recorded = graph_refusal(config, device, full_batches) is None
    return is_recorded and config.model.name in MODELS and full_batches >= MIN_BATCHES


class CompiledModel:
    """Maps images to logits with the compiled model.

    It falls back to the plain model where that cannot be compiled: no compiler on the machine, or
    too many compiled forms in this process.

    Args:
        model: The model on its device; its weights and the keys of its state do not change.
        batch_size: The batch size to compile for. A smaller last batch of a pass would cost a
            compilation of its own.
        backend: See `torch.compile`.
    """

    def __init__(self, model: nn.Module, batch_size: int, backend: str = "inductor") -> None:
        _raise_compilation_limits()
        self.failure: str | None = None
        """Why the plain model runs; None as long as the compiled one does."""
        self._model = model
        self._batch_size = batch_size
        self._compiled: Any = torch.compile(model, dynamic=False, backend=backend)

    def __call__(self, images: Tensor) -> Tensor:
        """Maps images `[B, C, H, W]` to logits `[B, num_classes]`."""
        logits: Tensor
        if self.failure is not None or len(images) != self._batch_size:
            logits = self._model(images)
            return logits
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        try:
            logits = self._compiled(images)
        except FailOnRecompileLimitHit:
            self.failure = (
                f"this process has compiled {MAX_COMPILED_FORMS} forms of the model already"
            )
            logits = self._model(images)
        except TorchDynamoException as error:
            self.failure = textwrap.shorten(str(error), 200)
            logits = self._model(images)
        return logits


def _raise_compilation_limits() -> None:
    from torch._dynamo import config

    settings: Any = config
    # The names from torch 2.7 on, then those of 2.6.
    for limit, must_fail in (
        ("recompile_limit", "fail_on_recompile_limit_hit"),
        ("cache_size_limit", "fail_on_cache_limit_hit"),
    ):
        if hasattr(settings, limit):
            setattr(settings, limit, MAX_COMPILED_FORMS)
            setattr(settings, must_fail, True)
            return

"""Runs a model compiled by `torch.compile` on full batches, and as it is on all others.

A worker compiles an architecture once for each batch size: the compiled code takes the weights as
arguments, so a later trial's model of the same architecture runs it at once.
"""

from __future__ import annotations

import textwrap
from typing import Any

import torch
from torch import Tensor, nn

from trainable.config import TrainConfig
from trainable.models import MODELS
from trainable.training.cuda_graphs import graph_refusal

MIN_BATCHES = 78_000
"""Full batches that a training must have for `compile: auto`: about where half a millisecond saved
per step of ResNet-20 makes up for the half minute that its compilation takes (an estimate)."""
FORMS = 64
"""Compiled forms that a process keeps of one architecture, two for each batch size. Torch's own
limit of 8 is reached by four batch sizes."""


def should_compile(config: TrainConfig, device: torch.device, full_batches: int) -> bool:
    """Returns whether `training.compile` asks for a compiled model.

    Args:
        config: Complete settings.
        device: Of the training.
        full_batches: Of the whole training.
    """
    setting = config.training.compile
    if setting != "auto":
        return setting
    is_recorded = graph_refusal(config, device, full_batches) is None
    return is_recorded and config.model.name in MODELS and full_batches >= MIN_BATCHES


class CompiledModel:
    """Maps images to logits as the model does, compiled.

    Where the model cannot be compiled (no compiler on the machine, too many forms of it in this
    process), it runs as it is.

    Args:
        model: On its device; its weights and the keys of its state stay.
        batch_size: Of the batches that are compiled for; an odd last batch of a pass would cost
            a compilation of its own.
        backend: See `torch.compile`.
    """

    def __init__(self, model: nn.Module, batch_size: int, backend: str = "inductor") -> None:
        _raise_limits()
        self.failure: str | None = None
        """Why the model runs as it is."""
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
            self.failure = f"this process has compiled {FORMS} forms of the model already"
            logits = self._model(images)
        except TorchDynamoException as error:
            self.failure = textwrap.shorten(str(error), 200)
            logits = self._model(images)
        return logits


def _raise_limits() -> None:
    from torch._dynamo import config

    settings: Any = config
    # Their names from torch 2.7 on, then those of 2.6.
    for limit, must_fail in (
        ("recompile_limit", "fail_on_recompile_limit_hit"),
        ("cache_size_limit", "fail_on_cache_limit_hit"),
    ):
        if hasattr(settings, limit):
            setattr(settings, limit, FORMS)
            setattr(settings, must_fail, True)
            return

"""How large a checkpoint will be, from the shapes of its tensors alone: nothing is computed."""

from __future__ import annotations

import torch

from trainable.config import OptimizerConfig, TrainConfig
from trainable.models import get_model

PER_TENSOR, PER_FILE = 300, 6_000
"""Bytes that `torch.save` adds, about: names, headers, and what is no tensor."""


def footprint(config: TrainConfig, *, allow_custom_model: bool = False) -> tuple[int, int]:
    """The parameters of a config's model, and the bytes of a checkpoint of it, to a few percent.

    Args:
        config: Complete settings.
        allow_custom_model: Whether `model.name` may import a callable of the user's.

    Raises:
        TuneSweepsError: The model cannot be built; it says why.
    """
    with torch.device("meta"):
        model = get_model(config, allow_custom=allow_custom_model)
    parameters = list(model.parameters())
    copies, scalars = _of_optimizer(config.optimizer)
    tensors = [*model.state_dict().values(), *parameters * copies]
    stored = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    count = len(tensors) + len(parameters) * scalars
    total = sum(parameter.numel() for parameter in parameters)
    return total, stored + count * PER_TENSOR + PER_FILE


def _of_optimizer(config: OptimizerConfig) -> tuple[int, int]:
    """Of each parameter, the tensors of its shape in the optimizer's state, and the scalars."""
    if config.name == "sgd":
        return (1 if config.momentum else 0), 0
    return 2, 1

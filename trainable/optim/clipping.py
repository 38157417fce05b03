"""Clips gradients before a step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from trainable.config.sections.training import ClipGrad
from trainable.models.heads import head_parameters

Clipping = Callable[[], object]
"""Changes the gradients of a model in place; the host does not wait for the device."""

SMALLEST_WEIGHT, SMALLEST_GRADIENT = 1e-3, 1e-6
"""Norms of a unit below which adaptive clipping takes these instead (Brock et al.)."""


def build_clipping(config: ClipGrad | None, model: nn.Module) -> Clipping | None:
    """Returns what clips the gradients of a model; None for no clipping.

    Args:
        config: The config's `training.clip_grad`.
        model: The model; parameters without a gradient are left out.
    """
    if config is None or config.norm is config.value is config.agc is None:
        return None
    parameters = list(model.parameters())
    if config.norm is not None:
        return partial(nn.utils.clip_grad_norm_, parameters, config.norm)
    if config.value is not None:
        return partial(nn.utils.clip_grad_value_, parameters, config.value)
    assert config.agc is not None, "the only one that is left"
    heads = head_parameters(model)
    body = [parameter for name, parameter in model.named_parameters() if name not in heads]
    return partial(_clip_adaptively, body, config.agc)


@torch.no_grad()
def _clip_adaptively(parameters: list[nn.Parameter], factor: float) -> None:
    """Scales down the gradient of each unit whose norm is above `factor` times its weights'."""
    for parameter in parameters:
        if parameter.grad is None:
            continue
        largest = _unit_norms(parameter).clamp(min=SMALLEST_WEIGHT) * factor
        norms = _unit_norms(parameter.grad)
        clipped = parameter.grad * (largest / norms.clamp(min=SMALLEST_GRADIENT))
        parameter.grad.copy_(torch.where(norms < largest, parameter.grad, clipped))


def _unit_norms(tensor: Tensor) -> Tensor:
    """Returns the norm of each output unit, or of the whole of a vector."""
    dimensions = tuple(range(1, tensor.ndim)) if tensor.ndim > 1 else None
    norms: Tensor = torch.linalg.vector_norm(tensor, dim=dimensions, keepdim=tensor.ndim > 1)
    return norms

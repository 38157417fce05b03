"""Replaces operations on single tensors by one operation on all of them, with the same results.

The duration of a recorded step of a small network is the time that its kernels take to start one
after another. Of the 290 operations of ResNet-20's step, 49 cast a weight or a gradient, and 19
add one to a counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

_LAYERS_CAST_BY_AUTOCAST = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
_BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@contextmanager
def batched_counters(model: nn.Module) -> Iterator[None]:
    """Increments the batch counters of all batch norms on exit, in one operation.

    Args:
        model: A model whose batch norms run once each inside, as in one training step.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _BATCH_NORMS) and module.training and module.momentum is not None
    ]
    counters = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.num_batches_tracked = None  # without a counter, batch norm does not count
    try:
        yield
    finally:
        for norm, counter in zip(norms, counters, strict=True):
            norm.num_batches_tracked = counter
    tensors = [counter for counter in counters if counter is not None]
    if tensors:
        torch._foreach_add_(tensors, 1)


class WeightCasts:
    """Runs a model on half-precision copies of its weights, which are cast in one operation.

    Autocast would cast them one by one.

    Args:
        model: The model, with weights in single precision; a forward pass uses each of them once.
        dtype: The data type of the autocast around the forward pass.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._model = model
        self._weights = {
            f"{path}.{name}" if path else name: parameter
            for path, module in model.named_modules()
            if isinstance(module, _LAYERS_CAST_BY_AUTOCAST)
            for name, parameter in module.named_parameters(recurse=False)
        }
        needs_gradients = torch.is_grad_enabled()
        self._casts: dict[str, Tensor] = {
            name: torch.empty_like(
                weight, dtype=dtype, requires_grad=needs_gradients and weight.requires_grad
            )
            for name, weight in self._weights.items()
        }

    def __call__(self, images: Tensor) -> Tensor:
        """Maps images `[B, C, H, W]` to logits `[B, num_classes]`."""
        with torch.no_grad():
            torch._foreach_copy_(
                [cast.detach() for cast in self._casts.values()],
                [weight.detach() for weight in self._weights.values()],
            )
        logits: Tensor = functional_call(self._model, self._casts, (images,))
        return logits

    def assign_gradients(self) -> None:
        """Moves the copies' gradients to the weights, in single precision."""
        weights, gradients = [], []
        for name, cast in self._casts.items():
            if cast.grad is not None:
                weights.append(self._weights[name])
                gradients.append(cast.grad)
                cast.grad = None
        if not weights:
            return
        converted = [torch.empty_like(weight, requires_grad=False) for weight in weights]
        torch._foreach_copy_(converted, gradients)
        for weight, gradient in zip(weights, converted, strict=True):
            weight.grad = gradient

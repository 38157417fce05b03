"""Does in one operation what a model does tensor by tensor, with the same results.

A recorded step of a small network takes as long as its kernels take to start one after another.
Of the 290 operations of ResNet-20's step, 49 cast a weight or a gradient, and 19 add one to a
counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

_CAST_BY_AUTOCAST = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
_COUNTING = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@contextmanager
def batched_counters(model: nn.Module) -> Iterator[None]:
    """Counts the batches of all batch norms at the end, in one operation.

    Args:
        model: Each of its batch norms runs once inside, as in one training step.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, _COUNTING) and module.training and module.momentum is not None
    ]
    counters = [norm.num_batches_tracked for norm in norms]
    for norm in norms:
        norm.num_batches_tracked = None  # batch norm counts where there is a counter
    try:
        yield
    finally:
        for norm, counter in zip(norms, counters, strict=True):
            norm.num_batches_tracked = counter
    tensors = [counter for counter in counters if counter is not None]
    if tensors:
        torch._foreach_add_(tensors, 1)


class WeightCasts:
    """Runs a model on half-precision copies of the weights that autocast would cast one by one.

    Args:
        model: With weights in single precision; each is used once in a forward pass.
        dtype: Of the autocast that it runs under.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._model = model
        self._weights = {
            f"{path}.{name}" if path else name: parameter
            for path, module in model.named_modules()
            if isinstance(module, _CAST_BY_AUTOCAST)
            for name, parameter in module.named_parameters(recurse=False)
        }
        trains = torch.is_grad_enabled()
        self._casts: dict[str, Tensor] = {
            name: torch.empty_like(
                weight, dtype=dtype, requires_grad=trains and weight.requires_grad
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
        """Gives the weights their gradients, in single precision."""
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

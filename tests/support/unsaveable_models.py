"""Models whose state `torch.load(weights_only=True)` does not read; `unsaveable_models:numpy`."""

from typing import Any

import numpy as np
import torch
from torch import nn

from tests.support.tiny_models import mlp


class WithExtraState(nn.Module):
    """An `mlp` with an extra state.

    Args:
        num_classes: See `mlp`.
        in_channels: See `mlp`.
        extra: The extra state.
    """

    def __init__(self, num_classes: int, in_channels: int, extra: Any) -> None:
        super().__init__()
        self.body = mlp(num_classes, in_channels)
        self.extra = extra

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(images)
        return logits

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


class NumpyAfterTraining(WithExtraState):
    """Counts its training batches, from the third one on in a NumPy number."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.extra += 1
        if self.extra > 2:
            self.extra = np.int64(self.extra)
        return super().forward(images)


class Marked(torch.Tensor):
    """A subclass of a tensor."""


def plain(num_classes: int, in_channels: int) -> nn.Module:
    """All that a checkpoint can hold."""
    extra = {
        "step": 3,
        "scale": 0.5,
        "names": ["a", ("b", None)],
        "seen": {1, 2},
        "raw": b"x",
        "shape": torch.Size([2]),
        "kind": torch.float32,
        "mean": torch.ones(2),
        "sparse": torch.eye(2).to_sparse(),
    }
    return WithExtraState(num_classes, in_channels, extra)


def numpy(num_classes: int, in_channels: int) -> nn.Module:
    return WithExtraState(num_classes, in_channels, {"step": np.float64(1.5)})


def numpy_later(num_classes: int, in_channels: int) -> nn.Module:
    return NumpyAfterTraining(num_classes, in_channels, 0)


def subclass(num_classes: int, in_channels: int) -> nn.Module:
    model = mlp(num_classes, in_channels)
    model.register_buffer("scale", torch.ones(2).as_subclass(Marked))
    return model


def unused_lazy(num_classes: int, in_channels: int) -> nn.Module:
    model = WithExtraState(num_classes, in_channels, None)
    model.head = nn.LazyLinear(num_classes)
    return model

"""Models that cannot be trained, each in one way that is found before a training."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.support.tiny_models import mlp, pooled_cnn


class Wrapped(nn.Module):
    """Returns what a function makes of the images and of a good model's logits."""

    def __init__(self, change: Any, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)
        self.change = change

    def forward(self, images: Tensor) -> Any:
        return self.change(self, self.net(images))


def returns_tuple(num_classes: int, in_channels: int) -> nn.Module:
    return Wrapped(lambda _, logits: (logits, logits), num_classes, in_channels)


def returns_dict(num_classes: int, in_channels: int) -> nn.Module:
    return Wrapped(lambda _, logits: {"logits": logits}, num_classes, in_channels)


def returns_tuple_in_training(num_classes: int, in_channels: int) -> nn.Module:
    def change(model: nn.Module, logits: Tensor) -> Any:
        return (logits, None) if model.training else logits

    return Wrapped(change, num_classes, in_channels)


def without_gradient(num_classes: int, in_channels: int) -> nn.Module:
    return Wrapped(lambda _, logits: logits.detach(), num_classes, in_channels)


def too_wide(num_classes: int, in_channels: int) -> nn.Module:
    return mlp(num_classes + 3, in_channels)


def frozen(num_classes: int, in_channels: int) -> nn.Module:
    return mlp(num_classes, in_channels).requires_grad_(False)


def lazy(num_classes: int, in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def several_lines(num_classes: int, in_channels: int) -> nn.Module:
    raise ValueError("first line\nsecond line\nlast line")


def exits(num_classes: int, in_channels: int) -> nn.Module:
    raise SystemExit(3)


def needs_gpu(num_classes: int, in_channels: int) -> nn.Module:
    def change(model: nn.Module, logits: Tensor) -> Tensor:
        raise RuntimeError("this kernel is not implemented for CPU tensors")

    return Wrapped(change, num_classes, in_channels)


def reads_values(num_classes: int, in_channels: int) -> nn.Module:
    """Cannot run on shapes alone."""
    return Wrapped(lambda _, logits: logits * float(logits.sum()), num_classes, in_channels)


def normalised(num_classes: int, in_channels: int) -> nn.Module:
    """Has batch norm behind a mean over the image."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(in_channels),
        nn.Flatten(),
        nn.Linear(in_channels, num_classes),
    )


def huge(num_classes: int, in_channels: int) -> nn.Module:
    """Has parameters that fit into no memory."""
    wide = 10_000_000_000
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64 * in_channels, wide), nn.Linear(wide, num_classes)
    )


def large(num_classes: int, in_channels: int) -> nn.Module:
    """Has 75 million parameters, and one class too many."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64 * in_channels, 1_000_000),
        nn.Linear(1_000_000, num_classes + 1),
    )


def draws(num_classes: int, in_channels: int) -> nn.Module:
    torch.rand(3)
    return pooled_cnn(num_classes, in_channels)


def uncopyable(num_classes: int, in_channels: int) -> nn.Module:
    """Holds a tensor that torch refuses to copy deeply: it is computed from parameters."""
    model = mlp(num_classes, in_channels)
    model.scale = next(model.parameters()).mean()
    return model

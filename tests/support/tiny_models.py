"""Models that train an epoch of digits in milliseconds; named `tiny_models:mlp`."""

import torch
from torch import nn


def mlp(num_classes: int, in_channels: int) -> nn.Module:
    """Has no batch norm and no dropout: a training depends on data and weights alone."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64 * in_channels, 16),
        nn.ReLU(),
        nn.Linear(16, num_classes),
    )


def wide_mlp(num_classes: int, in_channels: int) -> nn.Module:
    """Has a checkpoint of 1.2 MB with momentum."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64 * in_channels, 2048),
        nn.ReLU(),
        nn.Linear(2048, num_classes),
    )


def dropout_cnn(num_classes: int, in_channels: int) -> nn.Module:
    """Has every kind of state: 4-d weights, batch norm buffers, dropout with the global RNG."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(72, num_classes),
    )


def pooled_cnn(num_classes: int, in_channels: int) -> nn.Module:
    """Takes images of any size from 8x8 on."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(4),
        nn.Flatten(),
        nn.Linear(256, num_classes),
    )


class Restless(nn.Module):
    """Changes its weights in every training pass, not only when the optimizer steps."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3, stride=2)
        self.last = nn.Linear(8, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.conv.weight.data = nn.functional.normalize(self.conv.weight.data, dim=1)
            self.last.weight.data.mul_(0.9)
        logits: torch.Tensor = self.last(self.conv(images).amax((2, 3)))
        return logits

"""Models small enough that an epoch of digits takes milliseconds; named `tiny_models:mlp`."""

from torch import nn


def mlp(num_classes: int, in_channels: int) -> nn.Module:
    """No batch norm and no dropout: a training is a function of data and weights alone."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64 * in_channels, 16),
        nn.ReLU(),
        nn.Linear(16, num_classes),
    )


def dropout_cnn(num_classes: int, in_channels: int) -> nn.Module:
    """Every kind of state: 4-d weights, batch norm buffers, and dropout from the global stream."""
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

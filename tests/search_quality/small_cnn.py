"""The model of the learning curves: an epoch of digits takes it some ten milliseconds."""

from torch import nn


def small_cnn(num_classes: int, in_channels: int) -> nn.Module:
    """No batch norm, which would forgive most learning rates."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, num_classes),
    )

"""The model of the crash sweeps: all kinds of state, and about 0.2 s per epoch of digits."""

from torch import nn

from trainable.models import MODELS

MODELS[f"{__name__}:cnn"] = f"{__name__}:cnn"
"""Registers the model like a built-in one: its weights are copied during the next batch."""


def cnn(num_classes: int, in_channels: int) -> nn.Module:
    """Builds convolutions, batch norm with buffers, and dropout with the global generator."""
    width = 24
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(width * 16, num_classes),
    )

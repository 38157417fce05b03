"""The model of the crash sweeps: every kind of state, and an epoch of digits in about 0.2 s."""

from torch import nn

from trainable.models import MODELS

MODELS[f"{__name__}:cnn"] = f"{__name__}:cnn"
"""As one of ours in this process: the copy of its weights goes on beside the next batch."""


def cnn(num_classes: int, in_channels: int) -> nn.Module:
    """Convolutions, batch norm buffers, and dropout from the global random stream."""
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

"""Models of the sweeps and trainings in `tests/golden`, named `golden_model:linear` and `:cnn`."""

import os
import time

from torch import Tensor, nn


class Linear(nn.Linear):
    """Takes long enough for a sweep to be paused in between, if `GOLDEN_SLEEP_S` is set."""

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(float(os.environ.get("GOLDEN_SLEEP_S", "0")))
        return super().forward(images.flatten(1))


def linear(num_classes: int, in_channels: int) -> nn.Module:
    return Linear(64 * in_channels, num_classes)


def cnn(num_classes: int, in_channels: int) -> nn.Module:
    """Has 4-d weights, batch norm and dropout, and takes images of any size from 8x8 on."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, stride=2, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    )

"""The model of the sweeps in this directory, named `golden_model:linear`."""

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

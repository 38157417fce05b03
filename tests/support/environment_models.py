"""Models that report the environment of the process that builds them."""

import os

from torch import Tensor, nn

from tests.support.failing_models import CHECKED_IMAGES
from tests.support.tiny_models import mlp


class ShowsHardwareQueues(nn.Module):
    """Fails in the first training batch with the setting in its text."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > CHECKED_IMAGES:
            queues = os.environ.get("CUDA_DEVICE_MAX_CONNECTIONS")
            raise RuntimeError(f"{queues} hardware queues")
        return self.net(images)


def shows_hardware_queues(num_classes: int, in_channels: int) -> nn.Module:
    return ShowsHardwareQueues(num_classes, in_channels)

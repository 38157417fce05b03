"""Models that report the environment of the process that builds them."""

import os

from torch import nn


def shows_hardware_queues(num_classes: int, in_channels: int) -> nn.Module:
    raise RuntimeError(f"{os.environ.get('CUDA_DEVICE_MAX_CONNECTIONS')} hardware queues")

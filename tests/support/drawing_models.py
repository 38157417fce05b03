"""Models that use the global random number generators; named `drawing_models:noisy`."""

import random

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.tiny_models import mlp


class Noisy(nn.Module):
    """Uses all of the CPU's global generators in every training batch.

    NumPy generates normal numbers in pairs and keeps the second one for the next call.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)
        self.dropout = nn.Dropout(0.2)

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return self.net(images)
        noise = 0.01 * np.random.randn() + 0.01 * random.random() + 0.01 * np.random.rand()
        return self.net(self.dropout(images + noise) + 0.01 * torch.randn(()))


def noisy(num_classes: int, in_channels: int) -> nn.Module:
    return Noisy(num_classes, in_channels)

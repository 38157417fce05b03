"""A model whose epochs take long enough to watch; named `slow_models:mlp`."""

import time

from torch import Tensor, nn

from tests.support import tiny_models

BATCH_S = 0.05
CHECKED_IMAGES = 2
"""Images that a model is run on before a sweep."""


class SlowModel(nn.Module):
    """Sleeps before every training batch."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = tiny_models.mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > CHECKED_IMAGES:
            time.sleep(BATCH_S)
        scores: Tensor = self.net(images)
        return scores


def mlp(num_classes: int, in_channels: int) -> nn.Module:
    """Builds the tiny model, which then sleeps."""
    return SlowModel(num_classes, in_channels)

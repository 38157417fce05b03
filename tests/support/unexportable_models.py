"""Models that cannot be exported as they are; named `unexportable_models:hidden_weights`."""

import torch
from torch import Tensor, nn


class _Base(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(64 * in_channels, num_classes)
        self.register_buffer("hidden", torch.randn(num_classes), persistent=False)


class HiddenWeights(_Base):
    """Has weights that no checkpoint holds: a copy of the model computes something else."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(images.flatten(1)) + self.hidden
        return logits


class Branching(_Base):
    """Decides by the values of the images, which no tracer can follow."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(images.flatten(1))
        return logits if float(images.sum()) > 0 else -logits


hidden_weights = HiddenWeights
branching = Branching

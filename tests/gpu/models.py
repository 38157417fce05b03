"""Models of a user's own for the GPU checks; named `tests.gpu.models:Drops`."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn


class Drops(nn.Module):
    """Draws random numbers on the device: it can be recorded."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class Peeks(Drops):
    """Reads a value back in every forward pass, which no recording can follow."""

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        return logits if logits.abs().max().item() < 1e9 else logits * 0


class Waits(Drops):
    """Waits for the GPU by a call that torch does not report: its recording fails."""

    def forward(self, images: Tensor) -> Tensor:
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        return self.net(images)


class Tosses(Drops):
    """Decides by a coin in Python; a recording would repeat one decision for ever."""

    def forward(self, images: Tensor) -> Tensor:
        if self.training and random.random() < 0.5:
            images = images * 0.5
        return self.net(images)


class Restless(Drops):
    """Puts another tensor in the place of a weight in every training step."""

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            weight = self.net[0].weight
            weight.data = nn.functional.normalize(weight.data, dim=1)
        return self.net(images)


class Hog(Drops):
    """Allocates more memory than there is when it is trained."""

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            if not images.is_cuda:
                raise torch.OutOfMemoryError("CUDA out of memory")
            torch.empty(2**46, dtype=torch.uint8, device=images.device)
        return self.net(images)

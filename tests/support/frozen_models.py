"""Models for trainings with a frozen backbone; named `frozen_models:counted`."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

COUNT_FILE = "COUNT_FILE"
"""Environment variable: the file to which `Counted` adds a line for each batch."""


class Counted(nn.Module):
    """Counts the images that its backbone is run on, in all processes together."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(72, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        if COUNT_FILE in os.environ:
            with Path(os.environ[COUNT_FILE]).open("a", encoding="utf-8") as file:
                file.write(f"{len(images)}\n")
        features: Tensor = self.backbone(images)
        return features


class Dropping(Counted):
    """Has dropout before its classifier."""

    def forward(self, images: Tensor) -> Tensor:
        features = torch.dropout(self.features(images), 0.5, train=self.training)
        logits: Tensor = self.head(features)
        return logits


class Scaled(Counted):
    """Computes something behind its classifier."""

    def forward(self, images: Tensor) -> Tensor:
        return 2 * super().forward(images)


counted, dropping, scaled = Counted, Dropping, Scaled

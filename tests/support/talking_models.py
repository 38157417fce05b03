"""Models that print, as users' models may do."""

import sys
from typing import Any

import torch
from torch import nn

from tests.support import tiny_models


def mlp(*args: object, **settings: object) -> nn.Module:
    """Builds the tiny model and prints to both streams."""
    print("built")
    print("to stderr", file=sys.stderr)
    return tiny_models.mlp(*args, **settings)


class KeepsStream(nn.Sequential):
    """Keeps the standard output of its construction, like a logger, and fails on request."""

    fails = False

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.out = KEPT.setdefault("out", sys.stdout)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            print("a batch", file=self.out)
        if self.fails:
            raise RuntimeError("it has failed on request")
        scores: torch.Tensor = super().forward(images)
        return scores


KEPT: dict[str, Any] = {}
"""State that lasts as long as the process, like the handlers of a logger."""


def keeping(num_classes: int, in_channels: int) -> nn.Module:
    """Builds the tiny model as a `KeepsStream`."""
    return KeepsStream(*tiny_models.mlp(num_classes, in_channels))

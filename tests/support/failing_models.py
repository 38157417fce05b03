"""Models that each fail in one way; named `failing_models:out_of_memory` and so on."""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from tests.support.tiny_models import mlp

MARKS = "FAILING_MODELS_MARKS"
"""Environment variable: a directory whose files mark failures that have already happened."""

CHECKED_IMAGES = 2
"""Images that a model is run on before a sweep; failures that are found there fail no trial."""


class OutOfMemory(nn.Module):
    """Runs out of GPU memory, like CUDA, on training batches of more than 64 images."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.net(images)


class Exits(nn.Module):
    """Tries to exit its process."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > CHECKED_IMAGES:
            sys.exit(3)
        return self.net(images)


class NotANumber(nn.Module):
    """Has a loss that is not finite from the first training batch on."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images) * float("nan")


class FailsLate(nn.Module):
    """Fails in the third epoch: kills its process once, marked in a file, or always raises."""

    def __init__(self, num_classes: int, in_channels: int, *, kill: bool) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)
        self.kill = kill
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> nn.Module:
        if not mode:
            self.evaluations += 1  # once per epoch with a val_split and without the test set
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and self.evaluations >= 2:
            if not self.kill:
                raise RuntimeError("a bad day")
            mark = Path(os.environ[MARKS]) / "killed"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.net(images)


def out_of_memory(num_classes: int, in_channels: int) -> nn.Module:
    return OutOfMemory(num_classes, in_channels)


def exits(num_classes: int, in_channels: int) -> nn.Module:
    return Exits(num_classes, in_channels)


def not_a_number(num_classes: int, in_channels: int) -> nn.Module:
    return NotANumber(num_classes, in_channels)


def raises_late(num_classes: int, in_channels: int) -> nn.Module:
    return FailsLate(num_classes, in_channels, kill=False)


def dies_once(num_classes: int, in_channels: int) -> nn.Module:
    return FailsLate(num_classes, in_channels, kill=True)


class Raises(nn.Module):
    """Raises an exception in every training batch."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > CHECKED_IMAGES:
            raise RuntimeError("no such luck")
        return self.net(images)


def always_raises(num_classes: int, in_channels: int) -> nn.Module:
    return Raises(num_classes, in_channels)


class Hoards(nn.Module):
    """Takes 3 GiB of the host's memory for a batch of more than 64 images, and holds them."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > 64:
            hoard = [torch.ones(2**28) for _ in range(3)]
            time.sleep(30)  # until Ray's monitor has seen it
            del hoard
        return self.net(images)


def hoards(num_classes: int, in_channels: int) -> nn.Module:
    return Hoards(num_classes, in_channels)

"""Models that each fail in one way; named `failing_models:out_of_memory` and so on."""

import errno
import os
import signal
import stat
import sys
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


class FailsOnce(nn.Module):
    """Fails once, in the third epoch, and marks that in a file."""

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
        mark = Path(os.environ[MARKS]) / ("killed" if self.kill else "raised")
        if self.training and self.evaluations >= 2 and not mark.exists():
            mark.touch()
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("a bad day")
        return self.net(images)


def out_of_memory(num_classes: int, in_channels: int) -> nn.Module:
    return OutOfMemory(num_classes, in_channels)


def exits(num_classes: int, in_channels: int) -> nn.Module:
    return Exits(num_classes, in_channels)


def not_a_number(num_classes: int, in_channels: int) -> nn.Module:
    return NotANumber(num_classes, in_channels)


def raises_once(num_classes: int, in_channels: int) -> nn.Module:
    return FailsOnce(num_classes, in_channels, kill=False)


def dies_once(num_classes: int, in_channels: int) -> nn.Module:
    return FailsOnce(num_classes, in_channels, kill=True)


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


class FillsTheDisk(nn.Module):
    """Finds the disk full from its third epoch on, as long as the marking file exists."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> nn.Module:
        if not mode:
            self.evaluations += 1
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        full = Path(os.environ[MARKS]) / "disk_is_full"
        if self.training and self.evaluations >= 2 and full.exists():
            fsync = os.fsync

            def fail_with_full_disk(descriptor: int) -> None:
                # A directory may be synced, too: that of the epoch before.
                if full.exists() and stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                fsync(descriptor)

            os.fsync = fail_with_full_disk
        return self.net(images)


def fills_the_disk(num_classes: int, in_channels: int) -> nn.Module:
    return FillsTheDisk(num_classes, in_channels)

"""Models that fail in one way each; named `failing_models:out_of_memory` and so on."""

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
"""Environment variable: a directory in which a file says that a failure has happened already."""


class OutOfMemory(nn.Module):
    """Fails as CUDA does on batches of more than 64 images, in training."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.net(images)


class Exits(nn.Module):
    """Ends its process, or would."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        sys.exit(3)


class NotANumber(nn.Module):
    """Its loss is not finite from the first training batch on."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images) * float("nan")


class FailsOnce(nn.Module):
    """Fails once, in the third epoch, then never again: the marking file remembers."""

    def __init__(self, num_classes: int, in_channels: int, *, kill: bool) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)
        self.kill = kill
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))

    def train(self, mode: bool = True) -> nn.Module:
        if not mode:
            self.evaluations += 1  # once an epoch with a val_split and no look at the test set
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


def always_raises(num_classes: int, in_channels: int) -> nn.Module:
    raise RuntimeError("no such luck")


class FillsTheDisk(nn.Module):
    """In its third epoch the disk has no room any more, until the marking file is gone."""

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

            def no_room(descriptor: int) -> None:
                # What is being synced may be the directory of the epoch before.
                if full.exists() and stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                fsync(descriptor)

            os.fsync = no_room
        return self.net(images)


def fills_the_disk(num_classes: int, in_channels: int) -> nn.Module:
    return FillsTheDisk(num_classes, in_channels)

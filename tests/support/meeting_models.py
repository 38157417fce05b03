"""A model whose trainings wait for one another, so that they hold their resources concurrently."""

import os
import signal
import time
from pathlib import Path

from torch import Tensor, nn

from tests.support.failing_models import CHECKED_IMAGES, MARKS
from tests.support.tiny_models import mlp

PROCESSES = 4
TIMEOUT_S = 270


class Meets(nn.Module):
    """Waits for three other processes; the first one then dies, and all wait for its retry."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.net = mlp(num_classes, in_channels)
        self.has_met = False

    def forward(self, images: Tensor) -> Tensor:
        if not self.has_met and len(images) > CHECKED_IMAGES:
            self.has_met = True
            _meet()
        logits: Tensor = self.net(images)
        return logits


def four(num_classes: int, in_channels: int) -> nn.Module:
    return Meets(num_classes, in_channels)


def _meet() -> None:
    folder = Path(os.environ[MARKS])
    (folder / f"met_{os.getpid()}").touch()
    files = _wait_for(folder, PROCESSES)
    if len(files) == PROCESSES:
        if files[0].name == f"met_{os.getpid()}":
            os.kill(os.getpid(), signal.SIGKILL)
        _wait_for(folder, PROCESSES + 1)


def _wait_for(folder: Path, count: int) -> list[Path]:
    """Returns the files of `count` processes, in the order of their arrival."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        files = sorted(folder.glob("met_*"), key=lambda path: path.stat().st_mtime_ns)
        if len(files) >= count:
            return files
        time.sleep(0.05)
    raise TimeoutError(f"fewer than {count} processes within {TIMEOUT_S} s")

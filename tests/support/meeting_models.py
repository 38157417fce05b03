"""A model whose trainings wait for one another, so that they hold their resources concurrently."""

import os
import signal
import time
from pathlib import Path

from torch import nn

from tests.support.tiny_models import mlp

PROCESSES = 4
TIMEOUT_S = 90


def four(num_classes: int, in_channels: int) -> nn.Module:
    """Waits for three other processes; the first one then dies, and all wait for its retry."""
    folder = Path.cwd().parent / "met"  # in the sweep directory: trials work in their own
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    files = _wait_for(folder, PROCESSES)
    if len(files) == PROCESSES:
        if files[0].name == str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        _wait_for(folder, PROCESSES + 1)
    return mlp(num_classes, in_channels)


def _wait_for(folder: Path, count: int) -> list[Path]:
    """Returns the files of `count` processes, in the order of their arrival."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        if len(files) >= count:
            return files
        time.sleep(0.05)
    raise TimeoutError(f"fewer than {count} processes within {TIMEOUT_S} s")

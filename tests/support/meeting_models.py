"""A model whose trainings wait for one another: what they hold meanwhile, they hold at once."""

import os
import signal
import time
from pathlib import Path

from torch import nn

from tests.support.tiny_models import mlp

PARTIES = 4
PATIENCE_S = 90


def four(num_classes: int, in_channels: int) -> nn.Module:
    """Waits for three other processes; the first to come then dies, and all wait for its retry."""
    place = Path.cwd().parent / "met"  # of the sweep: a trial's directory is the working one
    place.mkdir(exist_ok=True)
    (place / str(os.getpid())).touch()
    met = _wait_for(place, PARTIES)
    if len(met) == PARTIES:
        if met[0].name == str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        _wait_for(place, PARTIES + 1)
    return mlp(num_classes, in_channels)


def _wait_for(place: Path, count: int) -> list[Path]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        met = sorted(place.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        if len(met) >= count:
            return met
        time.sleep(0.05)
    raise TimeoutError(f"fewer than {count} processes have come")

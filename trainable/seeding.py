"""Randomness: every epoch draws from its own stream, a function of the run's seed and the epoch.

Nothing depends on the state that earlier work left in a global generator, so a resumed run, a
reused worker and an uninterrupted run see the same numbers without any generator being stored.
"""

from __future__ import annotations

import os
import random
from types import TracebackType
from typing import Any

import numpy as np
import torch


def stream_seed(seed: int, epoch: int) -> int:
    """A 63-bit seed for one epoch of one run; epoch 0 is the initialisation."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch (all devices) for whatever draws from the global streams."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def set_determinism(enabled: bool) -> None:
    """Switches the process between deterministic and fast algorithms, both ways."""
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if enabled != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(enabled)  # loads torch's compiler: a second or two
    torch.backends.cudnn.deterministic = enabled
    torch.backends.cudnn.benchmark = not enabled


class OwnStreams:
    """The global generators as one of several trainings sees them that take turns in a process.

    Entered, they go on where this training has left them; left, they are put by. So are the
    switches of `set_determinism`.
    """

    def __init__(self) -> None:
        self._streams: tuple[Any, ...] | None = None

    def __enter__(self) -> None:
        self.go_on()

    def go_on(self) -> None:
        """Puts the generators where this training has left them."""
        if self._streams is None:
            return
        python, arrays, tensors, cards, deterministic = self._streams
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
        if cards:
            torch.cuda.set_rng_state_all(cards)
        if deterministic != torch.are_deterministic_algorithms_enabled():
            set_determinism(deterministic)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self._streams = (
            random.getstate(),
            np.random.get_state(),
            torch.get_rng_state(),
            cards,
            torch.are_deterministic_algorithms_enabled(),
        )

"""Randomness: every epoch draws from its own stream, a function of the run's seed and the epoch.

Nothing depends on the state that earlier work left in a global generator, so a resumed run, a
reused worker and an uninterrupted run see the same numbers without any generator being stored.
"""

from __future__ import annotations

import os
import random

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
    torch.use_deterministic_algorithms(enabled)
    torch.backends.cudnn.deterministic = enabled
    torch.backends.cudnn.benchmark = not enabled

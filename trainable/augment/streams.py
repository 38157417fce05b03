"""Random streams, each a function of a seed and of what is drawn; states of the generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Purpose of a stream; the values are part of every seed and must not change."""

    GEOMETRY = 1
    POLICY = 2
    COLOUR = 3
    ERASING = 4
    MIXING = 5


def stream_seed(seed: int, epoch: int) -> int:
    """Returns a 63-bit seed for one epoch of one training; epoch 0 is the initialisation."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)


def rng_of(seed: int, stream: Stream, number: int) -> np.random.Generator:
    """Returns the generator of one batch or image.

    Args:
        seed: Seed of the pass.
        stream: What is drawn.
        number: Number of the batch in its pass, or of the image in its data set.
    """
    return np.random.default_rng([seed, stream, number])


@contextmanager
def torch_seeded_by(rng: np.random.Generator) -> Iterator[None]:
    """Seeds torch's generator of the CPU, which Kornia draws from, and puts it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        yield


@contextmanager
def same_random_numbers(*, on_gpus: bool = False) -> Iterator[None]:
    """Restores the states of the global generators of Python, NumPy and torch.

    Args:
        on_gpus: Whether to restore torch's generators of the GPUs, too, which initializes CUDA.
    """
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=None if on_gpus else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)

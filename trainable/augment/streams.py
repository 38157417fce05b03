"""Random streams: each is a function of the pass's seed, what is drawn, and a number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """What is drawn; the values are part of every seed and must not change."""

    GEOMETRY = 1
    POLICY = 2
    COLOUR = 3
    ERASING = 4
    MIXING = 5


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

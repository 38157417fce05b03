"""Batches of a map-style data set, loaded by processes where shared memory is large enough."""

from __future__ import annotations

import logging
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from trainable.data.loader.shared_memory import (
    DEVICE,
    REMEDY,
    find_shortage,
    is_shared_memory_error,
)
from trainable.errors import DataError


class BatchLoader:
    """Loads batches in the order of their numbers, in this process or in loader processes.

    Loader processes are given up for good, with a line in the log, where shared memory is too
    small for them.

    Args:
        device: The device that the batches are for; those for a GPU are in pinned memory.
        num_workers: Loader processes; 0 loads in this process.
    """

    def __init__(self, device: torch.device, num_workers: int) -> None:
        self.device = device
        self.num_workers = num_workers

    def load(
        self, items: Dataset[Any], parts: Sequence[Sequence[int]], item_bytes: int
    ) -> Iterator[list[Any]]:
        """Yields batches on the CPU: a list with a tensor, or texts, for each value of an item.

        Args:
            items: The data set; its items are tensors, numbers or texts, or tuples of them.
            parts: The numbers of the items of each batch.
            item_bytes: Size of an item.

        Raises:
            DataError: The data set has raised it; the text is the same from a loader process.
        """
        if parts:
            self._give_up_workers(find_shortage(len(parts[0]) * item_bytes, self.num_workers))
        loaded = 0
        try:
            for batch in self._load(items, parts):
                loaded += 1
                yield batch
        except (RuntimeError, OSError) as error:
            if not self.num_workers or not is_shared_memory_error(str(error)):
                raise
            self._give_up_workers(f"{DEVICE} (shared memory) is full: {REMEDY}")
            yield from self._load(items, parts[loaded:])

    def _give_up_workers(self, reason: str | None) -> None:
        if reason is not None:
            self.num_workers = 0
            logging.getLogger(__name__).warning("note: %s", reason)

    def _load(self, items: Dataset[Any], parts: Sequence[Sequence[int]]) -> Iterator[list[Any]]:
        loader = DataLoader(
            items,
            batch_sampler=[list(part) for part in parts],
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            # The order is fixed; without a generator of its own the loader would draw from the
            # global stream.
            generator=torch.Generator(),
        )
        try:
            yield from loader
        except Exception as error:
            # Torch's frames hold the iterator in a cycle with the error. Left to the garbage
            # collector, its processes and their shared memory stay, and end after 5 s each.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, DataError):
                # The text from a loader process begins with that process's traceback.
                text = str(error).rpartition("DataError: ")[2].strip()
                raise DataError(text) from error
            raise


def order_pass(count: int, seed: int, order: Sequence[int] | None) -> list[int]:
    """Returns the numbers of the images of a training pass; see `ImageSource.train_batches`.

    Args:
        count: Number of training images.
        seed: Seed of the pass, by which all images are shuffled without an order.
        order: Numbers of the images; those that come again get numbers of their own.
    """
    if order is not None:
        return number_repeats(order, count)
    shuffled: list[int] = torch.randperm(
        count, generator=torch.Generator().manual_seed(seed)
    ).tolist()
    return shuffled


def number_repeats(order: Sequence[int], count: int) -> list[int]:
    """Adds `count` to an image's number for each time that it has occurred before."""
    seen: Counter[int] = Counter()
    numbers = []
    for index in order:
        numbers.append(index + seen[index] * count)
        seen[index] += 1
    return numbers

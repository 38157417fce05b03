"""Passes over the items of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from trainable.data.loader.batches import BatchLoader
from trainable.data.own.fetching import OwnItems, seeded_generators
from trainable.data.own.items import Label
from trainable.data.own.labels import Classes
from trainable.data.own.measure import ImageForm

BATCH_SIZE = 64
"""Items that are fetched together where no batches of another size are wanted."""


@dataclass(frozen=True)
class Part:
    """One split: all items of a data set, or some of them."""

    items: OwnItems
    numbers: NDArray[np.int64]
    """Numbers of the items in their data set."""
    labels: NDArray[np.int64]
    """`[N]`."""

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, positions: NDArray[np.int64]) -> Part:
        """Returns the part with the items at these positions."""
        return Part(self.items, self.numbers[positions], self.labels[positions])

    def spread(self, count: int) -> list[int]:
        """Returns the positions of at most so many items, evenly distributed."""
        return sorted({*np.linspace(0, len(self) - 1, min(count, len(self))).astype(int).tolist()})


@dataclass(frozen=True)
class Pass(Dataset[tuple[Tensor, int]]):
    """Items of a part with random numbers that depend on a seed and their number alone.

    A number may be larger than the number of items by a multiple of it: the same item with other
    random numbers.
    """

    part: Part
    form: ImageForm
    classes: Classes
    seed: int
    change: Callable[[Tensor], Tensor] | None = None
    """Changes an image, with random numbers of torch's global generator."""
    epoch: int = 0
    """Passed to `set_epoch` of the data set."""

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Returns an image and its label.

        Raises:
            DataError: The item cannot be used.
        """
        items, index = self.part.items, int(self.part.numbers[number % len(self.part)])
        place = items.describe(index)
        with seeded_generators(self.seed, number):
            image, label = items.fetch(index, epoch=self.epoch)
            image = self.form.fit(image, place)
            if self.change is not None:
                image = self.change(image)
        return image.contiguous(), self.classes.encode(label, place)


@dataclass(frozen=True)
class _Labels(Dataset[str]):
    """Labels of all items of a split, as texts."""

    items: OwnItems
    seed: int

    def __getitem__(self, index: int) -> str:
        with seeded_generators(self.seed, index):
            label = self.items.fetch(index)[1]
        return label_to_text(label)


def fetch_labels(items: OwnItems, loader: BatchLoader, seed: int) -> list[Label]:
    """Fetches all items of a split for their labels.

    Raises:
        DataError: An item cannot be used.
    """
    batches = loader.load(_Labels(items, seed), batches_of(range(len(items))), 0)
    texts = (text for batch in batches for text in batch)
    return [label_from_text(text) for text in texts]


def label_to_text(label: Label) -> str:
    """Returns a label as a text, so that the loader can put numbers and names into one batch."""
    return f"#{label}" if isinstance(label, int) else f"={label}"


def label_from_text(text: str) -> Label:
    """Returns the label that `label_to_text` has made a text of."""
    return int(text[1:]) if text.startswith("#") else text[1:]


def batches_of(numbers: Sequence[int]) -> list[Sequence[int]]:
    """Divides numbers of items into batches."""
    return [numbers[i : i + BATCH_SIZE] for i in range(0, len(numbers), BATCH_SIZE)]

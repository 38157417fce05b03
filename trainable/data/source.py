"""What the training loop asks of a data set, and how a pass is cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Images `[B, C, H, W]` float32, normalised, and labels `[B]` int64, both on the device."""

Split = Literal["train", "val", "test"]


class ImageSource(Protocol):
    """A data set that is ready to be trained on."""

    num_classes: int
    shape: tuple[int, int, int]
    """Channels, height, width of every image of a batch."""
    class_names: tuple[str, ...]
    """One name a label, in label order."""
    has_val: bool
    """Whether part of the training set is held out as the `val` split."""

    def size(self, split: Split) -> int:
        """Number of images of a split.

        Raises:
            ValueError: The split is `val` and there is none.
        """
        ...

    def train_batches(self, batch_size: int, *, seed: int) -> Iterator[Batch]:
        """One pass over the training images: shuffled, and augmented if the config says so.

        Order, crops and flips are a function of `seed` alone. Every image comes once; a last
        batch of a single image is left out, because batch norm cannot take it.

        Args:
            batch_size: Images a batch; the last one may have fewer.
            seed: Of this pass.
        """
        ...

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """One pass over a split, every image once, in order and not augmented.

        Args:
            split: Which images.
            batch_size: Images a batch; the last one may have fewer.

        Raises:
            ValueError: The split is `val` and there is none.
        """
        ...


def batch_slices(count: int, batch_size: int) -> list[slice]:
    """The parts of `count` images in batches of `batch_size`, in order."""
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]


def train_slices(count: int, batch_size: int) -> list[slice]:
    """As `batch_slices`, but a last batch of one image is left out.

    Batch norm cannot take a single image in training. The batch stays where that is what
    was asked for (`batch_size` 1) or all there is.
    """
    slices = batch_slices(count, batch_size)
    if batch_size > 1 and len(slices) > 1 and count % batch_size == 1:
        slices.pop()
    return slices


def no_val_split() -> ValueError:
    """The error of asking for a validation split that the config does not make."""
    return ValueError("there is no val split; dataset.val_split is null")

"""`ImageSource`, the interface of a data set; parts of it that several data sets share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from trainable.config import AugmentConfig, FileDataset
from trainable.config.preprocessing import complete_preprocessing
from trainable.data.listing import VAL, ListedImage
from trainable.data.normalize import Normalizer
from trainable.data.shapes import IMAGE_FOLDER_CHANNELS
from trainable.data.splits.divide import DividedImages, divide
from trainable.data.splits.record import SplitRecord

Batch = tuple[Tensor, Tensor]
"""Images `[B, C, H, W]` float32, normalised, and labels `[B]` int64, both on the device."""

Split = Literal["train", "val", "test"]


class ImageSource(Protocol):
    """A data set that is ready for training."""

    num_classes: int
    shape: tuple[int, int, int]
    """Channels, height, width of every image of a batch."""
    class_names: tuple[str, ...]
    """One name per label, in label order."""
    has_val: bool
    """Whether there is a `val` split: a part of the training set, or a folder of its own."""
    mean: tuple[float, ...]
    """Mean of each channel, of values in [0, 1], that has been subtracted."""
    std: tuple[float, ...]
    """Standard deviation of each channel, by which images have then been divided."""
    train_labels: Tensor
    """`[N]` int64 on the CPU: the class of every training image, in the order of their numbers."""
    split: SplitRecord | None
    """Record that keeps the images on their sides when a training continues; None if no file can
    be added or removed."""
    divided: DividedImages | None
    """The files of each split; None if the images are not in files of their own."""
    notices: Sequence[str]
    """Lines for the user on the files of the data set."""

    def size(self, split: Split) -> int:
        """Returns the number of images of a split.

        Raises:
            ValueError: The split is `val` and there is none.
        """
        ...

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        augment: AugmentConfig | None = None,
        order: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Yields one pass over the training images: shuffled, and augmented if the config says so.

        Order and changes are a function of `seed` alone. Every image occurs once. A last batch of
        a single image is left out, because batch norm cannot use it.

        Args:
            batch_size: Images per batch; the last one may have fewer.
            seed: Seed of this pass.
            augment: What changes single images besides `dataset.augment`; `erasing`, `mixup` and
                `cutmix` are not applied here.
            order: Numbers of the images of the pass; None shuffles all of them. An image that
                occurs several times is changed differently each time.
        """
        ...

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass over a split, every image once, in order and not augmented.

        Args:
            split: The split.
            batch_size: Images per batch; the last one may have fewer.

        Raises:
            ValueError: The split is `val` and there is none.
        """
        ...

    def fingerprint(self, split: Split) -> str:
        """Returns a hash that is another one if the images or labels of a split change."""
        ...


@runtime_checkable
class HasEpochs(Protocol):
    """A source whose training images may depend on the epoch besides the seed."""

    def set_epoch(self, epoch: int) -> None:
        """States the epoch of the next training pass."""


def start_epoch(source: ImageSource, epoch: int) -> None:
    """States the epoch of the next training pass to a source that depends on it.

    Args:
        source: A data set.
        epoch: Number of the epoch, from 1.
    """
    if isinstance(source, HasEpochs):
        source.set_epoch(epoch)


@runtime_checkable
class DecodesFiles(Protocol):
    """A source that decodes its files when they are needed first."""

    def prepare(self) -> None:
        """Decodes now what a training needs, unless it has been decoded."""


def prepare_training(source: ImageSource) -> None:
    """Lets a source do now what the first epoch of a training would otherwise wait for."""
    if isinstance(source, DecodesFiles):
        source.prepare()


def batch_slices(count: int, batch_size: int) -> list[slice]:
    """Divides `count` images into batches of `batch_size`, in order."""
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]


def train_slices(count: int, batch_size: int) -> list[slice]:
    """Divides as `batch_slices` does, but leaves out a last batch of one image.

    Batch norm cannot use a single image in training. The batch stays if `batch_size` is 1 or if
    it is the only one.
    """
    slices = batch_slices(count, batch_size)
    if batch_size > 1 and len(slices) > 1 and count % batch_size == 1:
        slices.pop()
    return slices


def no_val_split_error() -> ValueError:
    """Returns the error for reading a validation split that the config does not define."""
    return ValueError("there is no val split; dataset.val_split is null")


class FileSource:
    """The part of an `ImageSource` over images in files that does not depend on how they are read.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches.
        split: The split of the training that continues; None draws one.

    Raises:
        DataError: See `divide`.
    """

    def __init__(
        self, dataset: FileDataset, device: torch.device, split: SplitRecord | None
    ) -> None:
        divided = divide(dataset, split)
        self.split: SplitRecord | None = divided.record
        self.divided: DividedImages | None = divided
        self.notices: Sequence[str] = (*divided.listing.notices, *divided.changes)
        self._divided = divided
        self._device = device
        self._preprocessing = complete_preprocessing(dataset, IMAGE_FOLDER_CHANNELS)
        self.mean, self.std = self._preprocessing.mean, self._preprocessing.std
        size = self._preprocessing.image_size
        self._normalize = Normalizer(self.mean, self.std, width=size, device=device)
        self.class_names = divided.listing.classes
        self.num_classes = len(self.class_names)
        self.shape = (IMAGE_FOLDER_CHANNELS, size, size)
        self.has_val = VAL in divided.images
        self.train_labels = torch.tensor([image.label for image in self._listed("train")])

    def size(self, split: Split) -> int:
        """Returns the number of images of a split; see `ImageSource`."""
        return len(self._listed(split))

    def _listed(self, split: Split) -> tuple[ListedImage, ...]:
        """Returns the images of a split.

        Raises:
            ValueError: The split is `val` and there is none.
        """
        if split not in self._divided.images:
            raise no_val_split_error()
        return self._divided.images[split]

"""Data sets of the user's own that are not kept in memory: every pass fetches its items anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trainable.config import AugmentConfig, OwnDataset
from trainable.config.preprocessing import fit_channels
from trainable.data.arrays import channel_statistics
from trainable.data.loader.batches import BatchLoader, order_pass
from trainable.data.normalize import Normalizer
from trainable.data.own.labels import Classes
from trainable.data.own.measure import ImageForm, final_form, final_shape
from trainable.data.own.passes import Part, Pass, batches_of
from trainable.data.source import Batch, Split, batch_slices, no_val_split_error, train_slices
from trainable.data.splits.divide import DividedImages
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

if TYPE_CHECKING:
    from trainable.data.own.transforms import OwnTransforms

MEASURED_IMAGES = 1000
"""Training images, evenly distributed, from which mean and standard deviation are computed."""
HASHED_IMAGES = 64
"""Images of a split, evenly distributed, that its fingerprint depends on."""
FINISHED = (
    "the images are floats, which are used as they are: dataset.augment, image_size, mean and std "
    "do not apply to them"
)

NOT_AUGMENTED = (
    "must leave the pixels as they are, since the images of the data set are floats, which are "
    "finished; erasing, mixup and cutmix are possible"
)


class OwnSource:
    """An `ImageSource` over items that are fetched anew in every pass.

    The random numbers of an item depend on the seed of the pass and its number alone; those of an
    evaluation are the same every time. Images of 8 bits are resized, augmented and normalised;
    floats are finished.

    Args:
        dataset: The config's `dataset` section.
        parts: `train`, `test` and, if there is one, `val`.
        classes: The classes.
        form: The form of the images before they are resized.
        loader: Loads the batches, for its device.

    Raises:
        DataError: The images differ in size and are not resized, or an item cannot be used.
    """

    def __init__(
        self,
        dataset: OwnDataset,
        parts: Mapping[Split, Part],
        classes: Classes,
        form: ImageForm,
        *,
        loader: BatchLoader,
    ) -> None:
        self._parts = parts
        self._classes = classes
        self._form = final_form(form, dataset)
        self._loader = loader
        self._device = loader.device
        self._seed = dataset.seed
        self._epoch = 0
        self.shape = final_shape(form, dataset)
        self.class_names = classes.names
        self.num_classes = len(classes.names)
        self.has_val = "val" in parts
        self.train_labels = torch.from_numpy(parts["train"].labels)
        self.split: SplitRecord | None = None
        self.divided: DividedImages | None = None
        self._transforms: OwnTransforms | None = None
        self._normalize: Callable[[Tensor], Tensor] = _order_channels_last
        self.mean, self.std = (0.0,) * form.channels, (1.0,) * form.channels
        self.notices: Sequence[str] = (FINISHED,)
        if not form.is_finished:
            from trainable.data.own.transforms import OwnTransforms  # torchvision takes seconds

            self._transforms = OwnTransforms(dataset, self.shape)
            self.notices = ()
            self.mean, self.std = self._find_statistics(dataset)
            self._normalize = Normalizer(
                self.mean, self.std, width=self.shape[2], device=loader.device
            )

    def size(self, split: Split) -> int:
        """Returns the number of images of a split; see `ImageSource`."""
        return len(self._part(split))

    def set_epoch(self, epoch: int) -> None:
        """States the epoch of the next training pass, for data sets with a method `set_epoch`."""
        self._epoch = epoch

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        augment: AugmentConfig | None = None,
        order: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Yields one shuffled pass; see `ImageSource`.

        Raises:
            DataError: The images are floats and `augment` changes pixels.
        """
        part, change = self._part("train"), None
        if self._transforms is not None:
            change = self._transforms.training(augment)
        elif augment is not None and augment.changes_pixels:
            raise DataError(f"augment {NOT_AUGMENTED}")
        numbers = order_pass(len(part), seed, order)
        parts = [numbers[of_batch] for of_batch in train_slices(len(numbers), batch_size)]
        items = Pass(part, self._form, self._classes, seed, change, self._epoch)
        return self._batches(items, parts)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass in order; see `ImageSource`."""
        part = self._part(split)
        parts = [range(len(part))[of_batch] for of_batch in batch_slices(len(part), batch_size)]
        return self._batches(self._evaluation(part), parts)

    def fingerprint(self, split: Split) -> str:
        """Returns a hash of all labels and, of the images, of `identities` or else of a sample.

        `identities` is an attribute of the data set, one text per item. The sample are
        `HASHED_IMAGES` images. See `ImageSource`.
        """
        part, digest = self._part(split), hashlib.sha256()
        digest.update(repr((self.class_names, self.shape)).encode())
        digest.update(part.labels.tobytes() + part.numbers.tobytes())
        if part.items.identities is not None:
            for number in part.numbers:
                digest.update(f"{part.items.identities[number]}\0".encode())
            return digest.hexdigest()
        items = self._evaluation(part)
        for images, _ in self._load(items, batches_of(part.spread(HASHED_IMAGES))):
            digest.update(images.numpy().tobytes())
        return digest.hexdigest()

    def _part(self, split: Split) -> Part:
        if split not in self._parts:
            raise no_val_split_error()
        return self._parts[split]

    def _evaluation(self, part: Part) -> Pass:
        change = None if self._transforms is None else self._transforms.plain
        return Pass(part, self._form, self._classes, self._seed, change)

    def _load(self, items: Pass, parts: Sequence[Sequence[int]]) -> Iterator[Sequence[Tensor]]:
        item_bytes = int(np.prod(self.shape)) * (4 if self._form.is_finished else 1)
        return self._loader.load(items, parts, item_bytes)

    def _batches(self, items: Pass, parts: Sequence[Sequence[int]]) -> Iterator[Batch]:
        for images, labels in self._load(items, parts):
            images = images.to(self._device, non_blocking=True)
            yield self._normalize(images), labels.to(self._device, non_blocking=True)

    def _find_statistics(self, dataset: OwnDataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Returns mean and standard deviation: those of the config, else of a sample."""
        channels = self.shape[0]
        if dataset.mean is not None and dataset.std is not None:
            return fit_channels(dataset.mean, channels), fit_channels(dataset.std, channels)
        part = self._part("train")
        batches = self._load(self._evaluation(part), batches_of(part.spread(MEASURED_IMAGES)))
        means, stds = channel_statistics(np.concatenate([images.numpy() for images, _ in batches]))
        return (
            fit_channels(dataset.mean or tuple(means), channels),
            fit_channels(dataset.std or tuple(stds), channels),
        )


def _order_channels_last(images: Tensor) -> Tensor:
    """Returns finished images `[B, C, H, W]` in the order in which models get them."""
    if images.shape[1] == 1:
        return images
    return images.contiguous(memory_format=torch.channels_last)

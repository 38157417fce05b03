"""`CachedSource`: trains and evaluates from the decoded cache of a data set of files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainable.config import AugmentConfig, ImageFolderDataset, TableDataset
from trainable.data.cache.decoded import DecodedImages
from trainable.data.cache.settings import CacheSettings, cache_settings
from trainable.data.cache.store import open_decoded
from trainable.data.cached.boxes import CropRange, draw_crops, scale_boxes
from trainable.data.cached.cropping import Cropper, flip_batches
from trainable.data.cached.feeding import Feeder, Numbers
from trainable.data.listing import VAL, ListedImage, file_facts
from trainable.data.loader.batches import order_pass
from trainable.data.source import Batch, FileSource, Split, batch_slices, train_slices
from trainable.data.splits.record import SplitRecord

FLIPS = 0.5
"""Probability of the flip of `dataset.augment`."""


@dataclass(frozen=True)
class _Changes:
    """Changes that a pass makes to its images."""

    crop: CropRange | None
    """None takes the crop in the middle, as in evaluation."""
    flips: float
    """Probability of a flip."""
    others: Callable[[Tensor, int, int], Tensor] | None
    """All else, of a batch, the seed of the pass and the number of the batch."""


class _Stored:
    """Decoded images, and what brings them to the device."""

    def __init__(self, decoded: DecodedImages, device: torch.device) -> None:
        self.sizes = decoded.sizes.astype(np.int64)
        """`[N, 2]`: height and width of every image in its file."""
        self.stored = decoded.stored.astype(np.int64)
        """`[N, 2]`: height and width that it is stored with."""
        self.feeder = Feeder(decoded, device)


class CachedSource(FileSource):
    """An `ImageSource` over the decoded images of a data set of files.

    Training images are stored at about twice their size and cropped at a random position, size
    and aspect ratio. For evaluation, and where `dataset.augment` is off, the crops in the middle
    are stored as they are needed, so that they are those of `cache: false` to the bit.

    Files are decoded when they are needed first, or by `prepare`.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches.
        split: The split of the training that continues; None draws one.

    Raises:
        DataError: See `divide`.
    """

    def __init__(
        self,
        dataset: ImageFolderDataset | TableDataset,
        device: torch.device,
        *,
        split: SplitRecord | None = None,
    ) -> None:
        super().__init__(dataset, device, split)
        if dataset.max_value == "auto":
            max_value = self._divided.record.max_value
            dataset = dataset.model_copy(update={"max_value": max_value})
        self._dataset = dataset
        self._holds_out = self.has_val and VAL not in self._divided.listing.splits
        used = self._preprocessing
        self._cropper = Cropper(used.image_size, used.interpolation, device)
        self._labels: dict[Split, Tensor] = {}
        self._lock = threading.Lock()
        self._whole: _Stored | None = None
        self._middles: dict[Split, _Stored] = {}

    def prepare(self) -> None:
        """Decodes what a training needs, so that its first epoch does not wait for it."""
        if self._dataset.augment:
            self._open_whole()
        splits: tuple[Split, ...] = ("val", "test") if self.has_val else ("test",)
        for split in splits if self._dataset.augment else ("train", *splits):
            self._open_middles(split)

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        augment: AugmentConfig | None = None,
        order: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Yields one shuffled, augmented pass; see `ImageSource`."""
        count = self.size("train")
        draws = np.array(order_pass(count, seed, order), dtype=np.int64)
        parts = [draws[part] for part in train_slices(len(draws), batch_size)]
        changes = self._find_changes(augment)
        repeats = 1 + int(draws.max(initial=0)) // count
        stored = self._open_middles("train") if changes.crop is None else self._open_whole()
        crops = draw_crops(
            stored.sizes[:count],
            seed=seed,
            crop=changes.crop,
            flips=changes.flips,
            repeats=repeats,
        )
        pixels = stored.feeder.batches([part % count for part in parts])
        mirrored = crops.mirrored[draws]
        if changes.crop is None:
            pixels = flip_batches(pixels, mirrored)
        else:
            numbers = draws % count
            boxes = scale_boxes(crops.boxes[draws], stored.sizes[numbers], stored.stored[numbers])
            pixels = self._cropper.crop(pixels, boxes, mirrored)
        for number, (part, images) in enumerate(zip(parts, pixels, strict=True)):
            if changes.others is not None:
                images = changes.others(images, seed, number)
            yield self._normalize(images), self._take_labels("train", part % count)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass in order; see `ImageSource`."""
        numbers = np.arange(self.size(split))
        parts = [numbers[part] for part in batch_slices(len(numbers), batch_size)]
        batches = self._open_middles(split).feeder.batches(parts)
        for part, pixels in zip(parts, batches, strict=True):
            yield self._normalize(pixels), self._take_labels(split, part)

    def fingerprint(self, split: Split) -> str:
        """Returns a hash of the files and labels of a split, and of how they are decoded."""
        settings, digest = cache_settings(self._dataset), hashlib.sha256()
        digest.update(f"cached {settings.side} {settings.rules}\0".encode())
        for facts in file_facts(self._listed(split)):
            digest.update(facts)
        return digest.hexdigest()

    def _open_whole(self) -> _Stored:
        """Returns the training images, stored with room for random crops.

        Those that are held out are stored with them: another split then finds its images there.
        """
        with self._lock:
            if self._whole is None:
                images = self._listed("train")
                if self._holds_out:
                    images += self._listed("val")
                self._whole = self._open(images, cache_settings(self._dataset))
            return self._whole

    def _open_middles(self, split: Split) -> _Stored:
        """Returns the crops in the middle of the images of a split."""
        with self._lock:
            if split not in self._middles:
                settings, used = cache_settings(self._dataset), self._preprocessing
                settings = replace(settings, side=used.image_size, crop_share=used.crop_share)
                self._middles[split] = self._open(self._listed(split), settings)
            return self._middles[split]

    def _open(self, images: Sequence[ListedImage], settings: CacheSettings) -> _Stored:
        settings = replace(settings, threads=torch.get_num_threads())
        decoded = open_decoded(images, settings)
        decoded.read_ahead()
        self.notices = tuple(dict.fromkeys([*self.notices, *decoded.notices]))
        return _Stored(decoded, self._device)

    def _take_labels(self, split: Split, numbers: Numbers) -> Tensor:
        """Returns the labels of a batch, on the device."""
        if split not in self._labels:
            labels = torch.tensor([image.label for image in self._listed(split)])
            self._labels[split] = labels.to(self._device)
        indices = torch.from_numpy(numbers)
        if self._device.type == "cuda":
            indices = indices.pin_memory().to(self._device, non_blocking=True)
        return self._labels[split][indices]

    def _find_changes(self, augment: AugmentConfig | None) -> _Changes:
        crop = CropRange() if self._dataset.augment else None
        flips = FLIPS if self._dataset.augment else 0.0
        if augment is None or not augment.changes_pixels:
            return _Changes(crop, flips, None)
        if augment.crop is not None:
            crop = CropRange(augment.crop.min_scale, augment.crop.max_ratio)
        if augment.horizontal_flip is not None:
            flips = augment.horizontal_flip
        augment = augment.model_copy(update={"crop": None, "horizontal_flip": None})
        if not augment.changes_pixels:
            return _Changes(crop, flips, None)
        from trainable.augment.on_device import DeviceAugmentation  # Kornia takes half a second

        return _Changes(crop, flips, DeviceAugmentation(augment, self.shape))

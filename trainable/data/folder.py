"""`image_folder`: the user's images in one folder per class, decoded by loader processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from trainable.augment.in_loader import LoaderAugmentation, Transform
from trainable.config import AugmentConfig, FileDataset
from trainable.data.image_file import ReadRules, read_image, read_rules
from trainable.data.listing import ListedImage, file_facts
from trainable.data.loader.batches import BatchLoader, order_pass
from trainable.data.source import Batch, FileSource, Split, batch_slices, train_slices
from trainable.data.splits.record import SplitRecord


class FolderSource(FileSource):
    """An `ImageSource` over images in files; see `list_images`.

    Training images are cropped at a random position, size and aspect ratio, and flipped with
    probability 1/2. Other images are resized and cropped in the middle. All become RGB.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches.
        num_workers: Loader processes; 0 loads in this process.
        split: The split of the training that continues; None draws one.

    Raises:
        DataError: See `divide`.
    """

    def __init__(
        self,
        dataset: FileDataset,
        device: torch.device,
        *,
        num_workers: int,
        split: SplitRecord | None = None,
    ) -> None:
        super().__init__(dataset, device, split)
        self._rules = read_rules(dataset, self._divided.record.max_value)
        used = self._preprocessing
        size, self._interpolation = used.image_size, v2.InterpolationMode(used.interpolation)
        side = round(size / used.crop_share)
        self._plain: Transform = v2.Compose(
            [v2.Resize(side, self._interpolation), v2.CenterCrop(size)]
        )
        self._augment: Transform | None = None
        if dataset.augment:
            crop = v2.RandomResizedCrop(size, interpolation=self._interpolation)
            self._augment = v2.Compose([crop, v2.RandomHorizontalFlip()])
        self._loader = BatchLoader(device, num_workers)

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        augment: AugmentConfig | None = None,
        order: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Yields one shuffled, augmented pass; see `ImageSource`."""
        images = self._listed("train")
        numbers = order_pass(len(images), seed, order)
        parts = [numbers[part] for part in train_slices(len(numbers), batch_size)]
        transform = self._augment
        if augment is not None and augment.changes_pixels:
            transform = self._build_changes(augment)
        if transform is None:
            return self._batches(_Images(images, self._rules, self._plain), parts)
        return self._batches(_Images(images, self._rules, transform, seed), parts)

    def _build_changes(self, augment: AugmentConfig) -> Transform:
        """Returns the changes of `augment`, and the crop and flip that they do not replace."""
        size, crop = self.shape[1], self._plain
        if augment.crop is not None:
            scale, ratio = (augment.crop.min_scale, 1.0), augment.crop.max_ratio
            crop = v2.RandomResizedCrop(size, scale, (1 / ratio, ratio), self._interpolation)
        elif self._augment is not None:
            crop = v2.RandomResizedCrop(size, interpolation=self._interpolation)
        flips = 0.0 if self._augment is None else 0.5
        return LoaderAugmentation(augment, crop, size, flips=flips)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass in order; see `ImageSource`."""
        images = self._listed(split)
        order = list(range(len(images)))
        parts = [order[part] for part in batch_slices(len(order), batch_size)]
        return self._batches(_Images(images, self._rules, self._plain), parts)

    def fingerprint(self, split: Split) -> str:
        """Returns a hash of the paths, sizes and times of a split's files; see `ImageSource`."""
        digest = hashlib.sha256()
        for facts in file_facts(self._listed(split)):
            digest.update(facts)
        return digest.hexdigest()

    def _batches(self, images: _Images, parts: list[list[int]]) -> Iterator[Batch]:
        item_bytes = int(np.prod(self.shape))
        for pixels, labels in self._loader.load(images, parts, item_bytes):
            pixels = pixels.to(self._device, non_blocking=True)
            yield self._normalize(pixels), labels.to(self._device, non_blocking=True)


class _Images(Dataset[tuple[Tensor, int]]):
    """Reads and transforms single images, in this process or a loader process.

    With a seed, an image's random numbers depend only on that seed and the image's index. They do
    not depend on the process, on other images or on the global stream, which does not change. An
    index may be larger than the number of images by a multiple of it: the same image with other
    random numbers.
    """

    def __init__(
        self,
        images: Sequence[ListedImage],
        rules: ReadRules,
        transform: Transform,
        seed: int | None = None,
    ) -> None:
        self._listed = images
        self._rules = rules
        self._transform = transform
        self._seed = seed

    def __len__(self) -> int:
        return len(self._listed)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Returns the image as `[H, W, 3]` uint8, and its label."""
        number = index % len(self)
        listed = self._listed[number]
        image = read_image(listed.path, self._rules)
        if self._seed is None:
            image = self._transform(image)
        else:
            stream = np.random.SeedSequence([self._seed, index]).generate_state(1)
            # torchvision's transforms draw from torch's global stream.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(stream[0]))
                image = self._transform(image)
        return torch.from_numpy(np.array(image)), listed.label

"""Data sets that are held on the device as bytes; batches are cropped and augmented there.

A pass needs no loader process, no copy from the host and no wait for the device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainable.config import AugmentConfig
from trainable.data.arrays import ImageArrays, LabelledImages, channel_statistics
from trainable.data.normalize import Normalizer
from trainable.data.source import Batch, Split, batch_slices, no_val_split_error, train_slices
from trainable.data.splits.divide import DividedImages
from trainable.data.splits.record import SplitRecord

CHUNK_BYTES = 16 * 2**20
"""Bytes of normalised images that a GPU prepares together: ten batches of 128 CIFAR images."""


@dataclass(frozen=True)
class _ResidentImages:
    """One split on the device."""

    pixels: Tensor
    """`[N, H + 2 padding, W + 2 padding, C]` uint8, zero outside the images."""
    labels: Tensor
    """`[N]` int64."""
    padding: int


class ResidentSource:
    """An `ImageSource` over arrays that fit on the device.

    Training images are augmented as usual for small images (He et al., Deep Residual Learning,
    2015, section 4.2): padded with zeros, cropped at a random position and, if a mirrored image
    still shows its class, flipped with probability 1/2. All of it is random for each image.

    Args:
        arrays: The data set.
        device: The device that will hold the data set.
        augment: Whether training images are cropped and flipped.
        mean: Mean of each channel that is subtracted; None takes that of the data.
        std: Standard deviation of each channel; None takes that of the data.
    """

    def __init__(
        self,
        arrays: ImageArrays,
        device: torch.device,
        *,
        augment: bool,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        train, val = arrays.train, arrays.val
        self._device = device
        # Launching a kernel takes as long for one batch as for ten; a CPU's cache holds one batch.
        self._chunk_bytes = CHUNK_BYTES if device.type == "cuda" else 0
        self._height, self._width, self._channels = train.pixels.shape[1:]
        self._flips = augment and arrays.flips
        self._splits = {
            "train": _to_device(train, arrays.crop_padding if augment else 0, device),
            "test": _to_device(arrays.test, 0, device),
        }
        if val is not None:
            self._splits["val"] = _to_device(val, 0, device)
        own_mean, own_std = arrays.statistics or channel_statistics(train.pixels)
        self.mean, self.std = tuple(mean or own_mean), tuple(std or own_std)
        self._normalize = Normalizer(self.mean, self.std, width=self._width, device=device)
        self.class_names = arrays.class_names
        self.num_classes = len(arrays.class_names)
        self.shape = (self._channels, self._height, self._width)
        self.has_val = val is not None
        self.train_labels = torch.from_numpy(train.labels)
        self.split: SplitRecord | None = None
        self.divided: DividedImages | None = None
        self.notices: Sequence[str] = ()

    def size(self, split: Split) -> int:
        """Returns the number of images of a split; see `ImageSource`."""
        return len(self._images(split).labels)

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        augment: AugmentConfig | None = None,
        order: Sequence[int] | None = None,
    ) -> Iterator[Batch]:
        """Yields one shuffled, augmented pass; see `ImageSource`."""
        images = self._images("train")
        count = len(images.labels if order is None else order)
        generator = torch.Generator(self._device).manual_seed(seed)
        if order is None:
            numbers = torch.randperm(count, generator=generator, device=self._device)
        else:
            numbers = torch.tensor(order, device=self._device)
        crops = augment is None or augment.crop is None
        runs = self._crop_runs(images, numbers, generator if crops else None)
        flips = self._flips and (augment is None or augment.horizontal_flip is None)
        change = self._build_change(augment, batch_size, seed)
        mirrored = torch.randint(2, (count,), generator=generator, device=self._device)
        labels = images.labels[numbers]
        pixel_runs = self._pixel_runs(images)
        for parts in self._chunks(train_slices(count, batch_size)):
            chunk = slice(parts[0].start, parts[-1].stop)
            pixels = pixel_runs.index_select(0, runs[chunk].flatten())
            pixels = pixels.view(-1, self._height, self._width, self._channels)
            if flips:
                pixels = _mirror(pixels, mirrored[chunk])
            if change is None:
                yield from self._batches(pixels, labels, parts)
                continue
            for part in parts:
                own = pixels[part.start - chunk.start : part.stop - chunk.start]
                yield self._normalize(change(own, part.start)), labels[part]

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yields one pass in order; see `ImageSource`."""
        images = self._images(split)
        top = images.padding
        pixels = images.pixels[:, top : top + self._height, top : top + self._width]
        for parts in self._chunks(batch_slices(len(images.labels), batch_size)):
            chunk = pixels[parts[0].start : parts[-1].stop]
            yield from self._batches(chunk, images.labels, parts)

    def _build_change(
        self, augment: AugmentConfig | None, batch_size: int, seed: int
    ) -> Callable[[Tensor, int], Tensor] | None:
        """Returns what changes the pixels of the batch that begins at an image of the pass."""
        if augment is None or not augment.changes_pixels:
            return None
        from trainable.augment.on_device import DeviceAugmentation  # Kornia takes half a second

        changes = DeviceAugmentation(augment, self.shape)
        return lambda pixels, start: changes(pixels, seed, start // batch_size)

    def fingerprint(self, split: Split) -> str:
        """Returns a hash of the pixels and labels of a split; see `ImageSource`."""
        images, digest = self._images(split), hashlib.sha256()
        for tensor in (images.pixels, images.labels):
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _chunks(self, parts: list[slice]) -> list[list[slice]]:
        """Groups the batches of a pass into chunks that are prepared together."""
        image_bytes = 4 * self._height * self._width * self._channels
        batch_size = parts[0].stop - parts[0].start
        count = max(1, self._chunk_bytes // (image_bytes * batch_size))
        return [parts[start : start + count] for start in range(0, len(parts), count)]

    def _batches(self, pixels: Tensor, labels: Tensor, parts: list[slice]) -> Iterator[Batch]:
        """Yields the batches of a chunk, whose pixels are `[N, H, W, C]`."""
        images, first = self._normalize(pixels), parts[0].start
        for part in parts:
            yield images[part.start - first : part.stop - first], labels[part]

    def _images(self, split: Split) -> _ResidentImages:
        if split not in self._splits:
            raise no_val_split_error()
        return self._splits[split]

    def _pixel_runs(self, images: _ResidentImages) -> Tensor:
        """Returns a view in which run i is the bytes of W neighbouring pixels from pixel i on.

        A crop is H of these runs, so a batch of crops is a single `index_select` of whole runs.
        That is about ten times faster on a CPU than indexing pixels or an unfolded window.

        Returns:
            `[all pixels - W + 1, W * C]` uint8.
        """
        run = self._width * self._channels
        count = images.pixels.numel() // self._channels - self._width + 1
        return images.pixels.as_strided((count, run), (self._channels, 1))

    def _crop_runs(
        self, images: _ResidentImages, order: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Returns the pixel at which each row of each image's crop starts, `[N, H]` int64.

        Without a generator that is the whole image, without its padding.
        """
        height, width = images.pixels.shape[1:3]
        start = order * (height * width)
        if generator is None:
            start = start + images.padding * (width + 1)
        elif images.padding:
            top, left = torch.randint(
                2 * images.padding + 1,
                (2, len(order)),
                generator=generator,
                device=self._device,
            )
            start = start + top * width + left
        rows = torch.arange(self._height, device=self._device) * width
        return start[:, None] + rows


def _to_device(images: LabelledImages, padding: int, device: torch.device) -> _ResidentImages:
    count, height, width, channels = images.pixels.shape
    padded = torch.zeros(
        (count, height + 2 * padding, width + 2 * padding, channels),
        dtype=torch.uint8,
        device=device,
    )
    inner = padded[:, padding : padding + height, padding : padding + width]
    inner.copy_(torch.from_numpy(images.pixels))
    return _ResidentImages(padded, torch.from_numpy(images.labels).to(device), padding)


def _mirror(pixels: Tensor, mirrored: Tensor) -> Tensor:
    """Flips some images left to right.

    It copies whole images from both versions, which is several times faster on a CPU than
    `torch.where`.

    Args:
        pixels: `[B, H, W, C]` uint8.
        mirrored: `[B]` int64, 1 for the images to be flipped and 0 for the others.
    """
    both = torch.stack((pixels, pixels.flip(2)), dim=1).flatten(0, 1)
    first = torch.arange(0, len(both), 2, device=pixels.device)
    return both.index_select(0, first + mirrored)

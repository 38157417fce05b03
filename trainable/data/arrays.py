"""Loads data sets into memory: digits, the small ones of torchvision, and synthetic images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.config import ArraysDataset, BuiltinDataset, DatasetConfig, SyntheticDataset
from trainable.data.shapes import BUILTIN_CLASSES
from trainable.data.splits.by_position import hold_out_by_position, split_off_test
from trainable.errors import DataError

DIGITS_TEST_SPLIT = 0.2
"""scikit-learn ships its digits as one set. The test set is this share of every class."""

Statistics = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation per channel, of values in [0, 1]."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with their labels."""

    pixels: NDArray[np.uint8]
    """`[N, H, W, C]`."""
    labels: NDArray[np.int64]
    """`[N]`."""

    def select(self, indices: NDArray[np.int64]) -> LabelledImages:
        """Returns a copy of the images at these positions."""
        return LabelledImages(self.pixels[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageArrays:
    """A whole data set in memory."""

    train: LabelledImages
    test: LabelledImages
    class_names: tuple[str, ...]
    crop_padding: int
    """Pixels added on every side before a random crop."""
    flips: bool
    """Whether a mirrored image still shows its class."""
    statistics: Statistics | None
    """None computes them from the training images."""
    val: LabelledImages | None = None
    """Images of their own for validation, or those that are held out."""

    def hold_out(self, dataset: DatasetConfig) -> ImageArrays:
        """Returns the data set whose `val` is the part that `dataset` holds out, if it does.

        Raises:
            DataError: A class has too few images, or there are images for validation already.
        """
        parts = hold_out_by_position(self.train.labels, dataset, self.class_names)
        if parts is None:
            return self
        if self.val is not None:
            raise DataError(
                f"dataset.val_split and dataset.folds must be null, since {dataset.name} has "
                "images of its own for validation"
            )
        trained, held_out = parts
        return replace(self, train=self.train.select(trained), val=self.train.select(held_out))


@dataclass(frozen=True)
class _TorchvisionDataset:
    """Properties of one of torchvision's data sets."""

    crop_padding: int
    flips: bool
    statistics: Statistics
    """Commonly published values for the training set."""


TORCHVISION_DATASETS = {
    "cifar10": _TorchvisionDataset(4, True, ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))),
    "cifar100": _TorchvisionDataset(4, True, ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))),
    "fashion_mnist": _TorchvisionDataset(2, True, ((0.2860,), (0.3530,))),
    "mnist": _TorchvisionDataset(2, False, ((0.1307,), (0.3081,))),
}


def load_arrays(dataset: BuiltinDataset | ArraysDataset | SyntheticDataset) -> ImageArrays:
    """Loads a data set into memory, downloading it if the config says so.

    Raises:
        DataError: The data set is missing and cannot be downloaded, or its files are broken.
    """
    if isinstance(dataset, ArraysDataset):
        from trainable.data.array_file import load_array_file

        return load_array_file(dataset)
    if isinstance(dataset, SyntheticDataset):
        return _generate_synthetic(dataset)
    if dataset.name == "digits":
        return _load_digits()
    from trainable.data.download import load_torchvision  # takes a second or two to import

    properties = TORCHVISION_DATASETS[dataset.name]
    train, test = load_torchvision(dataset.name, dataset.root, download=dataset.download)
    return ImageArrays(
        train=_convert_torchvision(train),
        test=_convert_torchvision(test),
        class_names=tuple(train.classes),
        crop_padding=properties.crop_padding,
        flips=properties.flips,
        statistics=properties.statistics,
    )


def channel_statistics(pixels: NDArray[np.uint8]) -> Statistics:
    """Returns mean and standard deviation of every channel.

    They are computed from the counts of each byte, so that they are exact and the same everywhere.

    Args:
        pixels: `[N, H, W, C]`.
    """
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(pixels.shape[-1]):
        flat = torch.from_numpy(pixels[..., channel].reshape(-1))
        share = torch.bincount(flat, minlength=256).numpy() / len(flat)
        mean = float(share @ values)
        variance = float(share @ (values - mean) ** 2)
        means.append(mean)
        # At least one byte's step: images of a single colour have a standard deviation of 0.
        stds.append(max(variance**0.5, 1 / 255))
    return means, stds


def _convert_torchvision(images: Any) -> LabelledImages:
    pixels = np.asarray(images.data)  # CIFAR: [N, H, W, 3]; MNIST: [N, H, W]
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    return LabelledImages(pixels, np.asarray(images.targets, dtype=np.int64))


def _read_digits_table() -> NDArray[np.float64]:
    """Returns a row of 64 pixels and the digit for each image.

    It reads scikit-learn's data file if that is at its present path. Importing scikit-learn would
    take two seconds in every worker.
    """
    package = find_spec("sklearn")
    if package is not None and package.origin is not None:
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.exists():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


def _load_digits() -> ImageArrays:
    """Builds the data set of the 1797 handwritten digits that scikit-learn ships, 1x8x8."""
    table = _read_digits_table()
    pixels = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # from 0..16
    images = LabelledImages(pixels[..., np.newaxis], table[:, -1].astype(np.int64))
    names = BUILTIN_CLASSES["digits"]
    train, test = split_off_test(images.labels, DIGITS_TEST_SPLIT, names)
    return ImageArrays(
        train=images.select(train),
        test=images.select(test),
        class_names=names,
        crop_padding=1,
        flips=False,
        statistics=None,
    )


def _generate_synthetic(dataset: SyntheticDataset) -> ImageArrays:
    """Generates noise over a coarse pattern of coloured squares, one pattern per class.

    The squares are an eighth of the image, so that random crops leave the pattern recognisable.
    """
    channels, height, width = dataset.shape
    rng = np.random.default_rng(dataset.seed)
    square = max(1, min(height, width) // 8)
    coarse = (dataset.num_classes, -(-height // square), -(-width // square), channels)
    patterns = rng.integers(128, size=coarse, dtype=np.uint8)
    patterns = patterns.repeat(square, axis=1).repeat(square, axis=2)[:, :height, :width]

    def draw(count: int) -> LabelledImages:
        pixels = rng.integers(128, size=(count, height, width, channels), dtype=np.uint8)
        for label, pattern in enumerate(patterns):
            pixels[label :: dataset.num_classes] += pattern
        return LabelledImages(pixels, np.arange(count, dtype=np.int64) % dataset.num_classes)

    return ImageArrays(
        train=draw(dataset.num_train),
        test=draw(dataset.num_test),
        class_names=tuple(str(label) for label in range(dataset.num_classes)),
        crop_padding=min(height, width) // 8,
        flips=True,
        statistics=None,
    )

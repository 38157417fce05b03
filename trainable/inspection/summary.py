"""A data set in two to four lines, without reading images: what `sweep plan` says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trainable.config import (
    ArraysDataset,
    BuiltinDataset,
    FileDataset,
    SyntheticDataset,
    TrainConfig,
)
from trainable.data.shapes import dataset_classes
from trainable.inspection.balance import describe_balance

SPLITS = ("train", "val", "test")
BUILTIN_COUNTS = {
    "cifar10": (50000, 10000),
    "cifar100": (50000, 10000),
    "digits": (1438, 359),
    "fashion_mnist": (60000, 10000),
    "mnist": (60000, 10000),
}
"""Name of each built-in data set -> number of training and of test images."""


def summarize_data(config: TrainConfig) -> Iterator[str]:
    """Yields lines on the data of a config: images, classes, splits, and what to look at.

    Args:
        config: Complete settings, whose data have been checked.

    Raises:
        DataError: The data set is missing or its list cannot be used.
    """
    dataset = config.dataset
    if isinstance(dataset, FileDataset):
        yield from _summarize_files(config, dataset)
    elif isinstance(dataset, BuiltinDataset | SyntheticDataset):
        train, test = _count(dataset)
        yield _describe(dataset.name, dataset_classes(dataset), {"train": train, "test": test})
    elif isinstance(dataset, ArraysDataset):
        from trainable.data.array_file import summarize_arrays

        summary = summarize_arrays(dataset)
        yield from _describe_labels(config, summary.classes, summary.labels)
    else:
        yield f"{dataset.name}, a data set of your own"


def _count(dataset: BuiltinDataset | SyntheticDataset) -> tuple[int, int]:
    if isinstance(dataset, SyntheticDataset):
        return dataset.num_train, dataset.num_test
    return BUILTIN_COUNTS[dataset.name]


def _summarize_files(config: TrainConfig, dataset: FileDataset) -> Iterator[str]:
    from trainable.data.splits.divide import divide  # numpy

    divided = divide(dataset)
    labels = {
        split: [image.label for image in divided.images[split]]
        for split in SPLITS
        if split in divided.images
    }
    yield from _describe_labels(config, divided.listing.classes, labels)


def _describe_labels(
    config: TrainConfig, classes: Sequence[str], labels: Mapping[str, Iterable[int]]
) -> Iterator[str]:
    numbers = {split: Counter(of_split) for split, of_split in labels.items()}
    counts = {
        split: [of_split[label] for label in range(len(classes))]
        for split, of_split in numbers.items()
    }
    sums = {split: sum(of_split) for split, of_split in counts.items()}
    line = _describe(config.dataset.name, len(classes), sums)
    yield f"{line}; {min(counts['train'])} to {max(counts['train'])} training images a class"
    yield from describe_balance(config, classes, counts)


def _describe(name: str, classes: int, counts: Mapping[str, int]) -> str:
    splits = ", ".join(f"{split} {count}" for split, count in counts.items())
    return f"{name}: {sum(counts.values())} images in {classes} classes, {splits}"

"""Loads a data set of the user's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray

from trainable.config import OwnDataset
from trainable.config.preprocessing import fit_channels
from trainable.data.arrays import ImageArrays, LabelledImages
from trainable.data.host import hold_arrays
from trainable.data.loader.batches import BatchLoader
from trainable.data.own.build import NAME, OwnData, build_own
from trainable.data.own.drained import DrainedItems, drain, fits_in_memory
from trainable.data.own.items import Label
from trainable.data.own.labels import Classes, choose_classes
from trainable.data.own.measure import ImageForm, Look, crop_padding, look_at, stated_labels
from trainable.data.own.passes import Part, fetch_labels
from trainable.data.own.source import OwnSource
from trainable.data.resident import ResidentSource
from trainable.data.shapes import remember_own_shape
from trainable.data.source import ImageSource, Split
from trainable.data.splits.by_position import hold_out_by_position, split_off_test
from trainable.data.splits.changes import FINGERPRINT_BYTES
from trainable.data.splits.position_record import record_by_position
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

Labels = Mapping[str, NDArray[np.int64]]


def load_own(
    dataset: OwnDataset,
    device: torch.device,
    *,
    num_workers: int,
    split: SplitRecord | None = None,
) -> ImageSource:
    """Imports and loads a data set of the user's own; the caller has looked whether it may.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches.
        num_workers: Loader processes.
        split: The split of the training that continues.

    Returns:
        A source of arrays on the device for small images that are always the same, else one that
        fetches every item anew.

    Raises:
        TuneSweepsError: See `build_own`; or an item cannot be used.
    """
    data = build_own(dataset)
    check_splits(data.splits, dataset)
    look = look_at(data)
    loader = BatchLoader(device, num_workers)
    fits = fits_in_memory(data, look, dataset)
    drained = drain(data, look.form, dataset, loader) if fits else None
    if drained is not None:
        raw = {name: items.labels for name, items in drained.items()}
    else:
        raw = {
            name: stated_labels(data, look, name) or fetch_labels(items, loader, dataset.seed)
            for name, items in data.splits.items()
        }
    classes, labels = encode_labels(data, raw, dataset)
    record, changes = record_by_position(
        dataset,
        classes.names,
        {name: len(of_split) for name, of_split in labels.items()},
        {name: _hash(data, look, name, of_split) for name, of_split in labels.items()},
        place=f'"{dataset.name}"',
        saved=split,
    )
    if drained is not None:
        source: ImageSource = _hold_in_memory(drained, labels, classes, dataset, device)
    else:
        source = _open(data, look.form, labels, classes, dataset, loader)
    source.split, source.notices = record, (*source.notices, *changes)
    remember_own_shape(dataset, source.num_classes, source.shape[0])
    return source


def _open(
    data: OwnData,
    form: ImageForm,
    labels: Labels,
    classes: Classes,
    dataset: OwnDataset,
    loader: BatchLoader,
) -> OwnSource:
    """Returns a source that fetches its items anew in every pass."""
    parts = {
        name: Part(data.splits[name], np.arange(len(of_split)), of_split)
        for name, of_split in labels.items()
    }
    divided: dict[Split, Part] = {
        split: parts[name].select(numbers)
        for split, (name, numbers) in divide(labels, classes, dataset).items()
    }
    return OwnSource(dataset, divided, classes, form, loader=loader)


def _hash(data: OwnData, look: Look, split: str, labels: NDArray[np.int64]) -> str:
    """Returns a hash of the labels, the identities and the images that were looked at.

    Images that are random are left out.
    """
    digest = blake2b(digest_size=FINGERPRINT_BYTES)
    digest.update(labels.tobytes())
    for identity in data.splits[split].identities or ():
        digest.update(f"{identity}\0".encode())
    for image in () if look.is_random else look.images[split].values():
        digest.update(repr(image.shape).encode() + image.numpy().tobytes())
    return digest.hexdigest()


def encode_labels(
    data: OwnData, labels: Mapping[str, Sequence[Label]], dataset: OwnDataset
) -> tuple[Classes, Labels]:
    """Returns the classes and the labels as numbers.

    Raises:
        DataError: A label is of no class; or see `choose_classes`.
    """
    classes = choose_classes(
        dataset.name, labels["train"], stated=data.classes, configured=dataset.classes
    )
    return classes, {
        split: np.array(
            [
                classes.encode(label, data.splits[split].describe(index))
                for index, label in enumerate(of_split)
            ],
            dtype=np.int64,
        )
        for split, of_split in labels.items()
    }


def check_splits(splits: Collection[str], dataset: OwnDataset) -> None:
    """Checks that a data set has all splits, and none that the config draws.

    Args:
        splits: The splits that the data set has.
        dataset: The config's `dataset` section.

    Raises:
        DataError: There is no test set, or one more than there may be.
    """
    start = f'{NAME} "{dataset.name}"'
    if "test" not in splits and dataset.test_split is None:
        raise DataError(
            f'{start} has returned no test; return {{"train": ..., "test": ...}} or set '
            "dataset.test_split"
        )
    if "test" in splits and dataset.test_split is not None:
        raise DataError(f"dataset.test_split must be null, since {start} has returned a test")
    if "val" in splits and (dataset.val_split, dataset.folds) != (None, None):
        key = "val_split" if dataset.folds is None else "folds"
        raise DataError(f"dataset.{key} must be null, since {start} has returned a val")


def divide(
    labels: Labels, classes: Classes, dataset: OwnDataset
) -> dict[Split, tuple[str, NDArray[np.int64]]]:
    """Divides the items into splits as the config says.

    Args:
        labels: Labels of the splits that the data set has.
        classes: The classes.
        dataset: The config's `dataset` section.

    Returns:
        Split -> the data set's split that its items are of, and their numbers there.

    Raises:
        DataError: See `check_splits`; or a class is too small.
    """
    check_splits(labels, dataset)
    numbers = {split: np.arange(len(of_split)) for split, of_split in labels.items()}
    train = numbers["train"]
    test: tuple[str, NDArray[np.int64]] = "test", numbers.get("test", train)
    if dataset.test_split is not None:
        train, tested = split_off_test(labels["train"], dataset.test_split, classes.names)
        test = "train", tested
    divided: dict[Split, tuple[str, NDArray[np.int64]]] = {"train": ("train", train), "test": test}
    parts = hold_out_by_position(labels["train"][train], dataset, classes.names)
    if "val" in labels:
        divided["val"] = "val", numbers["val"]
    elif parts is not None:
        divided["train"], divided["val"] = ("train", train[parts[0]]), ("train", train[parts[1]])
    return divided


def _hold_in_memory(
    drained: Mapping[str, DrainedItems],
    labels: Labels,
    classes: Classes,
    dataset: OwnDataset,
    device: torch.device,
) -> ResidentSource:
    images = {
        split: LabelledImages(drained[name].pixels, labels[name]).select(numbers)
        for split, (name, numbers) in divide(labels, classes, dataset).items()
    }
    height, width, channels = drained["train"].pixels.shape[1:]
    arrays = ImageArrays(
        train=images["train"],
        test=images["test"],
        class_names=classes.names,
        crop_padding=crop_padding(height, width),
        flips=True,
        statistics=None,
        val=images.get("val"),
    )
    mean, std = (
        None if values is None else fit_channels(values, channels)
        for values in (dataset.mean, dataset.std)
    )
    return hold_arrays(arrays, device, augment=dataset.augment, mean=mean, std=std)

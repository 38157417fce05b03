"""Loads data sets: `load_data` returns an `ImageSource` for the config's `dataset` section."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from trainable.config import ArraysDataset, DatasetConfig, FileDataset, OwnDataset, TableDataset
from trainable.config.own_code import not_allowed
from trainable.config.preprocessing import Preprocessing, with_preprocessing
from trainable.data.arrays import load_arrays
from trainable.data.listing import find_file
from trainable.data.resident import ResidentSource
from trainable.data.source import ImageSource
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

MAX_LOADED = 2
"""Data sets that a process keeps. The least recently used one is dropped for another."""

Key = tuple[str, ...]

_loaded: dict[Key, ImageSource] = {}
_complete_keys: dict[Key, Key] = {}
"""Key of a section that leaves the preprocessing to the data -> that of the complete section."""
_lock = threading.Lock()


def load_data(
    dataset: DatasetConfig,
    device: torch.device,
    *,
    num_workers: int = 0,
    split: SplitRecord | None = None,
    allow_custom: bool = False,
) -> ImageSource:
    """Loads a data set, or returns the one that this process has loaded before.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches; a data set that fits is held there as a whole.
        num_workers: Loader processes, already limited to the available CPUs; only images in files
            without the cache and data sets of the user's own use them. `dataset.num_workers` is
            ignored.
        split: The split of the training that continues; built-in and synthetic data sets have
            none. None draws one.
        allow_custom: Whether `dataset.name` may import code of the user's. Off by default, because
            a config file alone must not be able to run code.

    Raises:
        DataError: The data set is missing, cannot be downloaded or does not fit the config. One of
            the user's own is not allowed.
        TuneSweepsError: See `build_own`.
    """
    if isinstance(dataset, OwnDataset) and not allow_custom:
        raise DataError(f"dataset.name {not_allowed(dataset.name)}")
    place = str(device), str(num_workers), repr(split)
    key = _key(dataset, *place)
    with _lock:
        source = _loaded.pop(_complete_keys.get(key, key), None)
        if source is None:
            while len(_loaded) >= MAX_LOADED:
                del _loaded[next(iter(_loaded))]
            source = _load(dataset, device, num_workers, split)
            _complete_keys[key] = _key(_complete(dataset, source), *place)
        # The last entry is the most recently used one.
        _loaded[_complete_keys.get(key, key)] = source
    return source


def _complete(dataset: DatasetConfig, source: ImageSource) -> DatasetConfig:
    """Returns a section with the preprocessing that a source has taken from the data."""
    if isinstance(dataset, OwnDataset):
        return dataset.model_copy(update={"mean": source.mean, "std": source.std})
    used = Preprocessing(mean=source.mean, std=source.std)
    return with_preprocessing(dataset, source.shape[0], used)


def _key(dataset: DatasetConfig, device: str, num_workers: str, split: str) -> Key:
    has_classes = isinstance(dataset, FileDataset | ArraysDataset | OwnDataset)
    has_workers = isinstance(dataset, OwnDataset) or (
        isinstance(dataset, FileDataset) and not dataset.cache
    )
    excluded = {"num_workers", "download", "root"} | (set() if has_classes else {"classes"})
    return (
        dataset.model_dump_json(exclude=excluded),
        str(Path(dataset.root).absolute()),
        _describe_file(dataset),
        device,
        num_workers if has_workers else "0",
        split,
    )


def _describe_file(dataset: DatasetConfig) -> str:
    """Returns size and time of `dataset.file`, which may be another file than before."""
    if not isinstance(dataset, ArraysDataset | TableDataset):
        return ""
    info = find_file(dataset).stat()
    return f"{info.st_size} {info.st_mtime_ns}"


def _load(
    dataset: DatasetConfig, device: torch.device, num_workers: int, split: SplitRecord | None
) -> ImageSource:
    if isinstance(dataset, FileDataset) and dataset.cache:
        from trainable.data.cached.source import CachedSource  # Pillow

        return CachedSource(dataset, device, split=split)
    if isinstance(dataset, FileDataset):
        from trainable.data.folder import FolderSource  # torchvision takes a second or two

        return FolderSource(dataset, device, num_workers=num_workers, split=split)
    if isinstance(dataset, OwnDataset):
        from trainable.data.own.load import load_own

        return load_own(dataset, device, num_workers=num_workers, split=split)
    if isinstance(dataset, ArraysDataset):
        return _load_file(dataset, device, split)
    return ResidentSource(
        load_arrays(dataset).hold_out(dataset),
        device,
        augment=dataset.augment,
        mean=dataset.mean,
        std=dataset.std,
    )


def _load_file(
    dataset: ArraysDataset, device: torch.device, split: SplitRecord | None
) -> ImageSource:
    from trainable.data.array_file.record import record_arrays
    from trainable.data.host import hold_arrays

    arrays = load_arrays(dataset)
    record, changes = record_arrays(arrays, dataset, split)
    arrays = arrays.hold_out(dataset)  # the undivided ones are given up before others are made
    source = hold_arrays(
        arrays,
        device,
        augment=dataset.augment,
        mean=dataset.mean,
        std=dataset.std,
    )
    source.split = record
    source.notices = (*source.notices, *changes)
    return source

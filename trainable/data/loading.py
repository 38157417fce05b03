"""Loads data sets: `load_data` returns an `ImageSource` for the config's `dataset` section."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from trainable.config import DatasetConfig, ImageFolderDataset
from trainable.config.preprocessing import Preprocessing, with_preprocessing
from trainable.data.arrays import load_arrays
from trainable.data.resident import ResidentSource
from trainable.data.source import ImageSource
from trainable.data.splits.record import SplitRecord

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
) -> ImageSource:
    """Loads a data set, or returns the one that this process has loaded before.

    Args:
        dataset: The config's `dataset` section.
        device: The device of the batches; a data set that fits is held there as a whole.
        num_workers: Loader processes, already limited to the available CPUs; only `image_folder`
            uses them. `dataset.num_workers` is ignored.
        split: The split of the training that continues, of an `image_folder`; None draws one.

    Raises:
        DataError: The data set is missing, cannot be downloaded or does not fit the config.
    """
    place = str(device), str(num_workers), repr(split)
    key = _key(dataset, *place)
    with _lock:
        source = _loaded.pop(_complete_keys.get(key, key), None)
        if source is None:
            while len(_loaded) >= MAX_LOADED:
                del _loaded[next(iter(_loaded))]
            source = _load(dataset, device, num_workers, split)
            used = Preprocessing(mean=source.mean, std=source.std)
            complete = with_preprocessing(dataset, source.shape[0], used)
            _complete_keys[key] = _key(complete, *place)
        # The last entry is the most recently used one.
        _loaded[_complete_keys.get(key, key)] = source
    return source


def _key(dataset: DatasetConfig, device: str, num_workers: str, split: str) -> Key:
    is_folder = isinstance(dataset, ImageFolderDataset)
    excluded = {"num_workers", "download", "root"} | (set() if is_folder else {"classes"})
    return (
        dataset.model_dump_json(exclude=excluded),
        str(Path(dataset.root).absolute()),
        device,
        num_workers if is_folder else "0",
        split,
    )


def _load(
    dataset: DatasetConfig, device: torch.device, num_workers: int, split: SplitRecord | None
) -> ImageSource:
    if isinstance(dataset, ImageFolderDataset):
        from trainable.data.folder import FolderSource  # torchvision takes a second or two

        return FolderSource(dataset, device, num_workers=num_workers, split=split)
    return ResidentSource(
        load_arrays(dataset).hold_out(dataset),
        device,
        augment=dataset.augment,
        mean=dataset.mean,
        std=dataset.std,
    )

"""The data sets: `load_data` gives an `ImageSource`, whichever the config names."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from trainable.config import DatasetConfig, ImageFolderDataset
from trainable.data.arrays import load_arrays
from trainable.data.resident import ResidentSource
from trainable.data.source import Batch, ImageSource, Split

__all__ = ["Batch", "ImageSource", "Split", "load_data"]

MAX_LOADED = 2
"""Sources that a process keeps; the one used longest ago is dropped before another is loaded."""

_loaded: dict[tuple[str, ...], ImageSource] = {}
_lock = threading.Lock()


def load_data(
    dataset: DatasetConfig, device: torch.device, *, num_workers: int = 0
) -> ImageSource:
    """Loads a data set, or returns it as loaded before by this process.

    Args:
        dataset: The config's section.
        device: Where batches go; a data set that fits lies there as a whole.
        num_workers: Loader processes, already limited to the CPUs given. Only `image_folder`
            has any, so `dataset.num_workers` is not looked at.

    Raises:
        DataError: The data set is missing, cannot be downloaded or does not fit the config.
    """
    key = (
        dataset.model_dump_json(exclude={"num_workers", "download", "root"}),
        str(Path(dataset.root).absolute()),
        str(device),
        str(num_workers if isinstance(dataset, ImageFolderDataset) else 0),
    )
    with _lock:
        source = _loaded.pop(key, None)
        if source is None:
            while len(_loaded) >= MAX_LOADED:
                del _loaded[next(iter(_loaded))]
            source = _load(dataset, device, num_workers)
        _loaded[key] = source  # last: the most recently used
    return source


def _load(dataset: DatasetConfig, device: torch.device, num_workers: int) -> ImageSource:
    if isinstance(dataset, ImageFolderDataset):
        from trainable.data.folder import FolderSource  # torchvision takes a second or two

        return FolderSource(dataset, device, num_workers=num_workers)
    return ResidentSource(
        load_arrays(dataset),
        device,
        augment=dataset.augment,
        val_split=dataset.val_split,
        seed=dataset.seed,
    )

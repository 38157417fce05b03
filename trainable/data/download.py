"""Reads torchvision's data sets and downloads them once per machine."""

from __future__ import annotations

import platform
from http.client import HTTPException
from pathlib import Path
from typing import Any

from filelock import FileLock
from torchvision import datasets

from trainable.errors import DataError

_CLASSES: dict[str, Any] = {
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
    "fashion_mnist": datasets.FashionMNIST,
    "mnist": datasets.MNIST,
}

LOCK_NAME = ".download.lock"
"""A lock file in `dataset.root`; the process that downloads holds it."""

# torchvision raises RuntimeError for files that are missing, have a wrong checksum or cannot be
# downloaded from any mirror; URLError (an OSError) and HTTPException for a host that cannot be
# reached; ValueError, TypeError, AssertionError and RuntimeError for files it cannot parse.
_FAILURES = (
    OSError,
    RuntimeError,
    HTTPException,
    ValueError,
    TypeError,
    AssertionError,
)


def load_torchvision(name: str, root: str | Path, *, download: bool) -> tuple[Any, Any]:
    """Reads a data set of torchvision, in torchvision's layout under `root`.

    Files that exist are read without a lock, so that a read-only directory is enough. Missing ones
    are downloaded by one process; other processes wait for it and read its files.

    Args:
        name: One of `cifar10`, `cifar100`, `fashion_mnist`, `mnist`.
        root: The directory of all data sets.
        download: Whether to download missing files.

    Returns:
        The training and the test set, with torchvision's `data`, `targets` and `classes`.

    Raises:
        DataError: The data set is missing and cannot be downloaded, or its files are broken.
    """
    root = Path(root).absolute()
    try:
        return _read(name, root, download=False)
    except _FAILURES as error:
        if not download:
            raise DataError(_missing_message(name, root)) from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / LOCK_NAME):
            return _read(name, root, download=True)
    except _FAILURES as error:
        raise DataError(_download_failed_message(name, root, error)) from error


def _read(name: str, root: Path, *, download: bool) -> tuple[Any, Any]:
    images = _CLASSES[name]
    train = images(root, train=True, download=download)
    return train, images(root, train=False)


def _find_folder(name: str, root: Path) -> Path:
    """Returns the directory in which torchvision expects the files."""
    images = _CLASSES[name]
    if issubclass(images, datasets.CIFAR10):
        return root / str(images.base_folder)
    return root / str(images.__name__) / "raw"


def _list_files(name: str) -> str:
    images = _CLASSES[name]
    if issubclass(images, datasets.CIFAR10):
        names = [entry[0] for entry in images.train_list + images.test_list]
        names.append(images.meta["filename"])
    else:
        names = [Path(resource).stem for resource, _ in images.resources]
    return ", ".join(names)


def _missing_message(name: str, root: Path) -> str:
    return (
        f'dataset "{name}" is missing or damaged under dataset.root {root}: '
        f"{_find_folder(name, root)} must hold the files {_list_files(name)}; "
        "put them there, correct dataset.root or set dataset.download: true"
    )


def _download_failed_message(name: str, root: Path, error: BaseException) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f'dataset "{name}" is missing or damaged under dataset.root {root} and cannot be '
        f"downloaded on {platform.node()} ({reason}): put the files {_list_files(name)} into "
        f"{_find_folder(name, root)} in place "
        "of damaged ones, or use digits, which needs no download"
    )

"""Checks of the paths in a training config. They create nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trainable.artifacts.names import CHECKPOINTS, LATEST_FILE
from trainable.config import BuiltinDataset, TrainConfig
from trainable.errors import Problem, list_first
from trainable.uri import is_uri

TORCHVISION_FOLDERS = {
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "fashion_mnist": "FashionMNIST/raw",
    "mnist": "MNIST/raw",
}
"""Data set -> the folder below `dataset.root` in which torchvision keeps its files."""

MAX_LISTED_FILES = 5


def check_inputs(config: TrainConfig) -> Iterator[Problem]:
    """Yields the problems of the files that a training reads.

    Images in class folders are checked by `trainable.preflight.images`; object storage is not
    read here.
    """
    yield from _check_resume(config.checkpoint.resume)
    yield from _check_builtin_data(config)


def check_outputs(config: TrainConfig) -> Iterator[Problem]:
    """Yields the problem of the directory that a training without a sweep writes to."""
    if config.checkpoint.enabled:
        yield from check_directory("checkpoint.dir", config.checkpoint.dir)
    elif config.tensorboard.enabled:
        yield from check_directory("tensorboard.log_dir", config.tensorboard.log_dir)


def check_directory(key: str, path: str) -> Iterator[Problem]:
    """Yields why a directory can neither be used nor created."""
    if is_uri(path):
        return
    obstacle = find_obstacle(Path(path).expanduser())
    if obstacle is not None:
        yield Problem(key, f"must be a directory or one that can be created: {obstacle}")


def find_obstacle(directory: Path) -> str | None:
    """Returns what keeps a directory from being created or written to; None if nothing does."""
    absolute = directory.absolute()
    for path in (absolute, *absolute.parents):
        if not os.path.lexists(path):
            continue
        if path.is_symlink() and not path.exists():
            return f"{path} is a symbolic link to {path.readlink()}, which does not exist"
        if not path.is_dir():
            return f"{path} is a file"
        if not os.access(path, os.W_OK | os.X_OK):
            return f"there is no permission to write in {path}"
        return None
    return f"{absolute} is on no file system"


def _check_resume(resume: str | None) -> Iterator[Problem]:
    if resume is None or is_uri(resume):
        return
    path = Path(resume).expanduser()
    if path.is_file():
        return
    if path.is_dir():
        hint = _list_checkpoints(path) or _list_checkpoints(path / CHECKPOINTS)
        actual = f"found the directory {path}"
    else:
        hint = _list_checkpoints(path.parent)
        actual = f"there is no file {path}"
    yield Problem("checkpoint.resume", f"must be a .pt file; {actual}{hint}")


def _list_checkpoints(directory: Path) -> str:
    try:
        names = sorted(path.name for path in directory.glob("*.pt"))
    except OSError:
        return ""
    if not names:
        return ""
    if LATEST_FILE in names:
        return f"; did you mean {directory / LATEST_FILE}?"
    return f"; {directory} holds {list_first(names, MAX_LISTED_FILES)}"


def _check_builtin_data(config: TrainConfig) -> Iterator[Problem]:
    """Yields what keeps one of torchvision's data sets from being read or downloaded."""
    dataset = config.dataset
    if not isinstance(dataset, BuiltinDataset) or dataset.name not in TORCHVISION_FOLDERS:
        return
    root = Path(dataset.root).expanduser()
    folder = root / TORCHVISION_FOLDERS[dataset.name]
    if folder.is_dir():
        return
    if not dataset.download:
        rule = (
            f"{dataset.name} is missing: there is no directory {folder}, and dataset.download is "
            "false; correct the path, mount it, or set dataset.download: true"
        )
        yield Problem("dataset.root", rule)
        return
    obstacle = find_obstacle(root)
    if obstacle is not None:
        yield Problem("dataset.root", f"{dataset.name} cannot be downloaded there: {obstacle}")

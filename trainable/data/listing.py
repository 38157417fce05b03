"""The images of a data set of files: `list_images` lists them, whatever names them.

Opens no image and imports no torch, so that every reader of the data (training, evaluation, checks
before a sweep) has the same list in a moment.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainable.config import (
    ArraysDataset,
    BuiltinDataset,
    DatasetConfig,
    FileDataset,
    ImageFolderDataset,
    SyntheticDataset,
    TableDataset,
)
from trainable.errors import DataError

TRAIN, VAL, TEST = "train", "val", "test"


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image of a data set."""

    key: str
    """Identity for splits: its path below the root as `normalize_path` returns it, e.g.
    `train/cat/1.png`. An image whose key stays is never moved to another split."""
    path: str
    """Where to read it."""
    label: int
    group: str | None = None
    """Name that it shares with others that must be in the same split, e.g. a patient."""


@dataclass
class Listing:
    """The images of a data set by split, before a part of the training set is held out."""

    root: Path
    classes: tuple[str, ...]
    """Class names in label order, the same for all splits."""
    splits: dict[str, tuple[ListedImage, ...]] = field(default_factory=dict)
    """`train`, `test` and, if the data have such images, `val`; by label, then by path. Without
    images of its own, `test` is missing and `dataset.test_split` says how large it is."""
    folders: dict[str, str] = field(default_factory=dict)
    """Split -> name of the folder below the root that has all of its images, if there is one."""
    left_out: list[str] = field(default_factory=list)
    """Paths below the root of the files that are not read; hidden ones are not listed."""
    notices: list[str] = field(default_factory=list)
    """Lines for the user on what is read and what is not."""

    def counts(self, split: str) -> list[int]:
        """Returns the number of images of each class of a split, in label order."""
        labels = Counter(image.label for image in self.splits[split])
        return [labels[label] for label in range(len(self.classes))]

    def without(self, keys: Container[str]) -> Listing:
        """Returns the list without the images of these keys."""
        splits = {
            split: tuple(image for image in images if image.key not in keys)
            for split, images in self.splits.items()
        }
        return replace(self, splits=splits)

    def place(self, split: str) -> Path:
        """Returns where the images of a split are, for messages."""
        return self.root / self.folders.get(split, "")


def file_facts(images: Iterable[ListedImage]) -> Iterator[bytes]:
    """Yields label, size, time and path of every file, for a hash that changes with them."""
    for image in images:
        info = Path(image.path).stat()
        yield f"{image.label} {info.st_size} {info.st_mtime_ns} {image.path}\0".encode()


def list_images(dataset: FileDataset, *, key_classes: Sequence[str] = ()) -> Listing:
    """Lists the images of a data set of files.

    Args:
        dataset: The config's `dataset` section.
        key_classes: Names of the class folders in the images' keys, in label order; by default
            those on disk. They differ where folders have been renamed.

    Raises:
        DataError: The data set is missing or cannot be used; the text has all of its problems.
    """
    if isinstance(dataset, ImageFolderDataset):
        from trainable.data.folder_scan import scan_folder

        return scan_folder(dataset, key_classes=key_classes)
    from trainable.data.table import list_table

    assert isinstance(dataset, TableDataset), "there are two kinds"
    return list_table(dataset)


def may_have_val(dataset: DatasetConfig) -> bool:
    """Returns whether there may be validation images: a part of the training set, or others.

    Those of `arrays` and of data sets of the user's own are not looked for.
    """
    if dataset.val_split is not None or dataset.folds is not None:
        return True
    if not isinstance(dataset, FileDataset):
        return not isinstance(dataset, BuiltinDataset | SyntheticDataset)
    try:
        return VAL in list_images(dataset).splits
    except DataError:  # e.g. in a cluster, where only the nodes have the images
        return False


def data_files(dataset: DatasetConfig) -> list[Path]:
    """Returns the path of `dataset.file`, if the data set has one."""
    if isinstance(dataset, ArraysDataset | TableDataset):
        return [Path(dataset.root, dataset.file)]
    return []


def find_file(dataset: TableDataset | ArraysDataset) -> Path:
    """Returns the path of `dataset.file`; a relative one is below `dataset.root`.

    Raises:
        DataError: There is no such file.
    """
    file, path = Path(dataset.file), Path(dataset.root, dataset.file)
    if path.is_file():
        return path
    if path.is_dir():
        rule = f"must be a file, found the directory {path}"
    elif file.is_absolute():
        rule = f"must be a file; there is no {path}"
    elif file.is_file():
        rule = (
            f"must be below dataset.root; there is no {path}; for the one in the working "
            f"directory, write {file.absolute()}"
        )
    else:
        rule = f"must be a file below dataset.root; there is no {path}"
    raise DataError(f"dataset.file {rule}")


def normalize_path(path: str) -> str:
    """Returns a relative path as it is compared and hashed: with `/`, in Unicode's form NFC."""
    path = path.replace(os.sep, "/")
    return path if path.isascii() else unicodedata.normalize("NFC", path)

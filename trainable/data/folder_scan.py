"""Lists the files of an `image_folder` data set: classes, images of every split, files left out.

Opens no image and imports no torch. Decides which files are images by their extension, so that
every reader of the folder (training, evaluation, checks before a sweep) has the same list.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

from trainable.config import ImageFolderDataset
from trainable.data.class_names import describe_difference, describe_unusable
from trainable.data.listing import TEST, TRAIN, VAL, ListedImage, Listing, normalize_path
from trainable.errors import DataError, list_first

VAL_FOLDERS = ("val", "valid", "validation")
"""Names of the folder of the validation set."""

NO_PICTURES = frozenset(
    {
        ".pdf", ".eps", ".ps", ".mpg", ".mpeg", ".h5", ".hdf", ".fit", ".fits", ".grib", ".bufr",
        ".wmf", ".emf",
    }
)  # fmt: skip
"""Extensions that Pillow knows, but whose files are documents, videos or tables, or need another
program."""

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
"""Names, in lower case, that operating systems leave in folders; neither classes nor images."""

LEGACY_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
)
"""The extensions of the trainings whose split goes by position; see `SplitRecord`."""

MAX_EXAMPLES = 3
"""File names that a message shows."""
MAX_LISTED_FOLDERS = 10


@cache
def image_extensions() -> frozenset[str]:
    """Returns the extensions, in lower case, of the files that are read as images."""
    from PIL import Image  # takes a moment, which only data sets in folders need

    Image.init()
    registered = Image.registered_extensions().items()
    return frozenset(ext for ext, kind in registered if kind in Image.OPEN) - NO_PICTURES


def class_folders(folder: Path) -> tuple[str, ...]:
    """Returns the names of the class folders in a folder, sorted; hidden ones are no classes.

    Raises:
        DataError: The folder cannot be read.
    """
    return tuple(entry.name for entry in _list(folder) if entry.is_dir())


def scan_folder(
    dataset: ImageFolderDataset, *, key_classes: Sequence[str] = (), legacy: bool = False
) -> Listing:
    """Lists the images of a data set and checks that its folders agree.

    Args:
        dataset: The config's `dataset` section; its `classes`, if set, give the label order.
        key_classes: See `list_images`.
        legacy: Whether the list is that of a training whose split goes by position: images of
            `LEGACY_EXTENSIONS`, and none from a folder `val` beside `test`.

    Raises:
        DataError: A folder is missing, a class has no image or is not in every split, or the
            folders and `dataset.classes` differ; the text has all of these problems.
    """
    root = Path(dataset.root)
    folders = _find_splits(dataset)
    if legacy and {VAL, TEST} <= folders.keys():
        del folders[VAL]
    extensions = LEGACY_EXTENSIONS if legacy else image_extensions()
    classes = dataset.classes or class_folders(folders[TRAIN])
    scan = Listing(root, tuple(classes))
    key_names = tuple(key_classes) if len(key_classes) == len(classes) else scan.classes
    problems = [*_check_number(folders[TRAIN], classes), *_check_unusable(folders[TRAIN], classes)]
    for split, folder in folders.items():
        if split != TRAIN or dataset.classes is not None:
            source = folders[TRAIN] if dataset.classes is None else None
            problems += _check_names(folder, classes, source)
        scan.folders[split] = "" if folder == root else folder.name
        images, empty = _scan_split(scan, split, key_names, extensions)
        scan.splits[split] = images
        problems += empty
    if dataset.classes is not None and problems:
        problems.append("for renamed folders, set dataset.classes to their names in the old order")
    problems += _assign_val(scan, dataset)
    if problems:
        raise DataError("; ".join(problems))
    if scan.left_out:
        scan.notices.append(f"not read as images: {describe_files(scan.left_out)}")
    return scan


def _scan_split(
    scan: Listing, split: str, key_names: Sequence[str], extensions: Collection[str]
) -> tuple[tuple[ListedImage, ...], list[str]]:
    """Lists the images of a split's folder, and adds the files that are not read to `left_out`.

    Returns:
        The images by label, then by folder and file name, and a sentence for every class without
        any.
    """
    folder = scan.place(split)
    present = {normalize_path(name): name for name in class_folders(folder)}
    images: list[ListedImage] = []
    problems = []
    scan.left_out += [_relative(scan.root, path) for path in _loose_files(folder)]
    for label, (expected, key_name) in enumerate(zip(scan.classes, key_names, strict=True)):
        name = present.get(normalize_path(expected))
        if name is None:
            continue
        files, others = walk_images(folder / name, extensions)
        path = f"{folder}/{name}"
        key = normalize_path(f"{scan.folders[split]}/{key_name}".removeprefix("/"))
        images += [
            ListedImage(f"{key}/{normalize_path(file)}", f"{path}/{file}", label) for file in files
        ]
        left_out = [_relative(scan.root, folder / name / other) for other in others]
        scan.left_out += left_out
        if not files:
            only = f", only {describe_files(left_out)}" if left_out else ""
            problems.append(f"{folder / name} must hold at least one image, found none{only}")
    return tuple(images), problems


def _assign_val(scan: Listing, dataset: ImageFolderDataset) -> list[str]:
    """Decides what a validation folder is; returns the problem with it, if any."""
    if VAL not in scan.splits:
        return []
    folder = scan.place(VAL)
    held_out = {"val_split": dataset.val_split, "folds": dataset.folds}
    if TEST not in scan.splits and dataset.test_split is None:
        scan.splits[TEST], scan.folders[TEST] = scan.splits.pop(VAL), scan.folders.pop(VAL)
        is_only = any(value is not None for value in held_out.values())
        kind = "the test set" if is_only else "both the validation set and the test set"
        scan.notices.append(f"{folder} is {kind}: there is no {scan.root / TEST}")
        return []
    scan.notices.append(f"{folder} is the validation set")
    return [
        f"{folder} is the validation set, so dataset.{key} must be null, found {value:g}; rename "
        f"that folder to hold out a part of {scan.root / TRAIN} instead"
        for key, value in held_out.items()
        if value is not None
    ]


def train_folder(dataset: ImageFolderDataset) -> Path:
    """Returns the folder with the class folders of the training images."""
    root = Path(dataset.root)
    is_root = dataset.test_split is not None and not (root / TRAIN).is_dir()
    return root if is_root else root / TRAIN


def _find_splits(dataset: ImageFolderDataset) -> dict[str, Path]:
    """Returns the folder of each split.

    Raises:
        DataError: `train` is missing, or both of `test` and `val`, or there are several `val`; or
            `test_split` says that there is no `test`, and there is.
    """
    root = Path(dataset.root)
    val = [name for name in VAL_FOLDERS if (root / name).is_dir()]
    if len(val) > 1:
        raise DataError(
            f"dataset.root {root} must hold one validation folder, found {' and '.join(val)}"
        )
    if dataset.test_split is not None and (root / TEST).is_dir():
        raise DataError(
            f"{root / TEST} is the test set, so dataset.test_split must be null, found "
            f"{dataset.test_split:g}"
        )
    folders = {TRAIN: root / TRAIN, VAL: root / val[0] if val else root / VAL, TEST: root / TEST}
    splits = {split: folder for split, folder in folders.items() if folder.is_dir()}
    if dataset.test_split is not None and not splits and root.is_dir():
        return {TRAIN: root}
    if TRAIN not in splits or (len(splits) < 2 and dataset.test_split is None):
        names = class_folders(root) if root.is_dir() else ()
        raise DataError(
            f"dataset.root {root} must hold the folders train/CLASS and test/CLASS (or "
            f"val/CLASS), found {_list_names(names)}{_test_split_remedy(names, splits)}"
        )
    return splits


def _list_names(names: Sequence[str]) -> str:
    return list_first(names, MAX_LISTED_FOLDERS) or "no folder"


def _test_split_remedy(names: Sequence[str], splits: Mapping[str, Path]) -> str:
    """Returns how a test set can be made of the folders that there are."""
    remedy = "set dataset.test_split, e.g. to 0.2, to make the test set of a part of"
    if TRAIN in splits:
        return f"; {remedy} {TRAIN}/CLASS"
    return f"; if these are the classes, {remedy} them" if len(names) > 1 and not splits else ""


def _check_number(train: Path, classes: Sequence[str]) -> list[str]:
    if len(classes) >= 2:
        return []
    alone = f"{classes[0]} alone" if classes else "none"
    return [f"{train} must hold one folder per class and at least 2 classes, found {alone}"]


def _check_unusable(train: Path, classes: Sequence[str]) -> list[str]:
    unusable = describe_unusable(classes)
    return [f"{train} has names of classes that cannot be used: {unusable}"] if unusable else []


def _check_names(folder: Path, classes: Sequence[str], train: Path | None) -> list[str]:
    """Returns the problem with the class folders of a split, if any.

    Args:
        folder: The split's folder.
        classes: The expected classes.
        train: The folder that they are from; None if they are `dataset.classes`.
    """
    difference = describe_difference(classes, class_folders(folder))
    if not difference:
        return []
    expected = "classes of dataset.classes" if train is None else f"same classes as {train}"
    return [f"{folder} must hold the {expected}: {difference}"]


def walk_images(folder: Path, extensions: Collection[str]) -> tuple[list[str], list[str]]:
    """Returns the images below a class's folder, and the other files, as paths below it.

    A folder that several links lead to is read once, so that a loop of links ends.
    """
    images: list[str] = []
    others: list[str] = []
    visited: set[tuple[int, int]] = set()

    def walk(directory: Path, prefix: str) -> None:
        status = directory.stat()
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        inner = []
        for entry in _list(directory):
            if entry.is_dir():
                inner.append(entry.name)
            elif entry.is_file() and _extension(entry.name) in extensions:
                images.append(prefix + entry.name)
            else:
                others.append(prefix + entry.name)
        for name in inner:
            walk(directory / name, f"{prefix}{name}/")

    walk(folder, "")
    return sorted(images, key=lambda name: name.rpartition("/")), others


def _loose_files(folder: Path) -> list[Path]:
    """Returns the files of a split that lie in no class's folder."""
    return [Path(entry.path) for entry in _list(folder) if not entry.is_dir()]


def _list(folder: Path) -> list[os.DirEntry[str]]:
    """Returns the entries of a folder by name, without hidden ones and those of the system."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not _is_hidden(entry.name)]
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(visible, key=lambda entry: entry.name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _extension(path: str) -> str:
    """Returns a file's extension in lower case; faster than `Path.suffix`."""
    stem, _, extension = path.rpartition("/")[2].rpartition(".")
    return f".{extension.lower()}" if stem else ""


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def describe_files(paths: Sequence[str]) -> str:
    """Returns the number of files by extension, and examples."""
    kinds = Counter(_extension(path) or "without extension" for path in paths)
    numbers = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{numbers} ({list_first(paths, MAX_EXAMPLES)})"

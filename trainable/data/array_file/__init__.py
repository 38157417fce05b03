"""`arrays`: images and labels in one file, `.npz` or `.pt`.

Shapes, types and sizes are read first; images are read only once everything fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainable.config import ArraysDataset
from trainable.config.names import suggestion
from trainable.data.array_file.labels import check_labels, encode_labels
from trainable.data.array_file.opened import ArrayFile, ArrayHeader, open_array_file
from trainable.data.cache.memory import available_memory
from trainable.data.listing import TEST, TRAIN, VAL, find_file
from trainable.errors import DataError

if TYPE_CHECKING:
    from trainable.data.arrays import ImageArrays

CHANNELS = (1, 3, 4)
"""Sizes of a dimension that can be the channels without `dataset.layout`."""
GIB = 2**30
COPIES = 2
"""Copies of the images in memory at most while they are loaded: those read, and those divided
into splits or moved to the device."""


@dataclass(frozen=True)
class ArraysSummary:
    """Facts on a file of arrays that are read without its pixels."""

    classes: tuple[str, ...]
    """Class names in label order."""
    image: tuple[int, int, int]
    """Channels, height, width."""
    labels: Mapping[str, NDArray[np.int64]]
    """`train` and, if the file has them, `test` and `val` -> the label of each image."""


@dataclass(frozen=True)
class _Layout:
    """Where the channels of images are."""

    axis: int | None
    """Dimension of the channels, 1 or 3; None if there is none, as one channel needs none."""

    def image(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Returns channels, height and width."""
        if self.axis is None:
            return (1, shape[1], shape[2])
        height, width = [size for axis, size in enumerate(shape) if axis not in (0, self.axis)]
        return (shape[self.axis], height, width)

    def to_nhwc(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns a view `[N, H, W, C]`."""
        if self.axis is None:
            return pixels[..., np.newaxis]
        return np.moveaxis(pixels, self.axis, 3)


def summarize_arrays(dataset: ArraysDataset) -> ArraysSummary:
    """Reads the classes and the size of the images, but no pixel.

    Args:
        dataset: The config's `dataset` section.

    Raises:
        DataError: The file is missing, damaged, too large for this machine's memory or breaks a
            rule; the text has all problems.
    """
    return _open(dataset)[2]


def load_array_file(dataset: ArraysDataset) -> ImageArrays:
    """Loads all images into memory; `test` is drawn by `dataset.test_split` if it is set.

    Args:
        dataset: The config's `dataset` section.

    Raises:
        DataError: See `summarize_arrays`; or a class has too few images for `test_split`.
    """
    from trainable.data.arrays import ImageArrays, LabelledImages  # torch
    from trainable.data.splits.by_position import split_off_test

    file, layout, summary = _open(dataset)
    parts = {
        split: LabelledImages(layout.to_nhwc(file.read(f"x_{split}")), labels)
        for split, labels in summary.labels.items()
    }
    if dataset.test_split is not None:
        images = parts[TRAIN]
        trained, tested = split_off_test(images.labels, dataset.test_split, summary.classes)
        parts |= {TRAIN: images.select(trained), TEST: images.select(tested)}
    return ImageArrays(
        train=parts[TRAIN],
        test=parts[TEST],
        class_names=summary.classes,
        crop_padding=min(summary.image[1:]) // 8,
        flips=True,
        statistics=None,
        val=parts.get(VAL),
    )


def _open(dataset: ArraysDataset) -> tuple[ArrayFile, _Layout, ArraysSummary]:
    path = find_file(dataset)
    file = open_array_file(path)
    names = file.headers.keys()
    splits = [split for split in (TRAIN, TEST, VAL) if {f"x_{split}", f"y_{split}"} & names]
    _refuse(path, _check_names(dataset, file.headers, splits))
    problems, layout = _check_headers(dataset, file.headers, splits)
    _refuse(path, problems)
    arrays = {f"y_{split}": file.read(f"y_{split}") for split in splits}
    classes, labels, problems = encode_labels(arrays, dataset.classes)
    _refuse(path, problems)
    image = layout.image(file.headers["x_train"].shape)
    by_split = {split: labels[f"y_{split}"] for split in splits}
    return file, layout, ArraysSummary(classes, image, by_split)


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise DataError(f"dataset.file {path}: {'; '.join(problems)}")


def _check_names(
    dataset: ArraysDataset, headers: Mapping[str, ArrayHeader], splits: list[str]
) -> list[str]:
    """Returns which arrays are missing, and the keys of the config that contradict those there."""
    names = [f"{kind}_{split}" for split in dict.fromkeys([TRAIN, *splits]) for kind in "xy"]
    problems = [
        f"there is no {name}{suggestion(name, headers).replace('(known:', '(arrays:')}"
        for name in names
        if name not in headers
    ]
    if TEST in splits and dataset.test_split is not None:
        problems.append(
            f"dataset.test_split must be null, because there is x_test, found "
            f"{dataset.test_split:g}"
        )
    if TEST not in splits and dataset.test_split is None:
        problems.append(
            "there is no test set: add x_test and y_test, or set dataset.test_split to the share "
            "of the images that is to be the test set"
        )
    for key, value in (("val_split", dataset.val_split), ("folds", dataset.folds)):
        if VAL in splits and value is not None:
            problems.append(f"dataset.{key} must be null, because there is x_val, found {value:g}")
    return problems


def _check_headers(
    dataset: ArraysDataset, headers: Mapping[str, ArrayHeader], splits: list[str]
) -> tuple[list[str], _Layout]:
    """Returns what is wrong with types and shapes, and where the channels are."""
    problems = []
    for split in splits:
        images, labels = headers[f"x_{split}"], headers[f"y_{split}"]
        wrong = [_check_images(f"x_{split}", images), check_labels(f"y_{split}", labels)]
        problems += [problem for problem in wrong if problem]
        if not any(wrong) and images.shape[0] != labels.shape[0]:
            problems.append(
                f"x_{split} and y_{split} must be equally long, found {images.shape[0]} images "
                f"and {labels.shape[0]} labels"
            )
    if problems:
        return problems, _Layout(None)
    shapes = {f"x_{split}": headers[f"x_{split}"].shape for split in splits}
    layout, problem = _find_layout(shapes["x_train"], dataset.layout)
    if problem:
        return [problem], layout
    if len({len(shape) for shape in shapes.values()}) > 1 or (
        len({layout.image(shape) for shape in shapes.values()}) > 1
    ):
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        problems.append(f"all images must have one size, found {listed}")
    problems += _check_memory({f"x_{split}": headers[f"x_{split}"] for split in splits})
    return problems, layout


def _check_images(name: str, header: ArrayHeader) -> str | None:
    shape = list(header.shape)
    if header.dtype != "uint8":
        remedies = {
            "O": f"images of different sizes must be resized: {name} = numpy.stack(images)",
            "f": f"for values up to 1, save ({name} * 255).round() as uint8",
        }
        remedy = remedies.get(header.kind, "scale the values to 0..255 and save them as uint8")
        return f"{name} must be uint8, found {header.dtype}; {remedy}"
    if len(shape) not in (3, 4):
        return f"{name} must have the shape [N, H, W], [N, H, W, C] or [N, C, H, W], found {shape}"
    if 0 in shape:
        return f"{name} must have images with pixels, found {shape}"
    return None


def _find_layout(shape: tuple[int, ...], stated: str | None) -> tuple[_Layout, str | None]:
    """Returns where the channels are, and what is wrong if that is not clear."""
    if len(shape) == 3:
        return _Layout(None), None
    if stated is not None:
        return _Layout(1 if stated == "NCHW" else 3), None
    axes = [axis for axis in (1, 3) if shape[axis] in CHANNELS]
    if len(axes) == 1:
        return _Layout(axes[0]), None
    reason = (
        "both the second and the last dimension can be the channels (1, 3 or 4)"
        if axes
        else "neither the second nor the last dimension has 1, 3 or 4 channels"
    )
    rule = f"dataset.layout must be NHWC or NCHW for images of shape {list(shape)}: {reason}"
    return _Layout(3), rule


def _check_memory(images: Mapping[str, ArrayHeader]) -> list[str]:
    """Returns the problem that the images do not fit into memory, if they do not."""
    needed, available = COPIES * sum(one.nbytes for one in images.values()), available_memory()
    if needed <= available:
        return []
    sizes = {name: f"{list(one.shape)} is {one.nbytes / GIB:.1f}" for name, one in images.items()}
    listed = ", ".join(f"{name} {size} GiB" for name, size in sizes.items())
    return [
        f"loading the images takes about {needed / GIB:.1f} GiB of memory, {COPIES} times their "
        f"size ({listed}), and {available / GIB:.1f} GiB are available; larger data sets can be "
        "files with a table, dataset.name: table"
    ]

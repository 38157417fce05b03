"""Facts on a data set that the choice of a recipe depends on: counts, sizes, splits, damage."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from trainable.config import (
    ArraysDataset,
    BuiltinDataset,
    FileDataset,
    OwnDataset,
    SyntheticDataset,
    parse_config,
)
from trainable.config.own_code import not_allowed
from trainable.errors import ConfigError, DataError, Problem

TEST_SPLIT = 0.2
"""Share of every class that becomes the test set where the data have none."""
MAX_DECODED = 2_000
"""Images up to which all are decoded; of more, the headers are read."""
UNCOUNTED = 1
"""Stands for the number of validation images where it is only known that there are some."""
MAX_INSPECTED = 10_000
"""Images whose header is read; of more, a sample."""
STUB = {
    "model": {"name": "resnet20"},
    "training": {"epochs": 1},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
"""The rest of a training config, for checking its `dataset` section alone."""


@dataclass(frozen=True)
class DataFacts:
    """Facts on a data set."""

    section: Mapping[str, Any]
    """The `dataset` section of the training config, without what the recipe decides."""
    reasons: Mapping[str, str]
    """Key of the section -> why it has its value."""
    classes: int
    train: int
    """Images to train on, including those that a `val_split` holds out.

    `MAX_INSPECTED` where they are not counted.
    """
    test: int | None
    """None if it is not known."""
    val: int
    """Images that the data have for validation; `UNCOUNTED` if they were not counted."""
    smallest: int
    """Training images of the smallest class."""
    largest: int
    """Training images of the largest class."""
    channels: int
    side: int | None
    """Median of the shorter side in pixels; None if it is not known."""
    is_resized: bool = False
    """Whether images are resized to `dataset.image_size`."""
    is_finished: bool = False
    """Whether images are floats, which are used as they are."""
    is_counted: bool = True
    """Whether the images to train on were counted; those of one's own code may be too many."""

    @property
    def imbalance(self) -> float:
        """Ratio of the largest class to the smallest."""
        return self.largest / max(1, self.smallest)

    @property
    def images(self) -> int:
        """Number of all images that are known of."""
        return self.train + self.val + (self.test or 0)


def read_facts(section: Mapping[str, Any], *, allow_custom_model: bool) -> DataFacts:
    """Looks at a data set; writes and downloads nothing.

    Args:
        section: The keys of `dataset` that the user has given.
        allow_custom_model: Whether a data set of the user's own may be imported.

    Raises:
        DataError: The data cannot be used.
        ConfigError: A key is not valid, or the data set is code that is not allowed.
    """
    dataset = parse_dataset(section)
    if isinstance(dataset, FileDataset):
        return _read_files(section)
    if isinstance(dataset, ArraysDataset):
        return _read_arrays(section)
    if isinstance(dataset, OwnDataset):
        if not allow_custom_model:
            raise ConfigError("--data", [Problem("dataset.name", not_allowed(dataset.name))])
        return _read_own(section)
    return _read_known(section, dataset)


def parse_dataset(section: Mapping[str, Any]) -> Any:
    """Returns a `dataset` section as its model.

    Raises:
        ConfigError: A key or a value is not valid.
    """
    return parse_config({"dataset": dict(section), **STUB}, "--data").dataset


def _read_known(
    section: Mapping[str, Any], dataset: BuiltinDataset | SyntheticDataset
) -> DataFacts:
    from trainable.data.shapes import dataset_shape
    from trainable.inspection.summary import BUILTIN_COUNTS
    from trainable.preflight.shapes import IMAGE_SIDES

    classes, channels = dataset_shape(dataset)
    if isinstance(dataset, SyntheticDataset):
        train, test, side = dataset.num_train, dataset.num_test, min(dataset.shape[1:])
        reasons = {"name": "random images, for trying out how fast a training is"}
    else:
        (train, test), side = BUILTIN_COUNTS[dataset.name], IMAGE_SIDES[dataset.name]
        reasons = {"name": f"{train} images to train and {test} to test, in {classes} classes"}
    if "root" in section:
        reasons["root"] = "downloaded to this directory at the first start"
    of_class = train // classes
    return DataFacts(section, reasons, classes, train, test, 0, of_class, of_class, channels, side)


def _read_files(given: Mapping[str, Any]) -> DataFacts:
    from trainable.data.listing import TEST, TRAIN, VAL
    from trainable.data.shapes import IMAGE_FOLDER_CHANNELS

    section, listing = list_with_test(given)
    reasons = {
        "name": "images in class folders"
        if section["name"] == "image_folder"
        else "images and labels that a table lists",
        "root": "relative to the directory in which `sweep run` is started",
    }
    if Path(str(section["root"])).is_absolute():
        reasons["root"] = "the directory of the images"
    if "group_column" in section:
        reasons["group_column"] = "images of one of these are never on both sides of a split"
    if "test_split" in section:
        reasons["test_split"] = "the data have no test set; this share is kept for the end"
    paths = [image.path for images in listing.splits.values() for image in images]
    sides, changes, why = _inspect(section, paths)
    counts = listing.counts(TRAIN)
    total, share = sum(counts), section.get("test_split") or 0.0
    test = len(listing.splits[TEST]) if TEST in listing.splits else round(total * share)
    return DataFacts(
        {**section, **changes},
        {**reasons, **why},
        len(listing.classes),
        total if TEST in listing.splits else total - test,
        test,
        len(listing.splits.get(VAL, ())),
        min(counts),
        max(counts),
        IMAGE_FOLDER_CHANNELS,
        int(median(sides)) if sides else None,
        is_resized=True,
    )


def list_with_test(section: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Lists the images; adds `test_split` to the section where the data have no test set.

    Raises:
        DataError: The images cannot be listed.
    """
    from trainable.data.folder_scan import VAL_FOLDERS
    from trainable.data.listing import TEST, list_images

    section = dict(section)
    with_test = {**section, "test_split": TEST_SPLIT}
    try:
        listing = list_images(parse_dataset(section))
    except DataError:
        root = Path(str(section["root"]))
        has_test = any((root / name).is_dir() for name in (TEST, *VAL_FOLDERS))
        if "test_split" in section or has_test or section["name"] != "image_folder":
            raise
        return with_test, list_images(parse_dataset(with_test))
    return (section if TEST in listing.splits or "test_split" in section else with_test), listing


def _inspect(
    section: Mapping[str, Any], paths: Sequence[str]
) -> tuple[list[int], dict[str, Any], dict[str, str]]:
    """Reads images, all or a sample.

    Returns:
        The shorter sides, the keys of `dataset` that follow from what was seen, and why each has
        its value.
    """
    from trainable.data.image_file import (
        UNKNOWN,
        UNSCALED_MODES,
        Treatment,
        inspect_image,
        read_rules,
    )

    rules = read_rules(parse_dataset(section), measured=UNKNOWN)
    sample = paths[:: max(1, len(paths) // MAX_INSPECTED)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        inspect = partial(inspect_image, rules=rules, decodes=len(sample) <= MAX_DECODED)
        seen = list(pool.map(inspect, sample))
    sides = [min(one.size) for one in seen if one.size is not None]
    kinds = Counter(kind for one in seen for kind in one.treatments)
    changes: dict[str, Any] = {}
    why: dict[str, str] = {}
    unscaled = sum(one.damage is not None and one.mode in UNSCALED_MODES for one in seen)
    broken = sum(one.damage is not None and one.mode not in UNSCALED_MODES for one in seen)
    if unscaled and "max_value" not in section:
        changes["max_value"] = "auto"
        why["max_value"] = f"{unscaled} images have numbers of 32 bits; the largest one is white"
    if broken and "skip_unreadable" not in section:
        changes["skip_unreadable"] = True
        why["skip_unreadable"] = f"{broken} of {len(sample)} images cannot be read"
    if kinds[Treatment.TRANSPARENT] and "background" not in section:
        changes["background"] = [255, 255, 255]
        why["background"] = (
            f"{kinds[Treatment.TRANSPARENT]} of {len(sample)} images are transparent; white is "
            "behind them"
        )
    return sides, changes, why


def summarize_with_test(section: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Reads a file of arrays; adds `test_split` to the section where it has no test set.

    Raises:
        DataError: The file cannot be used.
    """
    from trainable.data.array_file import summarize_arrays  # numpy

    section = dict(section)
    try:
        return section, summarize_arrays(parse_dataset(section))
    except DataError:
        if "test_split" in section:
            raise
    section["test_split"] = TEST_SPLIT
    return section, summarize_arrays(parse_dataset(section))


def _read_arrays(given: Mapping[str, Any]) -> DataFacts:
    section, summary = summarize_with_test(given)
    reasons = {
        "name": "images and labels in one file of arrays",
        "root": "relative to the directory in which `sweep run` is started",
        "test_split": "the file has no test set; this share is kept for the end",
    }
    if Path(str(section["root"])).is_absolute():
        reasons["root"] = "the directory of the file"
    counts = [0] * len(summary.classes)
    for label in summary.labels["train"].tolist():
        counts[label] += 1
    channels, height, width = summary.image
    test = len(summary.labels.get("test", ()))
    held_out = round(sum(counts) * section["test_split"]) if "test_split" in section else 0
    return DataFacts(
        section,
        reasons,
        len(summary.classes),
        sum(counts) - held_out,
        test + held_out,
        len(summary.labels.get("val", ())),
        min(counts),
        max(counts),
        channels,
        min(height, width),
    )


def _read_own(given: Mapping[str, Any]) -> DataFacts:
    from trainable.preflight.data.own import check_own_data  # torch

    section = dict(given)
    check = check_own_data(parse_dataset(section))
    if check.problems and "test_split" not in section:
        with_test = {**section, "test_split": TEST_SPLIT}
        again = check_own_data(parse_dataset(with_test))
        if not again.problems:
            section, check = with_test, again
    if check.form is None:
        raise ConfigError("--data", check.problems)
    held_out = check_own_data(parse_dataset({**section, "val_split": TEST_SPLIT}))
    has_val = any(problem.key == "dataset.val_split" for problem in held_out.problems)
    train = check.train_images or MAX_INSPECTED
    of_class = train // check.num_classes
    size = check.form.size
    return DataFacts(
        section,
        {
            "name": "a data set of your own",
            "test_split": "the data set has no test set; this share is kept for the end",
        },
        check.num_classes,
        train,
        check.test_images,
        UNCOUNTED if has_val else 0,
        of_class,
        of_class,
        check.form.channels,
        None if size is None else min(size),
        is_resized=size is None,
        is_finished=check.form.is_finished,
        is_counted=check.train_images is not None,
    )

"""Reads from a checkpoint which images its training has held out, and how it has read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from trainable.artifacts import checkpoint
from trainable.config import (
    ArraysDataset,
    DatasetConfig,
    FileDataset,
    ImageFolderDataset,
    OwnDataset,
    TrainConfig,
    without_cache,
)
from trainable.config.own_code import is_own_code
from trainable.config.schema import Section
from trainable.data.source import ImageSource
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError

DatasetT = TypeVar("DatasetT", bound=Section)


def saved_split(state: dict[str, Any], dataset: DatasetConfig) -> SplitRecord | None:
    """Returns the split that a training keeps when it continues from a checkpoint.

    Args:
        state: As `checkpoint.read_checkpoint` returns it.
        dataset: The `dataset` section of the training that continues.

    Returns:
        The checkpoint's record; one by position for a training from before there were records;
        None if the two data sets are not of one kind, or this kind has no record.
    """
    saved = state[checkpoint.CONFIG].get("dataset")
    if not isinstance(dataset, FileDataset | ArraysDataset | OwnDataset) or not isinstance(
        saved, dict
    ):
        return None
    if saved.get("name") != dataset.name:
        return None
    record = state.get(checkpoint.RESUME, {}).get(checkpoint.SPLIT)
    if record is not None:
        return SplitRecord.from_dict(record)
    if not isinstance(dataset, ImageFolderDataset):
        return None
    seed = saved.get("seed", ImageFolderDataset.model_fields["seed"].default)
    return SplitRecord(int(seed), saved.get("val_split"), by_position=True)


def without_held_out(dataset: DatasetT) -> DatasetT:
    """Returns the data set for an evaluation on the test set, where nothing is held out.

    A class without validation images does not matter then; see also `SplitRecord.of_test_set`.
    """
    return dataset.model_copy(update={"val_split": None, "folds": None, "fold": 0})


def with_saved_cache(config: TrainConfig, saved: Mapping[str, Any]) -> TrainConfig:
    """Returns a config without the decoded cache if the training that it continues has none.

    Its training images would be others. Versions before the cache have recorded nothing of it.

    Args:
        config: Complete settings.
        saved: The checkpoint's config.
    """
    dataset, before = config.dataset, saved.get("dataset")
    if not isinstance(dataset, FileDataset) or not isinstance(before, Mapping):
        return config
    return config if before.get("cache") else without_cache(config)


def check_numbers(config: TrainConfig, source: ImageSource, split: SplitRecord | None) -> None:
    """Checks the numbers of channels and, if the checkpoint has no names, of classes.

    Args:
        config: The config of the training that continues, with the checkpoint's number of classes.
        source: Its data set.
        split: The split of that training; None if it does not continue.

    Raises:
        DataError: The numbers differ.
    """
    if split is None:
        return
    channels = config.model.in_channels
    if source.shape[0] != channels and not is_own_code(config.model.name):
        raise DataError(
            f"the checkpoint is of a model for images of {channels} channels, those of "
            f"{config.dataset.name} have {source.shape[0]}"
        )
    if split.classes:
        return
    expected = config.model.num_classes
    if expected != source.num_classes:
        raise DataError(
            f"the checkpoint is of a model with {expected} classes, found {source.num_classes} in "
            f"{config.dataset.root}: {', '.join(source.class_names)}"
        )

"""Checks that a disk has room for the decoded images of a data set."""

from __future__ import annotations

from trainable.config import ImageFolderDataset, TableDataset
from trainable.data.cache.settings import cache_settings
from trainable.data.cache.store import find_shortage
from trainable.data.listing import TRAIN, list_images
from trainable.errors import Problem


def check_room(dataset: ImageFolderDataset | TableDataset) -> list[Problem]:
    """Checks the room for the training images, which take the most.

    Args:
        dataset: The config's `dataset` section, whose files can be listed.
    """
    if not dataset.cache:
        return []
    if dataset.max_value == "auto":  # changes no size
        dataset = dataset.model_copy(update={"max_value": None})
    shortage = find_shortage(list_images(dataset).splits[TRAIN], cache_settings(dataset))
    return [] if shortage is None else [Problem("dataset.cache", shortage)]

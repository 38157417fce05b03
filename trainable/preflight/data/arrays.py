"""Checks of a file of arrays: its names, types and shapes, its classes and splits."""

from __future__ import annotations

from trainable.config import ArraysDataset
from trainable.data.array_file import summarize_arrays
from trainable.data.listing import TRAIN
from trainable.data.splits.by_position import hold_out_by_position, split_off_test
from trainable.errors import DataError
from trainable.preflight.shapes import DataShape, ImageCheck, to_problems


def check_arrays(dataset: ArraysDataset) -> ImageCheck:
    """Checks the file of a data set without reading a pixel.

    Args:
        dataset: The config's `dataset` section.
    """
    try:
        summary = summarize_arrays(dataset)
        labels = summary.labels[TRAIN]
        if dataset.test_split is not None:
            trained, _ = split_off_test(labels, dataset.test_split, summary.classes)
            labels = labels[trained]
        parts = hold_out_by_position(labels, dataset, summary.classes)
    except DataError as error:
        return ImageCheck(None, to_problems(error))
    count = len(labels) if parts is None else len(parts[0])
    return ImageCheck(DataShape(len(summary.classes), summary.image, count), [])

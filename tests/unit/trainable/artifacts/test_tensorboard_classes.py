"""Recall of every class and the confusion matrix, as TensorBoard reads them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainable.artifacts.tensorboard import TensorBoardWriter
from trainable.artifacts.tensorboard_classes import CELL, DARK, LABELS, draw_matrix

NAMES = ["cat", "dog"]
PER_CLASS = {
    "val_recall_per_class": [0.75, None, 0.5],
    "val_confusion_matrix": [[3, 1, 0], [0, 0, 0], [2, 2, 4]],
}


def test_recall_is_a_curve_of_each_class_and_the_matrix_an_image(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    for epoch in (1, 2):
        writer.append({"epoch": epoch, "val_acc": 0.5}, PER_CLASS, NAMES)
    writer.truncate(1)
    writer.append({"epoch": 2, "val_acc": 0.5}, PER_CLASS, NAMES)
    writer.close()
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    points = [(point.step, point.value) for point in events.Scalars("recall_val/cat")]
    assert points == [(1, 0.75), (2, 0.75)]
    assert [point.value for point in events.Scalars("recall_val/2")] == [0.5, 0.5]
    assert "recall_val/dog" not in events.Tags()["scalars"]
    images = events.Images("confusion_matrix/val")
    assert [image.step for image in images] == [1, 2]
    picture = Image.open(io.BytesIO(images[0].encoded_image_string))
    assert picture.size == (LABELS + 3 * CELL, LABELS + 3 * CELL)


def test_the_colour_of_a_cell_is_the_share_of_its_row() -> None:
    pixels = np.asarray(draw_matrix([[4, 0], [1, 1]], NAMES))
    corner = pixels[1, LABELS + 1], pixels[1, LABELS + CELL + 1], pixels[CELL + 1, LABELS + 1]
    assert [tuple(colour) for colour in corner] == [
        tuple(DARK), (255, 255, 255), tuple(np.round((255 + DARK) / 2).astype(int)),
    ]  # fmt: skip


def test_a_matrix_of_a_thousand_classes_has_one_pixel_a_cell() -> None:
    matrix = np.eye(1000, dtype=int).tolist()
    assert draw_matrix(matrix, list(map(str, range(1000)))).size == (1000, 1000)

"""TensorBoard records of the metrics that have a value for every class.

The recall of every class is a curve, and the confusion matrix an image: row y, column p is the
share of the images of class y that were classified as p, from white to dark.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary

from trainable.artifacts.class_metrics import MATRIX, MAX_NUMBERED_CLASSES, RECALL

MAX_CURVES = 100
"""Classes up to which every class has its curve."""
CELL, LABELS = 36, 120
"""Pixels of a cell's side, and of the margin for the names, in an image with labels."""
MAX_SIDE = 1000
"""Pixels of an image without labels."""
DARK = np.array([31, 95, 168])
"""The colour of a share of 1, as RGB."""
NAME_CHARS = 14
FONT_SIZE = 13


def class_values(per_class: Mapping[str, Any], names: Sequence[str]) -> list[Summary.Value]:
    """Returns the curves' points and the images of an epoch.

    Args:
        per_class: Columns such as `val_recall_per_class`.
        names: The names of the classes; numbers stand for those that are missing.
    """
    values = []
    for column, content in per_class.items():
        split, _, metric = column.partition("_")
        labels = [names[i] if i < len(names) else str(i) for i in range(len(content))]
        if metric == MATRIX:
            image = draw_matrix(content, labels)
            values.append(Summary.Value(tag=f"{MATRIX}/{split}", image=_encode(image)))
        elif metric == RECALL and len(content) <= MAX_CURVES:
            values += [
                Summary.Value(tag=f"recall_{split}/{label}", simple_value=recall)
                for label, recall in zip(labels, content, strict=True)
                if recall is not None
            ]
    return values


def draw_matrix(matrix: list[list[int]], labels: Sequence[str]) -> Image.Image:
    """Draws a confusion matrix, with names and numbers if there are few classes.

    Args:
        matrix: `[C][C]`.
        labels: The names of the classes.
    """
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    pixels = (255 + shares[..., None] * (DARK - 255)).round().astype(np.uint8)
    has_labels = len(labels) <= MAX_NUMBERED_CLASSES
    cell = CELL if has_labels else max(1, MAX_SIDE // len(labels))
    cells = Image.fromarray(pixels.repeat(cell, 0).repeat(cell, 1))
    return _label(cells, counts, shares, labels) if has_labels else cells


def _label(
    cells: Image.Image, counts: np.ndarray, shares: np.ndarray, labels: Sequence[str]
) -> Image.Image:
    image = Image.new("RGB", (cells.width + LABELS, cells.height + LABELS), "white")
    image.paste(cells, (LABELS, 0))
    font, draw = ImageFont.load_default(FONT_SIZE), ImageDraw.Draw(image)
    below = Image.new("RGB", (LABELS, cells.width), "white")  # turned to stand below the columns
    turned = ImageDraw.Draw(below)
    for index, label in enumerate(labels):
        middle, text = index * CELL + CELL // 2, label[:NAME_CHARS]
        draw.text((LABELS - 6, middle), text, "black", font, anchor="rm")
        turned.text((LABELS - 6, middle), text, "black", font, anchor="rm")
        for column in np.flatnonzero(counts[index]):
            colour = "white" if shares[index, column] > 0.5 else "black"
            place = LABELS + int(column) * CELL + CELL // 2, middle
            draw.text(place, str(counts[index, column]), colour, font, anchor="mm")
    image.paste(below.transpose(Image.Transpose.ROTATE_90), (LABELS, cells.height))
    return image


def _encode(image: Image.Image) -> Summary.Image:
    png = io.BytesIO()
    image.save(png, "PNG")
    return Summary.Image(
        height=image.height, width=image.width, colorspace=3, encoded_image_string=png.getvalue()
    )

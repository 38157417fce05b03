"""`classes.jsonl`: what it has of many classes, and which epoch is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from trainable.artifacts.class_metrics import (
    MAX_CONFUSIONS,
    read_class_metrics,
    shorten_matrices,
    split_row,
)


def test_of_a_large_matrix_the_most_frequent_mistakes_are_written() -> None:
    matrix = np.diag([9] * 300)
    matrix[5, 7], matrix[7, 5] = 3, 8
    matrix[0, 1:250] = 1
    columns = shorten_matrices({"val_confusion_matrix": matrix.tolist()})
    assert list(columns) == ["val_confusions"]
    assert columns["val_confusions"][:3] == [(7, 5, 8), (5, 7, 3), (0, 1, 1)]
    assert len(columns["val_confusions"]) == MAX_CONFUSIONS


def test_a_small_matrix_is_written_as_it_is() -> None:
    columns = {"val_confusion_matrix": [[1, 2], [3, 4]], "val_recall_per_class": [0.5, None]}
    assert shorten_matrices(columns) == columns


def test_a_row_without_such_metrics_is_the_same_row() -> None:
    row = {"epoch": 1, "val_acc": 0.5}
    assert split_row(row) == (row, {})


def test_the_test_sets_metrics_are_those_of_the_nearest_epoch(tmp_path: Path) -> None:
    path = tmp_path / "classes.jsonl"
    rows = [
        {"epoch": epoch, "val_recall_per_class": [epoch / 10]}
        | ({"test_recall_per_class": [epoch / 100]} if epoch in (3, 6) else {})
        for epoch in range(1, 7)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    val, test = (read_class_metrics(path, 4, split) for split in ("val", "test"))
    assert val == {"epoch": 4, "recall_per_class": [0.4]}
    assert test == {"epoch": 3, "recall_per_class": [0.03]}
    assert read_class_metrics(path, 7, "val") is None
    assert read_class_metrics(tmp_path / "none.jsonl", 1, "test") is None

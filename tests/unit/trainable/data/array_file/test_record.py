"""Notices and refusals when a file of arrays has changed."""

import numpy as np
import pytest

from tests.support.array_files import arrays_dataset, example_arrays, write_arrays
from trainable.data.array_file import load_array_file
from trainable.data.array_file.record import record_arrays
from trainable.data.splits.record import SplitRecord
from trainable.errors import DataError


def record(root, saved=None, others=None, **keys):
    write_arrays(root / "data.npz", **example_arrays(**(others or {})))
    dataset = arrays_dataset(root, **keys)
    return record_arrays(load_array_file(dataset), dataset, saved)


def reordered():
    arrays = example_arrays()
    order = np.arange(16)[::-1]
    return {"x_train": arrays["x_train"][order], "y_train": arrays["y_train"][order]}


def test_a_record_survives_its_plain_values_and_recognises_the_file(tmp_path):
    first, changes = record(tmp_path, val_split=0.25)
    assert changes == []
    assert first.sizes == {"train": 16, "test": 8}
    again, changes = record(tmp_path, SplitRecord.from_dict(first.to_dict()), val_split=0.25)
    assert again == first
    assert changes == []


@pytest.mark.parametrize("keys", [{"val_split": 0.25}, {"folds": 4, "fold": 1}])
def test_other_training_images_are_refused_where_a_part_is_held_out(tmp_path, keys):
    first, _ = record(tmp_path, **keys)
    with pytest.raises(DataError) as error:
        record(tmp_path, first, reordered(), **keys)
    assert str(error.value) == (
        f"the images in {tmp_path / 'data.npz'} have changed since the training began (train 16 "
        "-> 16 images), and its splits go by position: put them back, or begin anew without "
        "the checkpoint"
    )


def test_other_training_images_are_said_where_nothing_is_held_out(tmp_path):
    first, _ = record(tmp_path)
    _, changes = record(tmp_path, first, reordered())
    assert changes == [
        f"the images in {tmp_path / 'data.npz'} have changed since the training began: train 16 "
        "-> 16 images"
    ]


def test_an_evaluation_looks_at_the_test_images_only(tmp_path):
    first, _ = record(tmp_path, val_split=0.25)
    assert record(tmp_path, first.of_test_set(), reordered())[1] == []
    test = example_arrays()["x_test"] // 2
    _, changes = record(tmp_path, first.of_test_set(), {"x_test": test})
    assert changes[0].endswith("have changed since the training began: test 8 -> 8 images")


def test_another_split_is_said(tmp_path):
    first, _ = record(tmp_path, val_split=0.25)
    _, changes = record(tmp_path, first, val_split=0.5)
    assert changes == [
        "the validation split is drawn anew (dataset.val_split 0.25 -> 0.5): images that were "
        "trained may now be validated"
    ]

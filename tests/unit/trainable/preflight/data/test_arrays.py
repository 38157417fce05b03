"""Files of arrays: problems by key, and the shape of the data, before anything is trained."""

import numpy as np

from tests.support.array_files import arrays_dataset, example_arrays, write_arrays
from trainable.config import parse_config
from trainable.preflight.checks import Checker
from trainable.preflight.data.arrays import check_arrays
from trainable.preflight.shapes import DataShape


def check(root, others=None, **keys):
    write_arrays(root / "data.npz", **example_arrays(**(others or {})))
    result = check_arrays(arrays_dataset(root, **keys))
    return result.shape, {problem.key: problem.rule for problem in result.problems}


def test_the_shape_has_the_images_that_are_trained(tmp_path):
    assert check(tmp_path) == (DataShape(2, (3, 8, 8), 16), {})
    assert check(tmp_path, val_split=0.25)[0] == DataShape(2, (3, 8, 8), 12)
    assert check(tmp_path, folds=4)[0] == DataShape(2, (3, 8, 8), 12)
    others = {"x_test": None, "y_test": None}
    assert check(tmp_path, others, test_split=0.5, val_split=0.25)[0] == DataShape(2, (3, 8, 8), 6)


def test_problems_have_the_keys_that_they_are_about(tmp_path):
    assert check(tmp_path, test_split=0.2) == (
        None,
        {
            "dataset.file": f"{tmp_path / 'data.npz'}: dataset.test_split must be null, because "
            "there is x_test, found 0.2"
        },
    )
    few = {"y_train": np.array([0] * 15 + [1])}
    assert check(tmp_path, few, val_split=0.5) == (
        None,
        {"dataset.val_split": "needs at least 2 images of every class, found 1 of class 1"},
    )
    assert check(tmp_path, folds=9)[1] == {
        "dataset.folds": "needs at least 9 images of every class, found 8 of class 0, 8 of class 1"
    }


def test_changes_of_colour_are_refused_for_grey_images(tmp_path):
    grey = {"x_train": np.zeros((16, 8, 8), np.uint8), "x_test": np.zeros((8, 8, 8), np.uint8)}
    write_arrays(tmp_path / "data.npz", **example_arrays(**grey))
    config = parse_config(
        {
            "dataset": {"name": "arrays", "root": str(tmp_path), "file": "data.npz"},
            "augment": {"grayscale": 0.1},
            "model": {"name": "resnet20", "in_channels": 3},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )
    problems = Checker(allow_custom_model=False, with_torch=False).slow_problems(config)
    assert {problem.key: problem.rule for problem in problems} == {
        "model.in_channels": "must be the data's 1, found 3",
        "augment.grayscale": "needs colour images; those of arrays have 1 channel",
    }

"""A data set in a few lines, as `sweep plan` prints them."""

from pathlib import Path
from typing import Any

from tests.support.array_files import example_arrays, write_arrays
from tests.support.image_folders import write_image_folder
from trainable.config import parse_config
from trainable.inspection.summary import summarize_data


def lines(**dataset: Any) -> list[str]:
    config = parse_config(
        {
            "dataset": dataset,
            "model": {"name": "resnet20"},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )
    return list(summarize_data(config))


def test_files_are_counted_by_split(tmp_path: Path) -> None:
    root = write_image_folder(tmp_path, train=20, test=10)
    assert lines(name="image_folder", root=str(root), val_split=0.5) == [
        "image_folder: 60 images in 2 classes, train 20, val 20, test 20; 10 to 10 training "
        "images a class"
    ]
    for path in sorted((root / "train" / "dog").iterdir())[1:]:
        path.unlink()
    first, balance = lines(name="image_folder", root=str(root))
    assert first.endswith("train 21, test 20; 1 to 20 training images a class")
    assert balance.startswith("class imbalance of 20 to 1: cat has 20 training images, dog 1")


def test_arrays_are_counted_by_their_labels(tmp_path: Path) -> None:
    file = write_arrays(tmp_path / "data.npz", **example_arrays())
    first, few = lines(name="arrays", file=str(file))
    assert first == (
        "arrays: 24 images in 2 classes, train 16, test 8; 8 to 8 training images a class"
    )
    assert few.startswith("fewer than 10 test images of 0, 1: test_acc moves in steps of 12.5%")


def test_other_data_are_known_by_name() -> None:
    assert lines(name="digits") == ["digits: 1797 images in 10 classes, train 1438, test 359"]
    assert lines(name="synthetic", num_train=7, num_test=5, num_classes=3) == [
        "synthetic: 12 images in 3 classes, train 7, test 5"
    ]
    assert lines(name="my_data:scans") == ["my_data:scans, a data set of your own"]

"""The classes and channels of a data set, which decide the model's."""

from typing import get_args

import pytest
import torch

from tests.support.array_files import arrays_dataset, example_arrays, write_arrays
from tests.support.image_folders import write_image_folder
from tests.support.label_tables import table_dataset, table_of_folder
from trainable.config import BuiltinDataset, TrainConfig, parse_config
from trainable.data.shapes import BUILTIN_SHAPES, dataset_shape
from trainable.errors import DataError
from trainable.models import get_model


def config_of(dataset: dict, **model: int) -> TrainConfig:
    return parse_config(
        {
            "dataset": dataset,
            "model": {"name": "resnet20", **model},
            "training": {"epochs": 1},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
        }
    )


def logits_shape(config: TrainConfig, channels: int) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(get_model(config)(torch.zeros(2, channels, 16, 16)).shape)


def test_every_built_in_data_set_has_a_shape():
    names = get_args(BuiltinDataset.model_fields["name"].annotation)
    assert set(BUILTIN_SHAPES) == set(names)


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"name": "cifar10"}, (10, 3)),
        ({"name": "cifar100"}, (100, 3)),
        ({"name": "mnist"}, (10, 1)),
        ({"name": "fashion_mnist"}, (10, 1)),
        ({"name": "digits"}, (10, 1)),
        ({"name": "synthetic", "shape": [2, 16, 16], "num_classes": 7}, (7, 2)),
    ],
)
def test_the_model_takes_classes_and_channels_from_the_data_set(dataset, expected):
    config = config_of(dataset)
    assert dataset_shape(config.dataset) == expected
    classes, channels = expected
    assert logits_shape(config, channels) == (2, classes)


def test_the_model_section_wins_over_the_data_set():
    config = config_of({"name": "cifar10"}, num_classes=5, in_channels=4)
    assert logits_shape(config, channels=4) == (2, 5)


def test_an_image_folder_has_one_class_per_folder(tmp_path):
    for name in ("ant", "bee", "cat"):
        (tmp_path / "train" / name).mkdir(parents=True)
    (tmp_path / "train" / "notes.txt").write_text("not a class")
    config = config_of({"name": "image_folder", "root": str(tmp_path)})
    assert dataset_shape(config.dataset) == (3, 3)
    assert logits_shape(config, channels=3) == (2, 3)


def test_a_missing_image_folder_matters_only_without_num_classes(tmp_path):
    dataset = {"name": "image_folder", "root": str(tmp_path / "absent")}
    with pytest.raises(DataError, match=r"absent.train, which is no directory"):
        get_model(config_of(dataset))
    assert logits_shape(config_of(dataset, num_classes=4), channels=3) == (2, 4)


def test_an_image_folder_with_one_class_is_refused(tmp_path):
    (tmp_path / "train" / "ant").mkdir(parents=True)
    config = config_of({"name": "image_folder", "root": str(tmp_path)})
    with pytest.raises(DataError, match=r"at least 2 class folders .* found 1"):
        dataset_shape(config.dataset)


def test_the_classes_of_a_table_and_of_arrays_are_read_from_their_files(tmp_path):
    root = write_image_folder(tmp_path, classes=("a", "b", "c"))
    table_of_folder(root, root / "labels.csv")
    write_arrays(root / "data.npz", **example_arrays())
    assert dataset_shape(table_dataset(root)) == (3, 3)
    assert dataset_shape(arrays_dataset(root)) == (2, 3)
    for missing in (table_dataset(root, "x.csv"), arrays_dataset(root, "x.npz")):
        with pytest.raises(DataError, match=r"dataset\.file must be a file below dataset\.root"):
            dataset_shape(missing)

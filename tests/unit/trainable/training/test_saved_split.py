"""Which images a training that continues from a checkpoint holds out."""

from typing import Any

import pytest

from trainable.config import (
    BuiltinDataset,
    ImageFolderDataset,
    SyntheticDataset,
    TableDataset,
)
from trainable.data.splits.record import SplitRecord
from trainable.training.saved_split import saved_split, without_held_out

RECORD = SplitRecord(42, None, classes=("cat", "dog"), cuts=(1, 2), folds=2, fold=1)
FOLDER = ImageFolderDataset(name="image_folder", folds=2, fold=1)
TABLE = TableDataset(name="table", file="labels.csv")


def state_of(dataset: dict[str, Any], record: SplitRecord | None = RECORD) -> dict[str, Any]:
    split = {} if record is None else {"split": record.to_dict()}
    return {"config": {"dataset": dataset}, "resume_state": split}


@pytest.mark.parametrize("dataset", [FOLDER, TABLE])
def test_the_record_is_that_of_a_data_set_of_the_same_kind(dataset):
    assert saved_split(state_of({"name": dataset.name}), dataset) == RECORD
    assert saved_split(state_of({"name": "digits"}), dataset) is None
    assert saved_split({"config": {}}, dataset) is None


def test_a_folder_without_a_record_was_split_by_position_and_a_table_is_drawn():
    older = state_of({"name": "image_folder", "seed": 7, "val_split": 0.2}, None)
    assert saved_split(older, FOLDER) == SplitRecord(7, 0.2, by_position=True)
    assert saved_split(state_of({"name": "table"}, None), TABLE) is None


def test_built_in_and_synthetic_data_have_no_record():
    for dataset in (BuiltinDataset(name="digits"), SyntheticDataset(name="synthetic")):
        assert saved_split(state_of({"name": dataset.name}), dataset) is None


def test_an_evaluation_holds_out_nothing():
    assert without_held_out(FOLDER) == ImageFolderDataset(name="image_folder")

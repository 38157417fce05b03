"""The names of the classes of every data set, recorded and checked."""

import os

import pytest
import torch
from torchvision import datasets

from tests.support.image_folders import touch
from trainable.config import (
    BuiltinDataset,
    ImageFolderDataset,
    SyntheticDataset,
    parse_config,
)
from trainable.config.override import override
from trainable.data.class_names import (
    describe_difference,
    describe_moves,
    describe_unusable,
    refuse_moves,
    with_saved_classes,
)
from trainable.data.folder_scan import scan_folder
from trainable.data.shapes import (
    BUILTIN_CLASSES,
    BUILTIN_SHAPES,
    check_classes,
    known_class_names,
    refuse_other_classes,
)
from trainable.errors import ConfigError, DataError
from trainable.preflight.checks import refuse_failing
from trainable.training.trainer import Trainer

DIGITS = [str(digit) for digit in range(10)]
CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 1},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}


def test_the_names_are_those_of_torchvision_and_as_many_as_the_data_have():
    assert BUILTIN_CLASSES["mnist"] == tuple(datasets.MNIST.classes)
    assert BUILTIN_CLASSES["fashion_mnist"] == tuple(datasets.FashionMNIST.classes)
    for name, names in BUILTIN_CLASSES.items():
        assert len(set(names)) == BUILTIN_SHAPES[name][0]
    assert BUILTIN_SHAPES.keys() - BUILTIN_CLASSES.keys() == {"cifar100"}
    assert known_class_names(SyntheticDataset(name="synthetic", num_classes=3)) == ("0", "1", "2")


@pytest.mark.parametrize(
    "dataset",
    [
        {"name": "digits"},
        {"name": "synthetic", "shape": [1, 8, 8], "num_train": 40, "num_test": 20},
    ],
)
def test_a_training_records_the_names_and_continues_with_them(dataset):
    config = parse_config(CONFIG | {"dataset": dataset})
    trainer = Trainer(config, device=torch.device("cpu"))
    recorded = trainer.state_dict()["config"]
    assert recorded["dataset"]["classes"] == DIGITS
    again = Trainer(parse_config(recorded), device=torch.device("cpu"))
    assert again.source is trainer.source
    refuse_failing(again.config, allow_custom_model=False)


def test_other_names_are_refused_before_and_at_the_loading_of_the_data():
    wrong = ["0", "2", "1", *DIGITS[3:]]
    config = parse_config(CONFIG | {"dataset": {"name": "digits", "classes": wrong}})
    text = "must be digits's own names or null, found 2 in the place of 1"
    with pytest.raises(ConfigError, match=f"dataset.classes: {text}"):
        refuse_failing(config, allow_custom_model=False)
    with pytest.raises(DataError, match=f"dataset.classes {text}"):
        refuse_other_classes(config.dataset, tuple(DIGITS))


def test_a_wrong_number_of_names_is_refused():
    few = BuiltinDataset(name="cifar100", classes=("apple", "baby"))
    (problem,) = check_classes(few)
    assert problem.rule == "must have cifar100's 100 classes or be null, found 2"
    (problem,) = check_classes(BuiltinDataset(name="digits", classes=("0", "1")))
    assert problem.rule.endswith("or null: new 2, 3, 4, 5, 6, 7, 8, 9")


def test_another_data_set_has_other_names():
    recorded = CONFIG | {"dataset": {"name": "digits", "classes": DIGITS}}
    assert override(recorded, {"dataset.name": "mnist"})["dataset"] == {"name": "mnist"}
    assert override(recorded, {"dataset.val_split": 0.1})["dataset"]["classes"] == DIGITS


def test_missing_and_new_names_are_listed_whatever_their_characters():
    assert describe_difference(["cat", "dog"], ["dog", "cat"]) == ""
    assert describe_difference(["cafe\u0301"], ["caf\u00e9"]) == ""
    odd = ["a, b", "", " cat", "line\nbreak", "na\u00efve"]
    text = describe_difference(["dog", *odd], ["dog", "emu"])
    listed = "'a, b', '', ' cat', 'line\\nbreak', na\u00efve"
    assert text == f"missing {listed} and new emu"
    many = [f"c{number}" for number in range(1000)]
    assert describe_difference(many, ["c0"]).endswith("c9, c10 and 989 more")


def test_a_class_that_has_another_label_is_named():
    assert describe_moves(["cat", "dog"], ["cat", "dog", "emu"]) == ""
    assert describe_moves(["cat", "dog"], ["wolf", "dog"]) == ""  # renamed
    assert describe_moves(["2", "10"], ["10", "2"]) == "2 was 0 and is 1; 10 was 1 and is 0"
    letters = "abcdefg"
    assert describe_moves(letters, letters[::-1]).endswith("c was 2 and is 4; and 3 more")
    rule = refuse_moves({"dataset": {"classes": ["cat", "dog"]}}, ["dog", "cat"])
    assert rule is not None
    assert rule.endswith("in the checkpoint's order: cat, dog")
    assert refuse_moves({"dataset": {"name": "digits"}}, ["dog"]) is None
    assert refuse_moves({}, ["dog"]) is None


def test_a_training_takes_over_the_names_of_the_same_data_set():
    saved = {"dataset": {"name": "synthetic", "classes": ["a", "b"]}}
    config = parse_config(CONFIG | {"dataset": {"name": "synthetic"}})
    assert with_saved_classes(config, saved).dataset.classes == ("a", "b")
    assert with_saved_classes(config, {}) == config
    other = parse_config(CONFIG | {"dataset": {"name": "synthetic", "classes": ["x", "y"]}})
    assert with_saved_classes(other, saved) == other
    assert with_saved_classes(parse_config(CONFIG), saved).dataset.classes is None


def test_names_that_no_file_can_hold_are_refused_before_the_training(tmp_path):
    assert describe_unusable(["caf\u00e9", "a,b", "line\nbreak"]) == ""
    spellings = ["cafe\u0301", "caf\u00e9"]
    touch(
        tmp_path, *(f"{split}/{name}/1.png" for split in ("train", "test") for name in spellings)
    )
    latin = os.fsdecode(b"caf\xe9")
    touch(tmp_path, *(f"{split}/{latin}/1.png" for split in ("train", "test")))
    with pytest.raises(DataError) as error:
        scan_folder(ImageFolderDataset(name="image_folder", root=str(tmp_path)))
    assert str(error.value) == (
        f"{tmp_path}/train has names of classes that cannot be used: 'caf\\xe9' (not in UTF-8; "
        "rename them); caf\u00e9 (the same letters in two Unicode forms; merge them)"
    )
    own = SyntheticDataset(name="synthetic", num_classes=2)
    with pytest.raises(DataError, match="synthetic has names of classes that cannot be used"):
        refuse_other_classes(own, ("cat", latin))

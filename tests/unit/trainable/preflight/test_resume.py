"""A checkpoint that a config cannot continue is named with what differs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.image_folders import write_image_folder
from trainable.artifacts.checkpoint import write_checkpoint
from trainable.config import TrainConfig
from trainable.preflight.resume import check_resume
from trainable.preflight.shapes import DataShape, known_shape
from trainable.training.trainer import Trainer

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def saved(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., TrainConfig]
) -> Path:
    """A checkpoint of resnet20 after epoch 2 of 3."""
    path = tmp_path_factory.mktemp("saved") / "latest.pt"
    trainer = Trainer(tiny_config(model={"name": "resnet20"}), device=torch.device("cpu"))
    trainer.epoch = 2
    write_checkpoint(trainer.state_dict(), [path])
    return path


def problems(config: TrainConfig, shape: DataShape | None = None) -> dict[str, str]:
    shape = shape or known_shape(config)
    assert shape is not None
    return {problem.key: problem.rule for problem in check_resume(config, shape)}


def test_a_checkpoint_of_the_same_training_can_be_continued(
    saved: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(model={"name": "resnet20"}, checkpoint={"resume": str(saved)})
    assert problems(config) == {}


def test_another_model_number_of_classes_or_optimizer_is_named(
    saved: Path, tiny_config: MakeConfig
) -> None:
    resume = {"resume": str(saved)}
    other = tiny_config(model={"name": "vgg11"}, checkpoint=resume)
    assert problems(other)["checkpoint.resume"] == (
        f"{saved} has model.name resnet20, the config vgg11; they must be the same"
    )
    same = tiny_config(model={"name": "resnet20"}, checkpoint=resume)
    reported = problems(same, DataShape(4, (1, 8, 8)))["checkpoint.resume"]
    assert reported == f"{saved} has model.num_classes 10, the config and its data 4"
    adam = tiny_config(
        model={"name": "resnet20"},
        optimizer={"name": "adam", "learning_rate": 0.1},
        checkpoint=resume,
    )
    assert "has optimizer.name sgd, the config adam" in problems(adam)["checkpoint.resume"]


def test_epochs_must_be_left(saved: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(
        model={"name": "resnet20"}, training={"epochs": 2}, checkpoint={"resume": str(saved)}
    )
    assert "must be above the 2 epochs" in problems(config)["training.epochs"]


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, tiny_config: MakeConfig) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"foreign")
    reported = problems(tiny_config(checkpoint={"resume": str(path)}))["checkpoint.resume"]
    assert reported.startswith(f"{path}: expected")


def test_other_class_names_in_the_folder_are_named(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    root = write_image_folder(tmp_path / "images")
    dataset = {"name": "image_folder", "root": str(root), "image_size": 8, "val_split": 0.25}
    model = {"name": "resnet20"}
    trainer = Trainer(tiny_config(dataset=dataset, model=model), device=torch.device("cpu"))
    path = tmp_path / "folder.pt"
    write_checkpoint(trainer.state_dict(), [path])
    config = tiny_config(dataset=dataset, model=model, checkpoint={"resume": str(path)})
    shape = DataShape(2, (3, 8, 8))
    assert problems(config, shape) == {}
    for split in ("train", "test"):
        (root / split / "cat").rename(root / split / "kitten")
    assert "missing cat and new kitten" in problems(config, shape)["dataset.root"]

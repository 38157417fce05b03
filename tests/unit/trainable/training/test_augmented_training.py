"""Trainings with every augmentation: resumed, in a folder with loader processes, recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.augmentations import COLOURED, GREY
from tests.support.image_folders import write_image_folder
from tests.unit.trainable.training.test_resume import EPOCHS, assert_every_cut_resumes
from trainable.training.epoch import drain
from trainable.training.trainer import Trainer

Rows = Callable[[dict[str, Any]], dict[str, Any]]
MakeTrainer = Callable[..., Trainer]

SMALL = {"name": "synthetic", "shape": [1, 8, 8], "num_train": 61, "num_test": 20}


@pytest.mark.parametrize(
    "augment",
    [
        GREY,
        {"trivialaugment": True, "mixup": {}},
        {"autoaugment": "svhn", "cutmix": {}},
    ],
    ids=["everything", "trivialaugment", "autoaugment"],
)
def test_a_training_with_augmentations_resumes_bit_equal_at_every_cut(
    augment: dict[str, Any],
    tmp_path: Path,
    tiny_trainer: MakeTrainer,
    assert_same: Callable[[Any, Any], None],
    without_times: Rows,
) -> None:
    def make() -> Trainer:
        return tiny_trainer(
            augment=augment,
            dataset=SMALL,
            training={"epochs": EPOCHS, "batch_size": 21, "accumulation_steps": 2},
        )

    assert_every_cut_resumes(make, tmp_path, assert_same, without_times)


def test_a_folder_with_loader_processes_resumes_bit_equal_at_every_cut(
    tmp_path: Path,
    tiny_config: Callable[..., Any],
    assert_same: Callable[[Any, Any], None],
    without_times: Rows,
) -> None:
    root = write_image_folder(tmp_path / "images", train=8, side=20)
    config = tiny_config(
        dataset={"name": "image_folder", "root": str(root), "image_size": 8, "val_split": None},
        augment=COLOURED,
        training={"epochs": EPOCHS, "batch_size": 5},
    )
    workers = iter([2, *[0, 2] * EPOCHS])

    def make() -> Trainer:
        return Trainer(
            config,
            device=torch.device("cpu"),
            num_workers=next(workers),
            allow_custom_model=True,
        )

    assert_every_cut_resumes(make, tmp_path, assert_same, without_times)


def test_the_default_trains_as_no_augmentation_does(
    tiny_trainer: MakeTrainer, without_times: Rows
) -> None:
    off = {"crop": None, "randaugment": None, "mixup": None, "rotation": 0, "grayscale": 0}
    rows = [
        without_times(tiny_trainer(augment=augment).run_epoch())
        for augment in ({}, off, {"erasing": {"probability": 0}})
    ]
    assert rows[0] == rows[1] == rows[2]


def test_soft_targets_of_unmixed_images_count_as_hard_labels(tiny_trainer: MakeTrainer) -> None:
    hard, soft = (
        tiny_trainer(augment=augment, training={"accumulation_steps": 2}).run_epoch()
        for augment in ({}, {"mixup": {"probability": 0}, "cutmix": {"probability": 0}})
    )
    assert hard["train_acc"] == soft["train_acc"]
    assert hard["train_loss"] == pytest.approx(soft["train_loss"], rel=1e-6)
    assert hard["val_acc"] == soft["val_acc"]


def test_the_larger_part_of_a_mixed_label_counts_as_a_hit(tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer(augment={"mixup": {"alpha": 1.0}})
    hits = []
    for images, labels in trainer.train_batches(seed=1, epoch=1):
        assert labels.shape == (len(images), 10)
        assert torch.allclose(labels.sum(1), torch.ones(len(images)))
        hits.append(trainer.model(images).argmax(1) == labels.argmax(1))
    trainer.optimizer.param_groups[0]["lr"] = 0.0
    score = drain(trainer.train_on(trainer.train_batches(seed=1, epoch=1)))
    assert score.acc == pytest.approx(torch.cat(hits).double().mean().item())


def test_a_mutation_changes_the_draws_of_the_next_epoch_only(tiny_trainer: MakeTrainer) -> None:
    donor = tiny_trainer(augment={"randaugment": {"magnitude": 3}}, dataset=SMALL)
    donor.run_epoch()
    results = []
    for magnitude in (3, 20):
        augment = {"randaugment": {"magnitude": magnitude}}
        recipient = tiny_trainer(augment=augment, dataset=SMALL)
        recipient.load_state_dict(donor.state_dict())
        results.append(recipient.run_epoch()["train_loss"])
    assert donor.run_epoch()["train_loss"] == results[0] != results[1]

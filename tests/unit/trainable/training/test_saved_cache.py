"""Trainings from before the decoded cache go on without it; others resume bit-equal with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.image_folders import write_image_folder
from tests.unit.trainable.training.test_resume import EPOCHS, assert_every_cut_resumes
from trainable.artifacts.checkpoint import CONFIG, read_checkpoint, write_checkpoint
from trainable.config import TrainConfig
from trainable.data.cached.source import CachedSource
from trainable.experiment.fit import fit
from trainable.experiment.from_checkpoint import evaluate_checkpoint
from trainable.training.saved_split import with_saved_cache
from trainable.training.trainer import Trainer

MakeConfig = Callable[..., TrainConfig]


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    root = write_image_folder(tmp_path / "images", train=8, side=20)
    return {"name": "image_folder", "root": str(root), "image_size": 8, "val_split": 0.25}


def test_a_training_from_the_cache_resumes_bit_equal_at_every_cut(
    tmp_path: Path,
    folder: dict[str, Any],
    tiny_config: MakeConfig,
    assert_same: Callable[[Any, Any], None],
    without_times: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    config = tiny_config(
        dataset=folder,
        augment={"rotation": 10, "mixup": {}},
        training={"epochs": EPOCHS, "batch_size": 5, "sampler": "balanced"},
    )

    def make() -> Trainer:
        trainer = Trainer(config, device=torch.device("cpu"), allow_custom_model=True)
        assert isinstance(trainer.source, CachedSource)
        return trainer

    assert_every_cut_resumes(make, tmp_path, assert_same, without_times)


@pytest.mark.parametrize(
    ("before", "wanted", "expected"),
    [
        (None, True, False),
        (False, True, False),
        (True, True, True),
        (True, False, False),
    ],
)
def test_a_training_goes_on_without_the_cache_if_it_had_none(
    folder: dict[str, Any],
    tiny_config: MakeConfig,
    before: bool | None,
    wanted: bool,
    expected: bool,
) -> None:
    config = tiny_config(dataset={**folder, "cache": wanted})
    saved = {"dataset": folder if before is None else {**folder, "cache": before}}
    assert with_saved_cache(config, saved).dataset.cache is expected


def test_a_checkpoint_of_a_version_before_the_cache_goes_on_without_it(
    tmp_path: Path, folder: dict[str, Any], tiny_config: MakeConfig
) -> None:
    """Continues it and evaluates it; what is saved then says so, too."""

    def config(**checkpoint: Any) -> TrainConfig:
        return tiny_config(
            dataset={**folder, "cache": bool(checkpoint)},
            training={"epochs": 2 if checkpoint else 1, "batch_size": 8},
            checkpoint={"enabled": True, "dir": str(tmp_path), **checkpoint},
        )

    outcome = fit(config(), allow_custom_model=True)
    state = read_checkpoint(Path(outcome.latest))
    del state[CONFIG]["dataset"]["cache"]
    old = tmp_path / "old.pt"
    write_checkpoint(state, [old])
    evaluate_checkpoint(old, {}, allow_custom_model=True)
    continued = fit(config(resume=str(old)), allow_custom_model=True)
    assert read_checkpoint(Path(continued.latest))[CONFIG]["dataset"]["cache"] is False
    assert not (tmp_path / "images" / ".tune-sweeps-cache").exists()

"""Which files of an experiment are kept, and saving on a full disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.saving import save_due
from trainable.artifacts.checkpoint import checkpoint_epoch
from trainable.errors import DiskFullError
from trainable.experiment.directory import Experiment
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]


def saved_epochs(experiment: Experiment) -> dict[str, int | None]:
    """Returns the epoch of every file in `checkpoints/`."""
    return {path.name: checkpoint_epoch(path) for path in experiment.checkpoints.iterdir()}


def test_only_the_newest_epochs_are_kept(tmp_path: Path, tiny_trainer: MakeTrainer) -> None:
    checkpoint = {"enabled": True, "save_frequency": 1, "save_best": False}
    trainer = tiny_trainer(checkpoint=checkpoint, training={"epochs": 9})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False, keep_epochs=2)
    early = trainer.state_dict()
    for _ in range(4):
        trainer.run_epoch()
        save_due(experiment, trainer)
    assert saved_epochs(experiment) == {"epoch_0003.pt": 3, "epoch_0004.pt": 4, "latest.pt": 4}
    # Back to the start: the new files are kept, although later epochs exist.
    trainer.load_state_dict(early)
    trainer.run_epoch()
    save_due(experiment, trainer)
    assert saved_epochs(experiment) == {"epoch_0001.pt": 1, "epoch_0004.pt": 4, "latest.pt": 1}


def test_nothing_is_saved_onto_a_disk_that_is_nearly_full(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    Experiment(tmp_path, trainer.config, keep_metrics=False).save_latest(trainer)
    trainer.run_epoch()
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False, min_free_gib=1e9)
    with pytest.raises(DiskFullError, match=r"GiB are free on the disk, keep\.min_free_gib asks"):
        save_due(experiment, trainer)
    assert saved_epochs(experiment) == {"latest.pt": 0}


def test_a_full_disk_does_not_change_earlier_files(
    tmp_path: Path, tiny_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    save_due(experiment, trainer)
    trainer.run_epoch()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match="no space left on the disk"):
            save_due(experiment, trainer)
    assert saved_epochs(experiment) == {"epoch_0001.pt": 1, "best.pt": 1, "latest.pt": 1}

"""A Tune trial that resumes from `checkpoint.resume`, and one that has all its epochs."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.train._internal.storage import StorageContext

from tests.support.small_disks import largest_file
from trainable.artifacts.checkpoint import checkpoint_epoch, read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.config import TrainConfig
from trainable.errors import ExperimentError
from trainable.experiment.fit import Outcome
from trainable.ray_trial.classifier import ClassifierTrainable

MakeConfig = Callable[..., TrainConfig]
MakeTrial = Callable[..., ClassifierTrainable]
RunFit = Callable[..., Outcome]

SAVING = {"enabled": True, "save_frequency": 1}


class LocalStorage(StorageContext):
    """Tune's storage, except for the working directory, which needs a running Ray."""

    @property
    def trial_working_directory(self) -> str:
        return Path(self.trial_fs_path, "working_directory").as_posix()


@pytest.fixture
def source(tiny_config: MakeConfig, run_fit: RunFit, working_directory: Path) -> Path:
    """Returns the `latest.pt` of epoch 3; the best state is that of epoch 2, without `best.pt`."""
    checkpoint = {**SAVING, "save_best": False, "experiment_name": "source"}
    run_fit(tiny_config(training={"epochs": 2}, checkpoint=checkpoint))
    latest = working_directory / "experiments" / "source" / "checkpoints" / "latest.pt"
    ruinous = tiny_config(
        optimizer={"learning_rate": 1000.0}, checkpoint={**checkpoint, "resume": str(latest)}
    )
    assert run_fit(ruinous).best_epoch == 2
    return latest


@pytest.fixture
def trial_of(make_trial: MakeTrial, tmp_path: Path) -> MakeTrial:
    """Makes a trial whose directory is `tmp_path / "sweep" / "trial"`."""
    storage = LocalStorage(str(tmp_path), experiment_dir_name="sweep", trial_dir_name="trial")
    return lambda **sections: make_trial(storage=storage, **sections)


def test_it_trains_with_its_own_values_and_logs_what_changed(
    trial_of: MakeTrial, source: Path, tmp_path: Path
) -> None:
    trial = trial_of(
        training={"epochs": 5},
        optimizer={"learning_rate": 0.3, "momentum": 0.5, "weight_decay": 0.1},
        checkpoint={**SAVING, "resume": str(source)},
    )
    result = trial.train()
    assert result["epoch"] == 4
    assert result["lr"] == pytest.approx(0.3 * (1 + math.cos(math.pi * 3 / 5)) / 2)
    state = read_checkpoint(tmp_path / "sweep" / "trial" / "checkpoints" / "latest.pt")
    (group,) = state["optimizer_state_dict"]["param_groups"]
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.1)
    log = (tmp_path / "sweep" / "trial" / "trial.log").read_text()
    assert f"continues from {source}, epoch 3\n" in log
    assert (
        "changed since that checkpoint: training.epochs 3 -> 5, optimizer.learning_rate 1000.0 -> "
        "0.3, optimizer.weight_decay 0.0 -> 0.1, optimizer.momentum 0.9 -> 0.5\n"
    ) in log


def test_its_best_pt_is_the_best_state_of_its_history(
    trial_of: MakeTrial, source: Path, tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    trial = trial_of(
        training={"epochs": 5},
        optimizer={"learning_rate": 1e-9},
        checkpoint={**SAVING, "resume": str(source)},
    )
    results = [trial.train() for _ in range(2)]
    best = read_checkpoint(source.with_name("epoch_0002.pt"))
    own = tmp_path / "sweep" / "trial" / "checkpoints" / "best.pt"
    assert_same(read_checkpoint(own), best)
    assert [(row["best_acc"], row["best_epoch"]) for row in results] == [(best["best_acc"], 2)] * 2


def test_it_is_restored_from_its_own_start_if_it_ends_before_its_first_save(
    trial_of: MakeTrial, source: Path, tmp_path: Path
) -> None:
    """`latest.pt` is never older than `best.pt`, so that a resume does not go back to that."""
    trial = trial_of(
        training={"epochs": 5},
        optimizer={"learning_rate": 1e-9},
        checkpoint={**SAVING, "save_frequency": 9, "resume": str(source)},
    )
    assert trial.train()["epoch"] == 4
    checkpoints = tmp_path / "sweep" / "trial" / "checkpoints"
    assert {path.name: checkpoint_epoch(path) for path in checkpoints.iterdir()} == {
        "latest.pt": 3,
        "best.pt": 2,
    }


def test_a_trial_with_its_own_checkpoint_does_not_need_the_resumed_file(
    trial_of: MakeTrial, source: Path, tmp_path: Path
) -> None:
    sections = {"training": {"epochs": 6}, "checkpoint": {**SAVING, "resume": str(source)}}
    first = trial_of(**sections)
    first.train()
    directory = tmp_path / "sweep" / "trial" / "checkpoint_000000"
    directory.mkdir()
    first.save(str(directory))
    source.unlink()
    second = trial_of(**sections)
    second.restore(str(directory))
    assert second.train()["epoch"] == 5


@pytest.mark.parametrize("epochs", [3, 2])
def test_a_finished_training_is_refused(trial_of: MakeTrial, source: Path, epochs: int) -> None:
    trial = trial_of(
        training={"epochs": epochs}, checkpoint={"enabled": True, "resume": str(source)}
    )
    message = f"has completed epoch 3 of {epochs}: nothing is left to train; raise training.epochs"
    with pytest.raises(ExperimentError, match=message):
        trial.train()


def test_a_trial_that_has_all_its_epochs_ends_without_training_another(
    trial_of: MakeTrial, tmp_path: Path
) -> None:
    """A retry, after a fault between the last epoch and its end."""
    first = trial_of(checkpoint=SAVING)
    last = [first.train() for _ in range(3)][-1]
    directory = tmp_path / "sweep" / "trial"
    (directory / "checkpoint_000002").mkdir()
    first.save(str(directory / "checkpoint_000002"))
    retried = trial_of(checkpoint=SAVING)
    retried.restore(str(directory / "checkpoint_000002"))
    result = retried.train()
    assert (result["epoch"], result["done"]) == (3, True)
    assert {key: result[key] for key in ("val_acc", "best_acc", "lr")} == {
        key: last[key] for key in ("val_acc", "best_acc", "lr")
    }
    assert [row["epoch"] for row in read_rows(directory / "metrics.jsonl")] == [1, 2, 3]
    assert checkpoint_epoch(directory / "checkpoints" / "latest.pt") == 3


STOPS = {"epochs": 9, "early_stopping": {"patience": 1, "min_delta": 1.0}}
"""Ends a training after its second epoch."""


def stopped(trial_of: MakeTrial, tmp_path: Path) -> Path:
    """Trains a trial until it ends itself; returns its last checkpoint."""
    trial = trial_of(checkpoint=SAVING, training=STOPS)
    results = [trial.train() for _ in range(2)]
    assert [result["done"] for result in results] == [False, True]
    assert results[1]["stopped_by"] == "early_stopping"
    directory = tmp_path / "sweep" / "trial" / "checkpoint_000001"
    directory.mkdir()
    trial.save(str(directory))
    return directory


def test_a_trial_that_has_ended_itself_ends_again_without_training(
    trial_of: MakeTrial, tmp_path: Path
) -> None:
    """A retry, after a fault between the last epoch and its end."""
    checkpoint = stopped(trial_of, tmp_path)
    retried = trial_of(checkpoint=SAVING, training=STOPS)
    retried.restore(str(checkpoint))
    result = retried.train()
    assert (result["epoch"], result["done"]) == (2, True)
    assert result["stop_reason"] == (
        f"val_acc has not risen by more than 1 for 1 epoch, from "
        f"{read_rows(checkpoint.parent / 'metrics.jsonl')[0]['val_acc']:.4f} at epoch 1"
    )
    log = (checkpoint.parent / "trial.log").read_text()
    assert f"training.early_stopping ends the training: {result['stop_reason']}\n" in log
    assert "\nstopped: best val_acc " in log


def test_a_trial_that_has_ended_itself_continues_with_more_epochs_and_counts_anew(
    trial_of: MakeTrial, tmp_path: Path
) -> None:
    checkpoint = stopped(trial_of, tmp_path)
    continued = trial_of(checkpoint=SAVING, training={**STOPS, "epochs": 20})
    continued.restore(str(checkpoint))
    results = [continued.train() for _ in range(2)]
    assert [(r["epoch"], r["done"]) for r in results] == [(3, False), (4, True)]
    log = (checkpoint.parent / "trial.log").read_text()
    assert "note: training.early_stopping had ended this training: val_acc has not risen" in log


def test_a_recipient_of_an_ended_trial_trains_on(
    trial_of: MakeTrial, make_trial: MakeTrial, tmp_path: Path
) -> None:
    """An exploit of PBT: the donor's weights, the recipient's own count."""
    checkpoint = stopped(trial_of, tmp_path)
    storage = LocalStorage(str(tmp_path), experiment_dir_name="sweep", trial_dir_name="recipient")
    recipient = make_trial(storage=storage, checkpoint=SAVING, training=STOPS)
    recipient.restore(str(checkpoint))
    results = [recipient.train() for _ in range(2)]
    assert [(r["epoch"], r["done"]) for r in results] == [(3, False), (4, True)]


def test_an_epoch_that_cannot_be_saved_is_not_recorded_either(
    trial_of: MakeTrial, tmp_path: Path
) -> None:
    trial = trial_of(training={"epochs": 3}, checkpoint=SAVING, tensorboard={"enabled": True})
    trial.train()
    directory = tmp_path / "sweep" / "trial"
    size = (directory / "checkpoints" / "latest.pt").stat().st_size
    with largest_file(size - 1), pytest.raises(OSError, match="too large"):
        trial.train()
    assert [row["epoch"] for row in read_rows(directory / "metrics.jsonl")] == [1]
    epochs = {path.name: checkpoint_epoch(path) for path in directory.glob("checkpoints/*")}
    assert epochs == {"epoch_0001.pt": 1, "best.pt": 1, "latest.pt": 1}

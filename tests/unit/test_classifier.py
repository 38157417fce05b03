"""The Tune trial without a running Ray: its hooks, in process, on a real storage directory."""

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.train._internal.storage import StorageContext

from trainable.checkpoint import checkpoint_epoch, read_checkpoint
from trainable.classifier import SETTINGS, ClassifierTrainable
from trainable.config import load_config
from trainable.errors import CheckpointError, ConfigError
from trainable.history import read_rows

Same = Callable[[Any, Any], None]
MakeTrial = Callable[..., ClassifierTrainable]

COSINE_OF_3 = [(1 + math.cos(math.pi * epoch / 3)) / 2 for epoch in range(4)]


class LocalStorage(StorageContext):
    """Tune's storage, but for the working directory, which it asks a running Ray for."""

    @property
    def trial_working_directory(self) -> str:
        return Path(self.trial_fs_path, "working_directory").as_posix()


def make_storage(directory: Path, trial: str = "trial") -> LocalStorage:
    return LocalStorage(str(directory), experiment_dir_name="sweep", trial_dir_name=trial)


@pytest.fixture
def trial_config(tiny_data: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """A trial's config on the CPU, sections merged; keywords in `_trial` are its settings."""

    def make(_trial: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
        settings = {"gpu": 0, "cpu": 1, "allow_custom_model": True, **(_trial or {})}
        return {**copy.deepcopy(tiny_data(**sections)), SETTINGS: settings}

    return make


@pytest.fixture
def make_trial(
    trial_config: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeTrial]:
    """Makes trials and stops them at the end."""
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
    results = str(tmp_path / "ray_results")
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", results)
    made: list[ClassifierTrainable] = []

    def make(storage: StorageContext | None = None, **sections: Any) -> ClassifierTrainable:
        made.append(ClassifierTrainable(config=trial_config(**sections), storage=storage))
        return made[-1]

    yield make
    for trial in made:
        trial.stop()
    assert not ray.is_initialized()


def saved(trial: ClassifierTrainable, directory: Path) -> dict[str, Any]:
    """The trial's present state, through its own save."""
    trial.save(str(directory))
    return read_checkpoint(directory / "checkpoint.pt")


def metrics(result: dict[str, Any]) -> dict[str, Any]:
    """What an epoch measured, without times and without what Tune adds."""
    kept = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "test_acc", "best_acc", "lr")
    return {key: result[key] for key in kept}


# ------------------------------------------------------------------------------ steps


def test_a_step_is_an_epoch_and_the_last_one_is_done(make_trial: MakeTrial) -> None:
    trial = make_trial()
    results = [trial.train() for _ in range(3)]
    assert [result["epoch"] for result in results] == [1, 2, 3]
    assert [result["training_iteration"] for result in results] == [1, 2, 3]
    assert [result["done"] for result in results] == [False, False, True]
    assert all(0 < result["val_acc"] <= 1 for result in results)


def test_a_diverged_trial_is_done(make_trial: MakeTrial) -> None:
    assert make_trial(optimizer={"learning_rate": 1e30}).train()["done"]


def test_an_own_model_needs_leave(make_trial: MakeTrial) -> None:
    with pytest.raises(Exception, match="runs only on request"):
        make_trial(_trial={"allow_custom_model": False})


def test_a_wrong_config_is_refused(make_trial: MakeTrial) -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        make_trial(optimizer={"learning_rate": -1.0})


# ----------------------------------------------------------------------- save, restore


@pytest.mark.parametrize("enabled", [True, False], ids=["checkpoints", "no_checkpoints"])
def test_a_restored_trial_goes_on_bit_for_bit(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same, enabled: bool
) -> None:
    sections = {"model": {"name": "tiny_models:dropout_cnn"}, "checkpoint": {"enabled": enabled}}
    first = make_trial(**sections)
    first.train()
    first.save(str(tmp_path / "checkpoint"))
    second = make_trial(**sections)
    second.restore(str(tmp_path / "checkpoint"))
    for _ in range(2):
        assert_same(metrics(second.train()), metrics(first.train()))
    assert_same(saved(second, tmp_path / "b"), saved(first, tmp_path / "a"))


def test_a_broken_checkpoint_is_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial()
    trial.train()
    trial.save(str(tmp_path / "checkpoint"))
    path = tmp_path / "checkpoint" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated"):
        make_trial().restore(str(tmp_path / "checkpoint"))


# -------------------------------------------------------------------------------- reset


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"model": {"name": "tiny_models:dropout_cnn"}, "seed": {"value": 7}},
        {"optimizer": {"name": "adam", "learning_rate": 0.01}, "scheduler": {"name": "none"}},
        {"dataset": {"name": "synthetic", "shape": [3, 8, 8], "num_classes": 4, "num_train": 64,
                     "num_test": 64}},
        {"dataset": {"val_split": 0.5}, "training": {"batch_size": 32}},
        {"seed": {"enabled": False, "deterministic": True}},
        {"optimizer": {"learning_rate": 1e30}},
    ],
    ids=["same", "model", "optimizer", "dataset", "split", "deterministic", "diverged"],
)  # fmt: skip
@pytest.mark.parametrize("model", ["tiny_models:mlp", "tiny_models:dropout_cnn"])
def test_a_reset_trial_is_a_fresh_one_bit_for_bit(
    make_trial: MakeTrial,
    trial_config: Callable[..., dict[str, Any]],
    tmp_path: Path,
    assert_same: Same,
    before: dict[str, Any],
    model: str,
) -> None:
    fresh = make_trial(model={"name": model})
    expected = [metrics(fresh.train()) for _ in range(2)]
    reused = make_trial(**before)
    reused.train()
    assert reused.reset(trial_config(model={"name": model}))
    assert_same([metrics(reused.train()) for _ in range(2)], expected)
    assert_same(saved(reused, tmp_path / "reused"), saved(fresh, tmp_path / "fresh"))


def test_a_reset_trial_can_be_restored(
    make_trial: MakeTrial,
    trial_config: Callable[..., dict[str, Any]],
    tmp_path: Path,
    assert_same: Same,
) -> None:
    first = make_trial()
    first.train()
    first.save(str(tmp_path / "checkpoint"))
    reused = make_trial(model={"name": "tiny_models:dropout_cnn"})
    reused.train()
    reused.reset(trial_config())
    reused.restore(str(tmp_path / "checkpoint"))
    assert_same(metrics(reused.train()), metrics(first.train()))


def test_a_trial_can_be_stopped_after_a_reset_that_failed(
    make_trial: MakeTrial, trial_config: Callable[..., dict[str, Any]]
) -> None:
    trial = make_trial()
    with pytest.raises(ConfigError):
        trial.reset(trial_config(optimizer={"learning_rate": -1.0}))
    trial.stop()


# ------------------------------------------------------------------ another's checkpoint


def test_a_population_copies_weights_and_buffers_and_keeps_its_hyperparameters(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same
) -> None:
    donor = make_trial(optimizer={"momentum": 0.5})
    for _ in range(2):
        donor.train()
    given = saved(donor, tmp_path / "donor")
    own = {"learning_rate": 0.3, "momentum": 0.8, "weight_decay": 0.01, "nesterov": True}
    recipient = make_trial(optimizer=own, seed={"value": 5})
    recipient.train()
    recipient.restore(str(tmp_path / "donor"))
    taken = saved(recipient, tmp_path / "recipient")

    assert_same(taken["model_state_dict"], given["model_state_dict"])
    buffers = taken["optimizer_state_dict"]["state"]
    assert_same(buffers, given["optimizer_state_dict"]["state"])
    assert any(buffer["momentum_buffer"].abs().sum() > 0 for buffer in buffers.values())
    (group,) = taken["optimizer_state_dict"]["param_groups"]
    assert {key: group[key] for key in ("momentum", "weight_decay", "nesterov")} == {
        "momentum": 0.8,
        "weight_decay": 0.01,
        "nesterov": True,
    }
    assert (taken["epoch"], taken["best_acc"]) == (2, given["best_acc"])
    assert group["lr"] == pytest.approx(0.3 * COSINE_OF_3[2])
    assert taken["config"]["optimizer"]["learning_rate"] == 0.3

    result = recipient.train()
    assert (result["epoch"], result["training_iteration"], result["done"]) == (3, 3, True)
    assert result["lr"] == pytest.approx(0.3 * COSINE_OF_3[2])


def test_a_donor_of_another_architecture_is_refused(make_trial: MakeTrial, tmp_path: Path) -> None:
    donor = make_trial(model={"name": "tiny_models:dropout_cnn"})
    donor.train()
    donor.save(str(tmp_path / "donor"))
    with pytest.raises(CheckpointError, match="does not fit tiny_models:mlp with sgd"):
        make_trial().restore(str(tmp_path / "donor"))


@pytest.mark.parametrize(
    ("sampled", "base_lr"), [([], 0.1), (["optimizer.learning_rate"], 0.3)], ids=["none", "lr"]
)
def test_a_trial_resumes_the_configured_checkpoint_with_what_was_sampled(
    make_trial: MakeTrial, tmp_path: Path, sampled: list[str], base_lr: float
) -> None:
    donor = make_trial()
    donor.train()
    donor.save(str(tmp_path / "donor"))
    path = str(tmp_path / "donor" / "checkpoint.pt")
    trial = make_trial(
        _trial={"sampled": sampled},
        optimizer={"learning_rate": 0.3},
        checkpoint={"resume": path},
    )
    result = trial.train()
    assert result["epoch"] == 2
    assert result["lr"] == pytest.approx(base_lr * COSINE_OF_3[1])


# ------------------------------------------------------------------- in Tune's storage


def test_the_directory_of_a_trial_is_an_experiment_of_single_files(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial(
        storage=make_storage(tmp_path),
        checkpoint={"enabled": True, "save_frequency": 2},
        tensorboard={"enabled": True},
        training={"epochs": 2},
    )
    results = []
    for _ in range(2):
        results.append(trial.train())
        if results[-1]["should_checkpoint"]:
            trial.save()
    directory = tmp_path / "sweep" / "trial"
    checkpoints = directory / "checkpoints"
    assert {path.name for path in checkpoints.iterdir()} == {
        "epoch_0002.pt", "latest.pt", "best.pt"
    }  # fmt: skip
    assert load_config(directory / "config.yaml").training.epochs == 2
    rows = read_rows(directory / "metrics.jsonl")
    assert [row["val_acc"] for row in rows] == [result["val_acc"] for result in results]
    assert len(list((directory / "tensorboard").iterdir())) == 1

    # Tune's own checkpoint is one more name of the file.
    tunes = sorted(directory.glob("checkpoint_*/checkpoint.pt"))
    assert checkpoint_epoch(tunes[-1]) == 2
    assert tunes[-1].samefile(checkpoints / "latest.pt")
    assert tunes[-1].samefile(checkpoints / "epoch_0002.pt")


def test_a_state_is_written_once_however_often_it_is_saved(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda *args: (writes.append(1), save(*args)))
    trial = make_trial(
        storage=make_storage(tmp_path), checkpoint={"enabled": True, "save_frequency": 1}
    )
    trial.train()
    for _ in range(3):
        trial.save()
    assert len(writes) == 1
    directory = tmp_path / "sweep" / "trial"
    latest = directory / "checkpoints" / "latest.pt"
    assert len(list(directory.glob("checkpoint_*/checkpoint.pt"))) == 3
    assert all(path.samefile(latest) for path in directory.glob("checkpoint_*/checkpoint.pt"))


def test_an_epoch_that_nothing_asks_for_is_not_announced(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    checkpoint = {"enabled": True, "save_frequency": 2, "save_best": False}
    trial = make_trial(storage=make_storage(tmp_path), checkpoint=checkpoint)
    announced = [trial.train()["should_checkpoint"] for _ in range(3)]
    assert announced == [False, True, True]  # every second, and the last


def test_a_retry_from_an_earlier_checkpoint_has_every_epoch_once(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same
) -> None:
    sections = {"checkpoint": {"enabled": True, "save_frequency": 1}}
    first = make_trial(storage=make_storage(tmp_path), **sections)
    results = [first.train()]
    result = first.save()
    results += [first.train(), first.train()]
    second = make_trial(storage=make_storage(tmp_path), **sections)
    second.restore(result)
    results[1:] = [second.train(), second.train()]
    directory = tmp_path / "sweep" / "trial"
    rows = [metrics(row) for row in read_rows(directory / "metrics.jsonl")]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert_same(rows, [metrics(result) for result in results])
    assert checkpoint_epoch(directory / "checkpoints" / "latest.pt") == 3


def test_a_reset_trial_moves_to_its_own_directory(
    make_trial: MakeTrial, trial_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    sections = {"checkpoint": {"enabled": True, "save_frequency": 1}}
    trial = make_trial(storage=make_storage(tmp_path, "first"), **sections)
    trial.train()
    first = tmp_path / "sweep" / "first"
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    second = make_storage(tmp_path, "second")
    assert trial.reset(trial_config(**sections, training={"epochs": 1}), storage=second)
    trial.train()
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert checkpoint_epoch(tmp_path / "sweep" / "second" / "checkpoints" / "latest.pt") == 1


def test_a_taken_over_state_is_what_the_recipient_saves(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same
) -> None:
    """Paused right after an exploit, at the very epoch that it had saved itself."""
    sections = {"checkpoint": {"enabled": True, "save_frequency": 1}}
    donor = make_trial(storage=make_storage(tmp_path, "donor"), **sections)
    recipient = make_trial(
        storage=make_storage(tmp_path, "recipient"), **sections, seed={"value": 5}
    )
    for trial in (donor, recipient):
        trial.train()
    recipient.restore(donor.save())
    recipient.save()
    (path,) = (tmp_path / "sweep" / "recipient").glob("checkpoint_*/checkpoint.pt")
    given = read_checkpoint(tmp_path / "sweep" / "donor" / "checkpoints" / "latest.pt")
    taken = read_checkpoint(path)
    assert_same(taken["model_state_dict"], given["model_state_dict"])
    assert taken["config"]["seed"]["value"] == 5


def test_with_checkpoints_off_a_trial_still_serves_tune(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial(storage=make_storage(tmp_path))
    assert not trial.train()["should_checkpoint"]
    trial.save()
    directory = tmp_path / "sweep" / "trial"
    (path,) = directory.glob("checkpoint_*/checkpoint.pt")
    assert checkpoint_epoch(path) == 1
    assert not (directory / "checkpoints").exists()

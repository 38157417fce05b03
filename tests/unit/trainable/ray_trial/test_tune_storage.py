"""A trial's files in Tune's storage: its directory is the experiment directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.train._internal.storage import StorageContext

from trainable.artifacts.checkpoint import checkpoint_epoch, read_checkpoint
from trainable.artifacts.metrics import read_rows
from trainable.config import load_config
from trainable.ray_trial.classifier import ClassifierTrainable

Same = Callable[[Any, Any], None]
MakeTrial = Callable[..., ClassifierTrainable]


class LocalStorage(StorageContext):
    """Tune's storage, except for the working directory, which needs a running Ray."""

    @property
    def trial_working_directory(self) -> str:
        return Path(self.trial_fs_path, "working_directory").as_posix()


def make_storage(directory: Path, trial: str = "trial") -> LocalStorage:
    return LocalStorage(str(directory), experiment_dir_name="sweep", trial_dir_name=trial)


def metrics(result: dict[str, Any]) -> dict[str, Any]:
    """Returns the metrics of an epoch, without times and the keys that Tune adds."""
    kept = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "test_acc", "best_acc")
    return {key: result[key] for key in (*kept, "lr")}


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


def test_a_state_saved_repeatedly_is_written_once(
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


def test_an_epoch_that_is_not_saved_is_not_announced(
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


def test_the_recipient_saves_the_state_that_it_has_taken_over(
    make_trial: MakeTrial, tmp_path: Path, assert_same: Same
) -> None:
    """Paused directly after an exploit, at the epoch that the trial had saved itself."""
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
    state = read_checkpoint(path)
    assert_same(state["model_state_dict"], given["model_state_dict"])
    assert state["config"]["seed"]["value"] == 5


def test_a_recipient_keeps_its_own_best_and_its_own_rows(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    """`best.pt` is a file of the trial's own, and `best_acc` is what that file has reached."""
    sections = {"checkpoint": {"enabled": True}, "training": {"epochs": 6}}
    donor = make_trial(storage=make_storage(tmp_path, "donor"), **sections)
    for _ in range(3):
        donor.train()
    given = donor.save()
    sections["optimizer"] = {"learning_rate": 1e-6}
    recipient = make_trial(storage=make_storage(tmp_path, "recipient"), **sections)
    own = [recipient.train() for _ in range(4)]
    recipient.restore(given)
    after = recipient.train()

    directory = tmp_path / "sweep" / "recipient"
    rows = read_rows(directory / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert [row["val_acc"] for row in rows[:3]] == [result["val_acc"] for result in own[:3]]
    # The donor was better than the recipient, so its weights are the recipient's best so far.
    assert after["best_acc"] == after["val_acc"] == rows[3]["best_acc"] > own[2]["best_acc"]
    best = read_checkpoint(directory / "checkpoints" / "best.pt")
    assert (best["epoch"], best["best_acc"]) == (4, after["val_acc"])


@pytest.mark.parametrize("save_frequency", [1, 9])
def test_the_best_epoch_of_a_recipient_is_never_one_that_it_trains_again(
    make_trial: MakeTrial, tmp_path: Path, save_frequency: int
) -> None:
    """The donor is two epochs behind, so epochs 2 and 3 of the recipient are gone."""
    sections = {
        "checkpoint": {"enabled": True, "save_frequency": save_frequency},
        "training": {"epochs": 6},
    }
    recipient = make_trial(storage=make_storage(tmp_path, "recipient"), **sections)
    own = [recipient.train() for _ in range(3)]
    assert own[0]["val_acc"] < max(result["val_acc"] for result in own[1:])
    sections["optimizer"] = {"learning_rate": 1e-6}
    donor = make_trial(storage=make_storage(tmp_path, "donor"), **sections)
    donor.train()
    recipient.restore(donor.save())

    directory = tmp_path / "sweep" / "recipient"
    best = directory / "checkpoints" / "best.pt"
    if save_frequency == 1:
        assert checkpoint_epoch(best) == 1
    else:
        assert not best.exists()
    for _ in range(2):
        recipient.train()
        rows = read_rows(directory / "metrics.jsonl")
        expected = max(rows, key=lambda row: (row["val_acc"], -row["epoch"]))
        assert rows[-1]["best_acc"] == expected["val_acc"]
        if best.exists():
            state = read_checkpoint(best)
            assert (state["epoch"], state["best_acc"]) == (expected["epoch"], expected["val_acc"])


def test_with_checkpoints_off_a_trial_still_saves_for_tune(
    make_trial: MakeTrial, tmp_path: Path
) -> None:
    trial = make_trial(storage=make_storage(tmp_path))
    assert not trial.train()["should_checkpoint"]
    trial.save()
    directory = tmp_path / "sweep" / "trial"
    (path,) = directory.glob("checkpoint_*/checkpoint.pt")
    assert checkpoint_epoch(path) == 1
    assert not (directory / "checkpoints").exists()

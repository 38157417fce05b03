"""The experiment directory: what is saved when, and its state after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.saving import save_due
from trainable.artifacts.checkpoint import checkpoint_epoch, read_checkpoint, to_cpu
from trainable.artifacts.metrics import read_rows
from trainable.config import load_config
from trainable.experiment.directory import Experiment
from trainable.training.epoch import Score, Steps
from trainable.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]

ACCURACIES = [0.1, 0.3, 0.2, 0.3, 0.5, 0.4, 0.4]
EPOCHS = len(ACCURACIES)


class Killed(BaseException):
    """Stands for the end of the process."""


def follow_script(trainer: Trainer) -> Trainer:
    """Gives the epochs the accuracies above, whatever the model learns."""

    def one_pass(split: str) -> Steps[Score]:
        yield 0
        return Score(loss=1.0, acc=ACCURACIES[trainer.epoch])

    trainer._score_split = one_pass
    return trainer


def saved_epochs(experiment: Experiment) -> dict[str, int | None]:
    """Returns the epoch of every file in `checkpoints/`."""
    return {path.name: checkpoint_epoch(path) for path in experiment.checkpoints.iterdir()}


# ------------------------------------------------------------------- what is saved when


@pytest.mark.parametrize(
    ("save_frequency", "save_best"), [(1, True), (1, False), (2, True), (3, False), (10, True)]
)
def test_after_every_epoch_the_files_that_are_due_contain_it(
    tmp_path: Path, tiny_trainer: MakeTrainer, save_frequency: int, save_best: bool
) -> None:
    checkpoint = {"enabled": True, "save_frequency": save_frequency, "save_best": save_best}
    trainer = follow_script(tiny_trainer(checkpoint=checkpoint, training={"epochs": EPOCHS}))
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    expected: dict[str, int] = {}
    for epoch, accuracy in enumerate(ACCURACIES, start=1):
        trainer.run_epoch()
        due = set()
        if epoch % save_frequency == 0:
            due.add(f"epoch_{epoch:04d}.pt")
        if save_best and accuracy > max(ACCURACIES[: epoch - 1], default=-1):
            due.add("best.pt")
        if due or epoch == EPOCHS:
            due.add("latest.pt")
        assert save_due(experiment, trainer) == bool(due)
        expected |= dict.fromkeys(due, epoch)
        assert saved_epochs(experiment) == expected
        assert expected.get("latest.pt") == max(expected.values(), default=None)
        inodes = {(experiment.checkpoints / name).stat().st_ino for name in due}
        assert len(inodes) <= 1
    assert expected["latest.pt"] == EPOCHS


def test_with_checkpoints_off_nothing_is_ever_saved(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": False, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    assert not save_due(experiment, trainer)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_the_config_on_disk_trains_the_same_again(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(optimizer={"name": "adam", "learning_rate": 1e-5})
    Experiment(tmp_path, trainer.config, keep_metrics=False)
    assert load_config(tmp_path / "config.yaml") == trainer.config


def test_leftovers_of_a_killed_writer_are_removed(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    (experiment.checkpoints / ".latest.pt.0123456789ab.tmp").write_bytes(b"half")
    Experiment(tmp_path, trainer.config, keep_metrics=False)
    assert list(experiment.checkpoints.iterdir()) == []


def test_the_latest_is_written_only_if_it_is_not_on_disk_yet(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    save_due(experiment, trainer)
    inode = experiment.latest.stat().st_ino
    assert experiment.save_latest(trainer) == experiment.latest
    assert experiment.latest.stat().st_ino == inode
    experiment.latest.unlink()
    experiment.save_latest(trainer)
    assert checkpoint_epoch(experiment.latest) == 1


def test_an_epoch_that_was_not_due_is_saved_on_request(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_best": False})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    assert not save_due(experiment, trainer)
    experiment.save_latest(trainer)
    assert saved_epochs(experiment) == {"latest.pt": 1}


def test_a_file_elsewhere_is_a_link_to_the_latest(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    save_due(experiment, trainer)
    experiment.save_into(trainer, tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").samefile(experiment.checkpoints / "epoch_0001.pt")


def test_a_file_elsewhere_is_separate_with_checkpoints_off(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer()
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    experiment.save_into(trainer, tmp_path / "checkpoint.pt")
    assert checkpoint_epoch(tmp_path / "checkpoint.pt") == 1
    assert not experiment.checkpoints.exists()


@pytest.mark.parametrize("epoch", [0, 1])
def test_another_state_of_the_same_epoch_is_saved_anew(
    tmp_path: Path, tiny_trainer: MakeTrainer, epoch: int, assert_same: Callable[[Any, Any], None]
) -> None:
    """A trial that takes over another trial's weights, or starts again."""
    checkpoint = {"enabled": True, "save_frequency": 1}
    old, other = (tiny_trainer(checkpoint=checkpoint, seed={"value": seed}) for seed in (1, 2))
    experiment = Experiment(tmp_path, old.config, keep_metrics=False)
    old.run_epoch()
    save_due(experiment, old)
    for _ in range(epoch):
        other.run_epoch()
    experiment.rewind(epoch)
    experiment.save_into(other, tmp_path / "checkpoint.pt")
    assert_same(read_checkpoint(tmp_path / "checkpoint.pt"), to_cpu(other.state_dict()))


def test_a_diverged_training_leaves_the_last_good_state(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    save_due(experiment, trainer)
    trainer.schedule.set_base_lr(1e30)
    trainer.run_epoch()
    trainer.run_epoch()
    assert trainer.diverged
    assert not save_due(experiment, trainer)
    experiment.save_latest(trainer)
    assert saved_epochs(experiment) == {"epoch_0001.pt": 1, "best.pt": 1, "latest.pt": 1}


# ------------------------------------------------------------------------------- kills


@pytest.mark.parametrize("replaced", [0, 1, 2])
def test_a_kill_between_the_names_loses_nothing(
    tmp_path: Path,
    tiny_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
    assert_same: Callable[[Any, Any], None],
    replaced: int,
) -> None:
    """The epoch that was being saved is trained again from the files, with the same result."""
    checkpoint = {"enabled": True, "save_frequency": 1}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()

    def make() -> Trainer:
        return follow_script(tiny_trainer(checkpoint=checkpoint, training={"epochs": 3}))

    def save_next(trainer: Trainer, experiment: Experiment) -> None:
        trainer.run_epoch()
        save_due(experiment, trainer)

    whole = make()
    undisturbed = Experiment(tmp_path / "whole", whole.config, keep_metrics=False)
    for _ in range(3):
        save_next(whole, undisturbed)

    killed = make()
    experiment = Experiment(tmp_path / "killed", killed.config, keep_metrics=False)
    save_next(killed, experiment)
    order: list[str] = []
    replace = Path.replace

    def die_after(self: Path, target: Path) -> Path:
        if len(order) == replaced:
            raise Killed
        order.append(target.name)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die_after)
        with pytest.raises(Killed):
            save_next(killed, experiment)
    assert order == ["epoch_0002.pt", "best.pt", "latest.pt"][:replaced]
    assert None not in saved_epochs(experiment).values()
    assert checkpoint_epoch(experiment.latest) == 1

    resumed = make()
    resumed.load_state_dict(read_checkpoint(experiment.latest))
    experiment = Experiment(tmp_path / "killed", resumed.config, keep_metrics=False)
    experiment.rewind(resumed.epoch)
    for _ in range(2):
        save_next(resumed, experiment)
    assert saved_epochs(experiment) == saved_epochs(undisturbed)
    for path in undisturbed.checkpoints.iterdir():
        assert_same(read_checkpoint(experiment.checkpoints / path.name), read_checkpoint(path))


def test_a_restart_removes_the_rows_of_later_epochs(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer()
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=True)
    experiment.rewind(0)
    for _ in range(3):
        experiment.record(trainer.run_epoch())
    again = Experiment(tmp_path, trainer.config, keep_metrics=True)
    # Opening alone removes nothing, because the state may be restored later.
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    again.rewind(1)
    again.close()
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1]


def test_a_recorded_epoch_replaces_earlier_rows(tmp_path: Path, tiny_trainer: MakeTrainer) -> None:
    trainer = tiny_trainer()
    rows = [trainer.run_epoch() for _ in range(3)]
    first = Experiment(tmp_path, trainer.config, keep_metrics=True)
    for row in rows:
        first.record(row)
    again = Experiment(tmp_path, trainer.config, keep_metrics=True)
    again.record({**rows[1], "val_acc": 0.0})
    actual = read_rows(tmp_path / "metrics.jsonl")
    assert actual == [rows[0], {**rows[1], "val_acc": 0.0}]

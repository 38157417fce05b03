"""The experiment directory: its name, what is saved when, and what a kill leaves."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from trainable.checkpoint import checkpoint_epoch, read_checkpoint, to_cpu
from trainable.config import TrainConfig, load_config
from trainable.epoch import Score
from trainable.errors import ExperimentError
from trainable.experiment import Experiment, automatic_name, create_directory
from trainable.history import read_rows
from trainable.trainer import Trainer

MakeConfig = Callable[..., TrainConfig]
MakeTrainer = Callable[..., Trainer]

NOW = datetime(2024, 1, 15, 14, 30, 22)
ACCURACIES = [0.1, 0.3, 0.2, 0.3, 0.5, 0.4, 0.4]
EPOCHS = len(ACCURACIES)


class Killed(BaseException):
    """Stands for the end of the process."""


def follow_script(trainer: Trainer) -> Trainer:
    """Gives the epochs the accuracies above, whatever the model learns."""
    trainer.score = lambda split: Score(loss=1.0, acc=ACCURACIES[trainer.epoch])
    return trainer


def saved_epochs(experiment: Experiment) -> dict[str, int | None]:
    """The epoch that every file of `checkpoints/` is of."""
    return {path.name: checkpoint_epoch(path) for path in experiment.checkpoints.iterdir()}


# ------------------------------------------------------------------------------ names


def test_an_automatic_name_is_model_dataset_timestamp(tiny_config: MakeConfig) -> None:
    config = tiny_config(model={"name": "resnet20"}, dataset={"name": "cifar10"})
    assert automatic_name(config, NOW) == "resnet20_cifar10_20240115_143022"


def test_an_own_model_is_named_by_its_callable(tiny_config: MakeConfig) -> None:
    assert automatic_name(tiny_config(), NOW) == "mlp_digits_20240115_143022"


def test_the_directory_is_made_with_its_parents(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path / "a" / "b")})
    directory = create_directory(config, NOW)
    assert directory == tmp_path / "a" / "b" / "mlp_digits_20240115_143022"
    assert directory.is_dir()


def test_a_relative_directory_is_of_the_working_directory(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = create_directory(tiny_config(checkpoint={"enabled": True}), NOW)
    assert directory == tmp_path / "experiments" / "mlp_digits_20240115_143022"


def test_an_automatic_name_that_is_taken_gets_a_number(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path)})
    names = [create_directory(config, NOW).name for _ in range(3)]
    name = "mlp_digits_20240115_143022"
    assert names == [name, f"{name}_2", f"{name}_3"]


def test_threads_in_the_same_second_never_share_a_directory(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path)})
    with ThreadPoolExecutor(32) as threads:
        made = list(threads.map(lambda _: create_directory(config, NOW), range(200)))
    assert len(set(made)) == 200
    assert len(list(tmp_path.iterdir())) == 200


PROCESSES = """
import os, sys
from datetime import datetime
from trainable.config import load_config
from trainable.experiment import create_directory
config = load_config(sys.argv[1])
for _ in range(4):
    if os.fork() == 0:
        made = [create_directory(config, datetime(2024, 1, 15)).name for _ in range(50)]
        os.write(1, ("\\n".join(made) + "\\n").encode())
        os._exit(0)
for _ in range(4):
    assert os.wait()[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_in_the_same_second_never_share_a_directory(
    tmp_path: Path, project_environment: dict[str, str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "dataset: {name: digits}\nmodel: {name: resnet20}\ntraining: {epochs: 1}\n"
        "optimizer: {name: sgd, learning_rate: 0.1}\n"
        f"checkpoint: {{enabled: true, dir: '{tmp_path / 'experiments'}'}}\n"
    )
    command = [sys.executable, "-c", PROCESSES, str(config)]
    done = subprocess.run(
        command, env=project_environment, capture_output=True, text=True, check=True
    )
    made = done.stdout.split()
    assert len(made) == len(set(made)) == 200


def test_a_custom_name_is_used_as_it_is(tmp_path: Path, tiny_config: MakeConfig) -> None:
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "my_experiment_v1"}
    directory = create_directory(tiny_config(checkpoint=checkpoint), NOW)
    assert directory == tmp_path / "my_experiment_v1"


def test_an_empty_directory_of_the_custom_name_is_taken_over(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    (tmp_path / "mine").mkdir()
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "mine"}
    assert create_directory(tiny_config(checkpoint=checkpoint), NOW) == tmp_path / "mine"


def test_a_custom_name_that_is_taken_is_refused_and_nothing_changed(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    taken = tmp_path / "mine"
    taken.mkdir()
    (taken / "config.yaml").write_text("theirs")
    checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": "mine"}
    latest = taken / "checkpoints" / "latest.pt"
    elsewhere = tmp_path / "other" / "checkpoints" / "latest.pt"
    for resume in ("", str(elsewhere)):
        config = tiny_config(checkpoint={**checkpoint, "resume": resume})
        with pytest.raises(ExperimentError) as caught:
            create_directory(config, NOW)
        assert str(caught.value) == (
            f"{taken} already holds an experiment; set checkpoint.resume to {latest} to continue "
            "it, or choose another checkpoint.experiment_name"
        )
    assert [path.name for path in taken.iterdir()] == ["config.yaml"]


def test_a_custom_name_is_continued_where_resume_points_into_it(
    tmp_path: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "checkpoints").mkdir(parents=True)
    (tmp_path / "mine" / "config.yaml").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for resume in (str(tmp_path / "mine/checkpoints/latest.pt"), "mine/checkpoints/latest.pt"):
        checkpoint = {"enabled": True, "dir": ".", "experiment_name": "mine", "resume": resume}
        assert create_directory(tiny_config(checkpoint=checkpoint), NOW) == tmp_path / "mine"


def test_of_many_callers_with_one_custom_name_one_gets_it(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    def try_to_create(number: int) -> bool:
        checkpoint = {"enabled": True, "dir": str(tmp_path), "experiment_name": f"n{number % 20}"}
        try:
            create_directory(tiny_config(checkpoint=checkpoint), NOW)
        except ExperimentError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(try_to_create, range(160)))
    assert sum(made) == 20


def test_a_base_that_is_a_file_is_refused(tmp_path: Path, tiny_config: MakeConfig) -> None:
    (tmp_path / "experiments").write_text("a file")
    config = tiny_config(checkpoint={"enabled": True, "dir": str(tmp_path / "experiments")})
    with pytest.raises(ExperimentError, match="cannot create an experiment in .*experiments"):
        create_directory(config, NOW)


# ------------------------------------------------------------------- what is saved when


@pytest.mark.parametrize("save_best", [True, False])
@pytest.mark.parametrize("save_frequency", [1, 2, 3, 10])
def test_after_every_epoch_the_names_that_are_due_hold_it(
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
        assert experiment.save_due(trainer) == bool(due)
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
    assert not experiment.save_due(trainer)
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


def test_the_latest_is_written_only_if_it_is_not_there_yet(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    experiment.save_due(trainer)
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
    assert not experiment.save_due(trainer)
    experiment.save_latest(trainer)
    assert saved_epochs(experiment) == {"latest.pt": 1}


def test_a_name_elsewhere_is_a_link_to_the_latest(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    experiment.save_due(trainer)
    experiment.save_into(trainer, tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").samefile(experiment.checkpoints / "epoch_0001.pt")


def test_a_name_elsewhere_is_a_file_of_its_own_with_checkpoints_off(
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
    """A trial that takes over another's weights, or starts again from nothing."""
    checkpoint = {"enabled": True, "save_frequency": 1}
    old, other = (tiny_trainer(checkpoint=checkpoint, seed={"value": seed}) for seed in (1, 2))
    experiment = Experiment(tmp_path, old.config, keep_metrics=False)
    old.run_epoch()
    experiment.save_due(old)
    for _ in range(epoch):
        other.run_epoch()
    experiment.start(epoch)
    experiment.save_into(other, tmp_path / "checkpoint.pt")
    assert_same(read_checkpoint(tmp_path / "checkpoint.pt"), to_cpu(other.state_dict()))


def test_a_diverged_training_leaves_the_last_good_state(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer(checkpoint={"enabled": True, "save_frequency": 1})
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=False)
    trainer.run_epoch()
    experiment.save_due(trainer)
    trainer.schedule.set_base_lr(1e30)
    trainer.run_epoch()
    trainer.run_epoch()
    assert trainer.diverged
    assert not experiment.save_due(trainer)
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
    """The epoch that was being saved is trained again, to the same end, from what there is."""
    checkpoint = {"enabled": True, "save_frequency": 1}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()

    def make() -> Trainer:
        return follow_script(tiny_trainer(checkpoint=checkpoint, training={"epochs": 3}))

    def save_next(trainer: Trainer, experiment: Experiment) -> None:
        trainer.run_epoch()
        experiment.save_due(trainer)

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
    experiment.start(resumed.epoch)
    for _ in range(2):
        save_next(resumed, experiment)
    assert saved_epochs(experiment) == saved_epochs(undisturbed)
    for path in undisturbed.checkpoints.iterdir():
        assert_same(
            read_checkpoint(experiment.checkpoints / path.name), read_checkpoint(path)
        )


def test_a_restart_drops_what_was_recorded_of_later_epochs(
    tmp_path: Path, tiny_trainer: MakeTrainer
) -> None:
    trainer = tiny_trainer()
    experiment = Experiment(tmp_path, trainer.config, keep_metrics=True)
    experiment.start(0)
    for _ in range(3):
        experiment.record(trainer.run_epoch())
    again = Experiment(tmp_path, trainer.config, keep_metrics=True)
    again.start(1)
    again.close()
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1]

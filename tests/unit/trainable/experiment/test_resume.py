"""A resumed training takes over the best state of its history and sets later files aside."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainable.artifacts.checkpoint import checkpoint_epoch, describe_changes, read_checkpoint
from trainable.config import TrainConfig
from trainable.experiment.fit import Outcome
from trainable.experiment.resume import describe_resumption

MakeConfig = Callable[..., TrainConfig]
Resume = Callable[..., tuple[Outcome, str]]

SOURCE = Path("experiments/source")
RUINOUS = 1000.0
"""A learning rate with which no epoch is better than those before."""


@pytest.fixture
def train(
    tiny_config: MakeConfig, run_fit: Callable[..., Outcome], working_directory: Path
) -> Resume:
    """Trains an experiment, by default a new one; returns its outcome and what was printed."""

    def train(name: str, resume: str | None = None, **options: Any) -> tuple[Outcome, str]:
        checkpoint = {"enabled": True, "experiment_name": name, "resume": resume}
        checkpoint |= {"save_frequency": 1, "save_best": options.get("save_best", True)}
        config = tiny_config(
            training={"epochs": options.get("epochs", 4)},
            optimizer={"learning_rate": options.get("learning_rate", 0.1)},
            checkpoint=checkpoint,
            tensorboard={"enabled": True},
        )
        out = io.StringIO()
        outcome = run_fit(config, console=Console(file=out))
        return outcome, out.getvalue()

    return train


@pytest.fixture
def declined(train: Resume) -> Path:
    """Returns the `latest.pt` of epoch 4, which is worse than epoch 2; there is no `best.pt`."""
    train("source", epochs=2, save_best=False)
    resume = str(SOURCE / "checkpoints" / "latest.pt")
    outcome, _ = train("source", resume, learning_rate=RUINOUS, save_best=False)
    assert outcome.best_epoch == 2
    assert not (SOURCE / "checkpoints" / "best.pt").exists()
    return SOURCE / "checkpoints" / "latest.pt"


def files(directory: Path) -> dict[str, int | None]:
    """Returns the epoch of every file in a directory of checkpoints."""
    return {path.name: checkpoint_epoch(path) for path in directory.iterdir()}


def steps(directory: Path) -> list[int]:
    """Returns the epochs in the event files of a directory."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    return [point.step for point in events.Scalars("acc/val")]


# ------------------------------------------------------------------------------ best.pt


@pytest.mark.parametrize("name", ["epoch_0002.pt", "best.pt"])
def test_the_best_state_is_inherited_whichever_file_has_it(
    train: Resume, declined: Path, assert_same: Callable[[Any, Any], None], name: str
) -> None:
    (SOURCE / "checkpoints" / "epoch_0002.pt").rename(SOURCE / "checkpoints" / name)
    outcome, _ = train("heir", str(declined), epochs=5, learning_rate=1e-9)
    own = Path("experiments/heir/checkpoints/best.pt")
    source = read_checkpoint(SOURCE / "checkpoints" / name)
    assert_same(read_checkpoint(own), source)
    assert (outcome.best_acc, outcome.best_epoch) == (source["best_acc"], 2)
    assert outcome.rows[-1]["best_acc"] == source["best_acc"]
    assert outcome.rows[-1]["best_epoch"] == 2


def test_a_best_state_that_no_file_has_is_named(train: Resume, declined: Path) -> None:
    (SOURCE / "checkpoints" / "epoch_0002.pt").unlink()
    outcome, printed = train("heir", str(declined), epochs=5, learning_rate=1e-9)
    assert (
        f"no file beside {declined} has the best state (val_acc {outcome.best_acc:.4f} at epoch "
        "2): best.pt is written when an epoch is better\n"
    ) in printed
    assert files(Path("experiments/heir/checkpoints")) == {"epoch_0005.pt": 5, "latest.pt": 5}


def test_the_best_epoch_of_a_file_of_another_program_is_found(
    train: Resume, declined: Path
) -> None:
    """Such a file has the documented keys only, without the epoch of its best accuracy."""
    for path in (declined, declined.with_name("epoch_0002.pt")):
        state = read_checkpoint(path)
        del state["resume_state"]
        torch.save(state, path)
    declined.with_name("epoch_0002.pt").rename(declined.with_name("best.pt"))
    outcome, _ = train("heir", str(declined), epochs=5, learning_rate=1e-9)
    assert outcome.best_epoch == 2
    assert checkpoint_epoch(Path("experiments/heir/checkpoints/best.pt")) == 2


# ---------------------------------------------------------------------- the abandoned future


def test_an_earlier_epoch_sets_later_ones_aside_and_keeps_a_better_best(
    train: Resume, assert_same: Callable[[Any, Any], None]
) -> None:
    first, _ = train("source")
    checkpoints = SOURCE / "checkpoints"
    before = {path.name: read_checkpoint(path) for path in checkpoints.iterdir()}
    assert first.best_epoch > 2
    resume = checkpoints / "epoch_0002.pt"
    second, printed = train("source", str(resume), learning_rate=RUINOUS)
    assert f"continues from {resume}, epoch 2\n" in printed
    assert "changed since that checkpoint: optimizer.learning_rate 0.1 -> 1000.0\n" in printed
    assert (
        "moved to abandoned_1/: epoch_0003.pt, epoch_0004.pt, latest.pt, "
        "which do not belong to epochs 1 to 2\n"
    ) in printed
    best = f"val_acc {first.best_acc:.4f} at epoch {first.best_epoch}"
    assert f"best.pt stays: {best}\n" in printed

    abandoned = SOURCE / "abandoned_1"
    assert files(abandoned / "checkpoints") == {
        "epoch_0003.pt": 3,
        "epoch_0004.pt": 4,
        "latest.pt": 4,
    }
    for path in (*(abandoned / "checkpoints").iterdir(), checkpoints / "best.pt"):
        assert_same(read_checkpoint(path), before[path.name])
    assert steps(abandoned / "tensorboard") == [1, 2, 3, 4]
    assert steps(SOURCE / "tensorboard") == [1, 2, 3, 4]
    assert (abandoned / "config.yaml").exists()
    latest = read_checkpoint(checkpoints / "latest.pt")
    assert latest["epoch"] == 4
    assert latest["best_acc"] == second.best_acc == first.best_acc
    assert second.rows[-1]["best_epoch"] == second.best_epoch == first.best_epoch


def test_an_abandoned_future_can_be_resumed_in_its_turn(train: Resume) -> None:
    train("source")
    checkpoints = SOURCE / "checkpoints"
    train("source", str(checkpoints / "epoch_0002.pt"))
    back = str(SOURCE / "abandoned_1" / "checkpoints" / "latest.pt")
    outcome, _ = train("source", back, epochs=5)
    assert [row["epoch"] for row in outcome.rows] == [5]
    other = {f"epoch_000{epoch}.pt": epoch for epoch in range(1, 5)} | {"latest.pt": 4}
    assert files(SOURCE / "abandoned_2" / "checkpoints") == other
    kept = files(checkpoints)
    del kept["best.pt"]
    assert kept == {"epoch_0005.pt": 5, "latest.pt": 5}


def test_the_newest_epoch_sets_nothing_aside(train: Resume) -> None:
    train("source", epochs=2)
    _, printed = train("source", str(SOURCE / "checkpoints" / "latest.pt"))
    assert "abandoned" not in printed
    assert not list(SOURCE.glob("abandoned_*"))


def test_a_state_that_a_kill_left_behind_is_trained_again_and_saved_again(
    train: Resume, assert_same: Callable[[Any, Any], None]
) -> None:
    """A kill may leave the newest epoch's names without `latest.pt`, which is replaced last."""
    train("whole")
    train("source", epochs=4)
    checkpoints = SOURCE / "checkpoints"
    shutil.copyfile(checkpoints / "epoch_0003.pt", checkpoints / "latest.pt")
    outcome, _ = train("source", str(checkpoints / "latest.pt"))
    assert [row["epoch"] for row in outcome.rows] == [4]
    for path in Path("experiments/whole/checkpoints").iterdir():
        ours, whole = read_checkpoint(checkpoints / path.name), read_checkpoint(path)
        assert_same(ours | {"config": None}, whole | {"config": None})


# ------------------------------------------------------------------------------ changed values


def test_the_values_that_changed_are_those_that_were_used(
    tiny_trainer: Callable[..., Any],
) -> None:
    """The optimizer's are read from its state: earlier versions recorded values without using
    them."""
    donor = tiny_trainer(optimizer={"name": "adam", "learning_rate": 0.01, "betas": [0.8, 0.9]})
    state = donor.state_dict()
    heir = tiny_trainer(
        optimizer={"name": "adam", "learning_rate": 0.01, "weight_decay": 0.1},
        training={"epochs": 9},
        checkpoint={"enabled": True, "resume": "latest.pt"},
    )
    state["config"]["optimizer"]["learning_rate"] = 0.7
    assert describe_changes(state, heir.config) == (
        "training.epochs 3 -> 9, optimizer.weight_decay 0.0 -> 0.1, "
        "optimizer.betas [0.8, 0.9] -> [0.9, 0.999]"
    )
    assert describe_changes(donor.state_dict(), donor.config) == ""


def test_more_epochs_and_what_they_do_to_the_schedule_are_logged(
    tiny_trainer: Callable[..., Any],
) -> None:
    donor, heir = tiny_trainer(), tiny_trainer(training={"epochs": 9})
    donor.run_epoch()
    state = donor.state_dict()
    heir.load_state_dict(state)
    assert describe_resumption(heir, state) == [
        "changed since that checkpoint: training.epochs 3 -> 9",
        "note: the cosine schedule spans 9 epochs instead of 3: the learning rate of epoch 2 is "
        "0.097, that of the last epoch 0.00302",
    ]
    assert describe_resumption(donor, state) == []

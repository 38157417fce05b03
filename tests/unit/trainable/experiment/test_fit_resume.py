"""`fit`, stopped and continued: the six rules of the documentation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainable.artifacts.checkpoint import checkpoint_epoch, read_checkpoint
from trainable.config import TrainConfig, load_config
from trainable.errors import ExperimentError
from trainable.experiment.fit import Outcome

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("working_directory")


def steps(directory: Path) -> list[int]:
    """Returns the epochs in the event files of a directory."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    return [point.step for point in events.Scalars("acc/val")]


@pytest.mark.parametrize(
    ("cut", "custom"),
    [
        pytest.param(cut, custom, marks=[] if cut == 2 else pytest.mark.slow)
        for cut in (1, 2, 3)
        for custom in (True, False)
    ],
)
def test_a_resumed_training_is_the_uninterrupted_one(
    tiny_config: MakeConfig,
    assert_same: Callable[[Any, Any], None],
    custom: bool,
    cut: int,
    run_fit: RunFit,
) -> None:
    """Weights, optimizer, schedule, next epoch and best accuracy: rules 1 to 6 of the page.

    So are the columns of `metrics` and the best epoch by another metric.
    """

    def config(name: str, resume: str | None = None) -> TrainConfig:
        return tiny_config(
            training={"epochs": 4},
            model={"name": "tiny_models:dropout_cnn"},
            scheduler={"name": "step", "step_size": 1, "gamma": 0.5},
            checkpoint={
                "enabled": True,
                "save_frequency": 1,
                "experiment_name": name if custom else "",
                "resume": resume,
                "monitor": "val_f1_macro",
            },
            tensorboard={"enabled": True},
            metrics=["f1_macro", "auroc", "confusion_matrix"],
        )

    uninterrupted = run_fit(config("whole"))
    whole = uninterrupted.directory
    stopped = run_fit(config("mine"), stop_after=cut)
    assert whole is not None
    assert stopped.directory is not None
    assert not stopped.finished
    latest = stopped.directory / "checkpoints" / "latest.pt"
    assert checkpoint_epoch(latest) == cut
    resumed = run_fit(config("mine", str(latest)))
    assert resumed.directory is not None
    assert [row["epoch"] for row in resumed.rows] == list(range(cut + 1, 5))
    columns = ("val_f1_macro", "val_auroc", "test_f1_macro", "best_f1_macro", "best_epoch")
    for row, expected in zip(resumed.rows, uninterrupted.rows[cut:], strict=True):
        assert [row[name] for name in columns] == [expected[name] for name in columns]
    matrices = (resumed.directory / "classes.jsonl").read_text().splitlines()
    assert matrices == (whole / "classes.jsonl").read_text().splitlines()[-len(matrices) :]

    in_place = resumed.directory == stopped.directory
    assert in_place == custom
    first = 1 if in_place else cut + 1
    assert steps(resumed.directory / "tensorboard") == list(range(first, 5))
    names = {f"epoch_{epoch:04d}.pt" for epoch in range(first, 5)} | {"latest.pt"}
    file_names = {path.name for path in (resumed.directory / "checkpoints").iterdir()}
    assert file_names - {"best.pt"} == names
    for name in file_names:
        state = read_checkpoint(resumed.directory / "checkpoints" / name)
        expected = read_checkpoint(whole / "checkpoints" / name)
        del state["config"], expected["config"]
        assert_same(state, expected)


def test_a_stop_saves_an_epoch_that_was_not_due(
    tiny_config: MakeConfig, working_directory: Path, run_fit: RunFit
) -> None:
    checkpoint = {"enabled": True, "save_best": False, "experiment_name": "mine"}
    run_fit(tiny_config(checkpoint=checkpoint), stop_after=2)
    saved = {path.name: checkpoint_epoch(path) for path in working_directory.rglob("*.pt")}
    assert saved == {"latest.pt": 2}


def test_best_is_of_the_whole_training(tiny_config: MakeConfig, run_fit: RunFit) -> None:
    """The best accuracy before a resume counts, even if later epochs stay below it."""
    checkpoint = {"enabled": True, "experiment_name": "mine"}
    first = run_fit(tiny_config(checkpoint=checkpoint), stop_after=2)
    checkpoint["resume"] = "experiments/mine/checkpoints/latest.pt"
    worse = tiny_config(checkpoint=checkpoint, optimizer={"learning_rate": 1000.0})
    second = run_fit(worse)
    assert second.rows[-1]["val_acc"] < first.best_acc
    assert (second.best_acc, second.best_epoch) == (first.best_acc, first.best_epoch)
    assert checkpoint_epoch(Path("experiments/mine/checkpoints/best.pt")) == first.best_epoch


def test_a_training_can_be_extended(tiny_config: MakeConfig, run_fit: RunFit) -> None:
    checkpoint = {"enabled": True, "experiment_name": "mine"}
    run_fit(tiny_config(checkpoint=checkpoint, training={"epochs": 2}))
    checkpoint["resume"] = "experiments/mine/checkpoints/latest.pt"
    outcome = run_fit(tiny_config(checkpoint=checkpoint, training={"epochs": 4}))
    assert [row["epoch"] for row in outcome.rows] == [3, 4]
    assert load_config("experiments/mine/config.yaml").training.epochs == 4


def test_resuming_an_earlier_epoch_leaves_no_epoch_twice(
    tiny_config: MakeConfig, run_fit: RunFit
) -> None:
    checkpoint = {"enabled": True, "experiment_name": "mine", "save_frequency": 1}
    sections = {"training": {"epochs": 4}, "tensorboard": {"enabled": True}}
    run_fit(tiny_config(checkpoint=checkpoint, **sections))
    checkpoint["resume"] = "experiments/mine/checkpoints/epoch_0002.pt"
    outcome = run_fit(tiny_config(checkpoint=checkpoint, **sections))
    assert [row["epoch"] for row in outcome.rows] == [3, 4]
    assert steps(Path("experiments/mine/tensorboard")) == [1, 2, 3, 4]


def test_a_finished_training_is_not_resumed(
    tiny_config: MakeConfig, working_directory: Path, run_fit: RunFit
) -> None:
    checkpoint = {"enabled": True, "experiment_name": "mine"}
    run_fit(tiny_config(checkpoint=checkpoint))
    before = {path: path.stat().st_mtime_ns for path in working_directory.rglob("*")}
    checkpoint["resume"] = "experiments/mine/checkpoints/latest.pt"
    with pytest.raises(ExperimentError) as caught:
        run_fit(tiny_config(checkpoint=checkpoint))
    assert str(caught.value) == (
        "experiments/mine/checkpoints/latest.pt has completed epoch 3 of 3: "
        "nothing is left to train; raise training.epochs"
    )
    assert {path: path.stat().st_mtime_ns for path in working_directory.rglob("*")} == before

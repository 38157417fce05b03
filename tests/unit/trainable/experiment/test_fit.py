"""`fit`: the files that it writes, and the examples of the documentation."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainable.artifacts.checkpoint import checkpoint_epoch, read_checkpoint
from trainable.config import TrainConfig, load_config
from trainable.experiment.fit import Outcome

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]
RunExample = Callable[..., Outcome]
FileTree = Callable[[Path], set[str]]

pytestmark = pytest.mark.usefixtures("working_directory")

AUTOMATIC = r"mlp_digits_\d{8}_\d{6}"


def steps(directory: Path) -> list[int]:
    """Returns the epochs in the event files of a directory."""
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    return [point.step for point in events.Scalars("acc/val")]


def expected_tree(*checkpoints: str) -> set[str]:
    return {"config.yaml", *(f"checkpoints/{name}" for name in checkpoints)}


# ---------------------------------------------------------------------- what it leaves


def test_the_tree_is_the_documented_one(
    tiny_config: MakeConfig, working_directory: Path, run_fit: RunFit, file_tree: FileTree
) -> None:
    config = tiny_config(
        training={"epochs": 20}, checkpoint={"enabled": True}, tensorboard={"enabled": True}
    )
    outcome = run_fit(config)
    assert outcome.finished
    (experiment,) = (working_directory / "experiments").iterdir()
    assert outcome.directory == experiment
    assert re.fullmatch(AUTOMATIC, experiment.name)
    assert file_tree(experiment) == {
        "config.yaml",
        "checkpoints/epoch_0010.pt",
        "checkpoints/epoch_0020.pt",
        "checkpoints/latest.pt",
        "checkpoints/best.pt",
        "tensorboard/events.out.tfevents.*",
    }
    assert list(working_directory.iterdir()) == [working_directory / "experiments"]
    checkpoints = experiment / "checkpoints"
    assert checkpoint_epoch(checkpoints / "epoch_0010.pt") == 10
    assert (checkpoints / "latest.pt").samefile(checkpoints / "epoch_0020.pt")
    assert checkpoint_epoch(checkpoints / "best.pt") == outcome.best_epoch
    assert read_checkpoint(checkpoints / "best.pt")["best_acc"] == outcome.best_acc
    assert outcome.best_acc == max(row["val_acc"] for row in outcome.rows)
    assert steps(experiment / "tensorboard") == list(range(1, 21))


def test_the_config_on_disk_is_complete_and_is_the_one_in_the_checkpoint(
    tiny_config: MakeConfig, run_fit: RunFit
) -> None:
    config = tiny_config(checkpoint={"enabled": True})
    directory = run_fit(config).directory
    assert directory is not None
    saved_config = load_config(directory / "config.yaml")
    state = read_checkpoint(directory / "checkpoints" / "latest.pt")
    assert state["config"] == saved_config.to_dict()
    assert saved_config.model.num_classes == 10
    assert saved_config.dataset.classes == tuple("0123456789")
    resolved = {"model": config.model, "dataset": config.dataset}
    assert saved_config.model_copy(update=resolved) == config


def test_without_tensorboard_there_are_no_event_files(
    tiny_config: MakeConfig, run_fit: RunFit, file_tree: FileTree
) -> None:
    outcome = run_fit(tiny_config(checkpoint={"enabled": True}))
    assert outcome.directory is not None
    assert file_tree(outcome.directory) == expected_tree("latest.pt", "best.pt")


def test_event_files_are_in_log_dir_when_checkpoints_are_off(
    tiny_config: MakeConfig, working_directory: Path, run_fit: RunFit, file_tree: FileTree
) -> None:
    out = io.StringIO()
    config = tiny_config(tensorboard={"enabled": True, "log_dir": "./logs"})
    outcome = run_fit(config, console=Console(file=out))
    assert outcome.directory is None
    (logs,) = (working_directory / "logs").iterdir()
    note = f"note: checkpoint.enabled is false: only curves are saved, in logs/{logs.name}"
    assert out.getvalue().splitlines()[0] == note
    assert re.fullmatch(AUTOMATIC, logs.name)
    assert file_tree(logs) == {"events.out.tfevents.*"}
    assert steps(logs) == [1, 2, 3]
    assert list(working_directory.iterdir()) == [working_directory / "logs"]


# ------------------------------------------------------------- the examples of the page

BASE = """\
dataset: {name: digits}
model: {name: "tiny_models:mlp"}
training: {epochs: EPOCHS}
optimizer: {name: sgd, learning_rate: 0.1}
progress: {enabled: false}
"""

MINIMAL = """
checkpoint:
  enabled: true
  dir: "./experiments"
"""

FREQUENT_SAVES = """
checkpoint:
  enabled: true
  dir: "./experiments"
  save_frequency: 5    # Every 5 epochs
  save_best: true
"""

RESUME_EXPERIMENT = """
checkpoint:
  enabled: true
  dir: "./experiments"
  save_frequency: 10
  save_best: true
  resume: "./experiments/my_experiment/checkpoints/latest.pt"
"""

DISABLE_CHECKPOINTING = """
checkpoint:
  enabled: false
"""


@pytest.fixture
def run_example(run_fit: RunFit) -> RunExample:
    """Trains digits with an example as the config's `checkpoint` section."""

    def run(example: str, epochs: int, **options: Any) -> Outcome:
        Path("example.yaml").write_text(BASE.replace("EPOCHS", str(epochs)) + example)
        config = load_config("example.yaml")
        Path("example.yaml").unlink()
        return run_fit(config, **options)

    return run


def test_minimal_checkpointing(file_tree: FileTree, run_example: RunExample) -> None:
    outcome = run_example(MINIMAL, epochs=10)
    assert outcome.directory is not None
    assert file_tree(outcome.directory) == expected_tree("epoch_0010.pt", "latest.pt", "best.pt")


def test_frequent_saves(file_tree: FileTree, run_example: RunExample) -> None:
    outcome = run_example(FREQUENT_SAVES, epochs=10)
    assert outcome.directory is not None
    assert file_tree(outcome.directory) == expected_tree(
        "epoch_0005.pt", "epoch_0010.pt", "latest.pt", "best.pt"
    )


def test_resume_experiment(
    working_directory: Path, file_tree: FileTree, run_example: RunExample
) -> None:
    named = FREQUENT_SAVES + "  experiment_name: my_experiment\n"
    run_example(named, epochs=10, stop_after=7)
    before = {path: path.read_bytes() for path in working_directory.rglob("*.pt")}
    outcome = run_example(RESUME_EXPERIMENT, epochs=10)
    assert [row["epoch"] for row in outcome.rows] == [8, 9, 10]
    assert outcome.directory is not None
    # Another experiment with an automatic name; the resumed one does not change.
    assert re.fullmatch(AUTOMATIC, outcome.directory.name)
    assert {"config.yaml", "checkpoints/epoch_0010.pt", "checkpoints/latest.pt"} <= file_tree(
        outcome.directory
    )
    assert {path: path.read_bytes() for path in before} == before


def test_disable_checkpointing(working_directory: Path, run_example: RunExample) -> None:
    outcome = run_example(DISABLE_CHECKPOINTING, epochs=1)
    assert outcome.directory is None
    assert [row["epoch"] for row in outcome.rows] == [1]
    assert list(working_directory.iterdir()) == []

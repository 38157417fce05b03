"""`fit`: what it refuses without writing files, and what it prints."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trainable.artifacts.checkpoint import checkpoint_epoch
from trainable.config import TrainConfig
from trainable.errors import CheckpointError, ConfigError, ExperimentError, TuneSweepsError
from trainable.experiment.fit import Outcome, fit

MakeConfig = Callable[..., TrainConfig]
RunFit = Callable[..., Outcome]

pytestmark = pytest.mark.usefixtures("working_directory")


def broken(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A config's `checkpoint` section, with checkpoints on."""
    return {"checkpoint": {"enabled": True, **checkpoint}, "tensorboard": {"enabled": True}}


@pytest.mark.parametrize(
    ("sections", "kind", "message"),
    [
        (broken({"resume": "gone/latest.pt"}), ConfigError, "there is no file gone/latest.pt"),
        (broken({"resume": "foreign.pt"}), CheckpointError, "good checkpoints beside it: good.pt"),
        (broken({"resume": "good.pt"}), CheckpointError, "its weights do not fit"),
        (broken({"experiment_name": "taken"}), ExperimentError, "already holds an experiment"),
        (broken({"dir": "foreign.pt"}), ConfigError, "foreign.pt is a file"),
        (
            {**broken({}), "model": {"name": "tiny_models:mpl"}},
            TuneSweepsError,
            'did you mean "mlp"',
        ),
        (
            {**broken({}), "dataset": {"name": "image_folder", "root": "no_such_root"}},
            ConfigError,
            "no_such_root",
        ),
        (
            {**broken({}), "dataset": {"name": "mnist", "download": False}},
            ConfigError,
            "dataset.root: mnist is missing",
        ),
    ],
    ids=["missing", "foreign", "misfit", "taken", "file", "model", "folder", "data"],
)
def test_a_refused_training_leaves_no_files(
    tiny_config: MakeConfig,
    working_directory: Path,
    sections: dict[str, Any],
    kind: type[TuneSweepsError],
    message: str,
    run_fit: RunFit,
) -> None:
    other = run_fit(
        tiny_config(
            model={"name": "tiny_models:dropout_cnn"},
            checkpoint={"enabled": True, "experiment_name": "taken"},
        )
    )
    assert other.directory is not None
    (working_directory / "foreign.pt").write_bytes(b"foreign")
    (working_directory / "good.pt").hardlink_to(other.directory / "checkpoints" / "latest.pt")
    before = {path: path.stat().st_mtime_ns for path in working_directory.rglob("*")}
    with pytest.raises(kind, match=re.escape(message)):
        run_fit(tiny_config(**sections))
    assert {path: path.stat().st_mtime_ns for path in working_directory.rglob("*")} == before


@pytest.mark.parametrize("name", ["", "mine"])
def test_a_training_that_fails_in_its_first_epoch_leaves_no_directory(
    name: str, tiny_config: MakeConfig, working_directory: Path, run_fit: RunFit
) -> None:
    config = tiny_config(
        model={"name": "failing_models:always_raises"},
        checkpoint={"enabled": True, "experiment_name": name},
        tensorboard={"enabled": True},
    )
    with pytest.raises(RuntimeError, match="no such luck"):
        run_fit(config)
    assert list(working_directory.iterdir()) == []


def test_custom_code_in_a_config_runs_only_on_request(tiny_config: MakeConfig) -> None:
    with pytest.raises(TuneSweepsError, match="add --allow-custom-model"):
        fit(tiny_config())


# ----------------------------------------------------------------------- what it says


def test_notices_come_first_then_a_line_per_epoch(
    tiny_config: MakeConfig, run_fit: RunFit
) -> None:
    out = io.StringIO()
    config = tiny_config(dataset={"val_split": None}, training={"epochs": 10})
    run_fit(config, console=Console(file=out, width=40))
    lines = out.getvalue().splitlines()
    assert lines[:2] == [
        "note: checkpoint.enabled is false: nothing is saved",
        "note: no CUDA device: training on the CPU",
    ]
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 10
    for line in epochs:
        assert re.fullmatch(
            r"epoch [ 1]\d/10  train_loss \d\.\d{4}  train_acc \d\.\d{4}  val_loss \d\.\d{4}"
            r"  val_acc \d\.\d{4}( \(best so far\))?  test_acc \d\.\d{4}  lr \S+  \d+ images/s",
            line,
        )


def test_a_terminal_sees_a_progress_bar_of_images(
    tiny_config: MakeConfig, run_fit: RunFit
) -> None:
    out = io.StringIO()
    config = tiny_config(progress={"enabled": True}, training={"epochs": 1})
    run_fit(config, console=Console(file=out, force_terminal=True, width=100))
    assert "epoch 1" in out.getvalue()
    assert re.search(r"/1151\b", out.getvalue())


def test_a_diverged_training_ends_and_keeps_the_last_good_state(
    tiny_config: MakeConfig, run_fit: RunFit
) -> None:
    checkpoint = {"enabled": True, "experiment_name": "mine"}
    run_fit(tiny_config(checkpoint=checkpoint), stop_after=1)
    checkpoint["resume"] = "experiments/mine/checkpoints/latest.pt"
    diverging = tiny_config(
        checkpoint=checkpoint, optimizer={"learning_rate": 1e30}, training={"epochs": 3}
    )
    out = io.StringIO()
    outcome = run_fit(diverging, console=Console(file=out))
    assert outcome.diverged
    assert not outcome.finished
    assert "the loss is not finite: training ends here" in out.getvalue()
    assert checkpoint_epoch(Path(checkpoint["resume"])) == 1


def test_a_training_that_diverges_in_its_last_epoch_is_not_finished(
    tiny_config: MakeConfig, run_fit: RunFit
) -> None:
    outcome = run_fit(
        tiny_config(
            checkpoint={"enabled": True, "save_frequency": 1},
            optimizer={"learning_rate": 1e30},
            training={"epochs": 1},
        )
    )
    assert (outcome.diverged, outcome.finished) == (True, False)
    assert (outcome.best_epoch, outcome.best_text) == (0, "no epoch has a finite loss")
    assert outcome.directory is not None
    assert not list(outcome.directory.rglob("*.pt"))

"""The command line: output, exit codes and signals."""

import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from trainable.__main__ import main
from trainable.artifacts.checkpoint import checkpoint_epoch
from trainable.config import load_config
from trainable.experiment.fit import Outcome

RunFit = Callable[..., Outcome]
FileTree = Callable[[Path], set[str]]

COMMAND = [sys.executable, "-m", "trainable"]

CONFIG = """\
dataset: {name: digits}
model: {name: "tiny_models:mlp"}
training: {epochs: EPOCHS}
optimizer: {name: sgd, learning_rate: 0.1}
progress: {enabled: false}
checkpoint:
  enabled: true
"""


def write_config(directory: Path, epochs: int, extra: str = "") -> Path:
    path = directory / "my config.yaml"
    path.write_text(CONFIG.replace("EPOCHS", str(epochs)) + extra)
    return path


def test_the_command_trains_and_prints_the_experiments_location(
    working_directory: Path,
    file_tree: FileTree,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(working_directory, epochs=2, extra="tensorboard: {enabled: true}\n")
    monkeypatch.setattr(sys, "argv", ["trainable", config.name, "--allow-custom-model"])
    monkeypatch.delitem(sys.modules, "trainable.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("trainable", run_name="__main__")
    assert ended.value.code == 0
    output = capsys.readouterr()
    assert output.err == ""
    (experiment,) = (working_directory / "experiments").iterdir()
    last = output.out.splitlines()[-2:]
    assert re.fullmatch(r"best: val_acc \d\.\d{4} at epoch [12]", last[0])
    assert last[1] == f"experiment: {experiment}"
    assert file_tree(experiment) == {
        "config.yaml",
        "checkpoints/latest.pt",
        "checkpoints/best.pt",
        "tensorboard/events.out.tfevents.*",
    }


def test_a_training_that_a_rule_ends_says_so_and_is_no_failure(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = "{epochs: 9, early_stopping: {patience: 1, min_delta: 1.0}}"
    path = write_config(working_directory, epochs=9)
    path.write_text(path.read_text().replace("{epochs: 9}", rule))
    monkeypatch.setattr(sys, "argv", ["trainable", path.name, "--allow-custom-model"])
    monkeypatch.delitem(sys.modules, "trainable.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("trainable", run_name="__main__")
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].startswith(
        "training.early_stopping ends the training: val_acc has not risen by more than 1 for 1"
    )
    assert lines[-2].startswith("best: val_acc ")
    assert lines[-1].startswith("experiment: ")


def test_a_wrong_config_is_exit_code_2_without_a_traceback(working_directory: Path) -> None:
    config = write_config(working_directory, epochs=2, extra="tensorbord: {enabled: true}\n")
    result = CliRunner().invoke(main, [str(config)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"{config}: 1 problem\n")
    assert 'did you mean "tensorboard"?' in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert list(working_directory.iterdir()) == [config]


def assert_stopped(lines: list[str], errors: str, run_fit: RunFit) -> None:
    """Checks the output of a training that a signal has stopped, and continues it."""
    directory = Path.cwd()
    assert errors == "\nstopping: this epoch is finished first; Ctrl-C again stops now\n"
    (experiment,) = (directory / "experiments").iterdir()
    latest = experiment / "checkpoints" / "latest.pt"
    trained = [line for line in lines if line.startswith("epoch")]
    assert checkpoint_epoch(latest) == len(trained)
    assert lines[-3].startswith("best so far: val_acc ")
    assert lines[-2] == f"experiment: {experiment}\n"
    assert lines[-1] == (
        f"stopped early; to continue, set checkpoint.resume to {latest} in 'my config.yaml'\n"
    )

    more = f"  resume: {latest}\n"
    config = write_config(directory, epochs=len(trained) + 1, extra=more)
    resumed = run_fit(load_config(config))
    assert [row["epoch"] for row in resumed.rows] == [len(trained) + 1]


def test_a_signal_saves_the_latest_and_prints_how_to_continue(
    working_directory: Path, run_fit: RunFit, capfd: pytest.CaptureFixture[str]
) -> None:
    config = write_config(working_directory, epochs=100_000)
    own = config.read_text().replace("tiny_models:mlp", "signalling_models:mlp")
    config.write_text(own)
    result = CliRunner().invoke(main, [config.name, "--allow-custom-model"])
    assert result.exit_code == 128 + signal.SIGTERM
    assert_stopped(result.stdout.splitlines(keepends=True), capfd.readouterr().err, run_fit)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_the_process_with_its_exit_code(
    working_directory: Path,
    project_environment: dict[str, str],
    number: signal.Signals,
    run_fit: RunFit,
) -> None:
    config = write_config(working_directory, epochs=100_000)
    process = subprocess.Popen(
        [*COMMAND, config.name, "--allow-custom-model"],
        env={**project_environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch"):
            break
    process.send_signal(number)
    rest, errors = process.communicate()
    assert process.returncode == 128 + number
    assert_stopped([*lines, *rest.splitlines(keepends=True)], errors, run_fit)


def test_out_of_memory_is_told_with_its_remedy(working_directory: Path) -> None:
    config = write_config(working_directory, epochs=1)
    text = config.read_text().replace("tiny_models:mlp", "failing_models:out_of_memory")
    config.write_text(text.replace("{epochs: 1}", "{epochs: 1, batch_size: 129}"))
    result = CliRunner().invoke(main, [config.name, "--allow-custom-model"])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "set training.accumulation_steps to 2 to run batches of 129 in smaller parts, or lower "
        "training.batch_size",
    ]

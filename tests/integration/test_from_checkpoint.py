"""A single checkpoint: `sweep restore`, `sweep eval` and `python sweeps/restore.py`.

The `.pt` file is alone in its directory, like one that was copied from another machine.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.commands import invoke, refusal
from trainable.config import TrainConfig, load_config
from trainable.experiment.fit import fit

ROOT = Path(__file__).parents[2]
SWEEP = [
    sys.executable,
    "-c",
    "import sys; from sweeps.cli.main import main; main(prog_name='sweep')",
]
SCRIPT = [sys.executable, str(ROOT / "sweeps" / "restore.py")]


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., TrainConfig]
) -> Path:
    """A checkpoint of epoch 2 of 4, alone in its directory; its experiment is deleted."""
    directory = tmp_path_factory.mktemp("trained")
    config = tiny_config(
        training={"epochs": 4},
        checkpoint={"enabled": True, "dir": str(directory / "first")},
        optimizer={"momentum": 0.9},
    )
    epochs = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        outcome = fit(config, allow_custom_model=True, should_stop=lambda: next(epochs) == 2)
    assert outcome.directory is not None
    alone = directory / "alone"
    alone.mkdir()
    shutil.copyfile(outcome.directory / "checkpoints" / "latest.pt", alone / "copied.pt")
    shutil.rmtree(outcome.directory)
    return alone / "copied.pt"


@pytest.fixture(autouse=True)
def _on_the_cpu(working_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def run(
    command: list[str], *args: object, environment: dict[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *map(str, args), "--allow-custom-model"],
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def only_experiment(base: Path) -> Path:
    (directory,) = base.iterdir()
    return directory


# ---------------------------------------------------------------------------- restore


def test_a_single_checkpoint_continues_in_its_own_experiment(
    trained: Path, working_directory: Path
) -> None:
    before = trained.read_bytes()
    changed = ("--epochs", 3, "--set", "optimizer.learning_rate=0.01")
    done = invoke("restore", trained, *changed, "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, "")
    experiment = only_experiment(working_directory / "experiments")
    assert re.fullmatch(r"mlp_digits_\d{8}_\d{6}", experiment.name)
    trained_epochs = re.findall(r"^epoch (\d)/(\d)", done.stdout, re.MULTILINE)
    assert trained_epochs == [("3", "3")]
    *_, best, last = done.stdout.splitlines()
    assert re.fullmatch(r"best: val_acc 0\.\d{4} at epoch [123]", best)
    assert last == f"experiment: {experiment}, restored from {trained}"

    config = load_config(experiment / "config.yaml")
    assert config.checkpoint.resume == str(trained)
    assert (config.training.epochs, config.optimizer.learning_rate) == (3, 0.01)
    state = torch.load(experiment / "checkpoints" / "latest.pt")
    assert state["epoch"] == 3
    assert state["config"]["checkpoint"]["resume"] == str(trained)
    assert state["scheduler_state_dict"]["base_lr"] == 0.01
    assert trained.read_bytes() == before
    assert list(trained.parent.iterdir()) == [trained]


@pytest.mark.slow
def test_the_script_restores_from_any_directory(
    trained: Path, project_environment: dict[str, str], working_directory: Path
) -> None:
    relative = os.path.relpath(trained, working_directory)
    done = run(
        SCRIPT, relative, "--dir", "mine", environment=project_environment, cwd=working_directory
    )
    assert (done.returncode, done.stderr) == (0, "")
    experiment = only_experiment(working_directory / "mine")
    state = torch.load(experiment / "checkpoints" / "latest.pt")
    assert state["epoch"] == 4
    assert Path(state["config"]["checkpoint"]["resume"]).samefile(trained)
    assert (experiment / "checkpoints" / "best.pt").exists()


def test_a_restored_checkpoint_reaches_the_weights_of_an_uninterrupted_training(
    trained: Path,
    tiny_config: Callable[..., TrainConfig],
    assert_same: Callable[[Any, Any], None],
    working_directory: Path,
) -> None:
    whole = fit(
        tiny_config(
            training={"epochs": 4},
            checkpoint={"enabled": True, "dir": str(working_directory / "whole")},
            optimizer={"momentum": 0.9},
        ),
        allow_custom_model=True,
    )
    assert whole.directory is not None
    assert invoke("restore", trained, "--dir", "again", "--allow-custom-model").exit_code == 0
    again = only_experiment(working_directory / "again")
    left = torch.load(whole.directory / "checkpoints" / "latest.pt")
    right = torch.load(again / "checkpoints" / "latest.pt")
    for state in (left, right):
        state["config"].pop("checkpoint")
    assert_same(left, right)


def test_a_restored_best_state_stays_the_best_until_it_is_beaten(trained: Path) -> None:
    assert torch.load(trained)["resume_state"]["best_epoch"] == 2
    slow = ["--set", "optimizer.learning_rate=1e-12", "--allow-custom-model"]
    assert invoke("restore", trained, *slow).exit_code == 0
    best = only_experiment(Path("experiments")) / "checkpoints" / "best.pt"
    assert best.read_bytes() == trained.read_bytes()


@pytest.mark.slow
def test_ctrl_c_saves_and_prints_the_command_to_continue(
    trained: Path, project_environment: dict[str, str], working_directory: Path
) -> None:
    process = subprocess.Popen(
        [*SWEEP, "restore", str(trained), "--epochs", "100000", "--allow-custom-model"],
        env={**project_environment, "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"},
        cwd=working_directory,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate()
    lines += rest.splitlines(keepends=True)
    assert process.returncode == 130
    latest = only_experiment(working_directory / "experiments") / "checkpoints" / "latest.pt"
    reached = torch.load(latest)["epoch"]
    assert reached == 2 + sum(line.startswith("epoch") for line in lines)
    assert lines[-4].startswith("best so far: val_acc ")
    shown = latest.relative_to(working_directory)
    assert lines[-1] == f"sweep restore {shown} --allow-custom-model\n"

    printed = shlex.split(lines[-1])[1:]
    assert invoke(*printed, "--dir", "more", "--epochs", reached + 1).exit_code == 0
    further = only_experiment(working_directory / "more")
    assert torch.load(further / "checkpoints" / "latest.pt")["epoch"] == reached + 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--set", "optimizer.lerning_rate=0.1"], 'did you mean "learning_rate"?'),
        (["--set", "training.epochs=many"], 'training.epochs: must be an integer, found "many"'),
        (["--set", "optimizer.learning_rate=-1"], "optimizer.learning_rate: must be > 0"),
        (["--set", "training.epochs"], "--set takes KEY=VALUE, found 'training.epochs'"),
        (["--set", "optimizer.name=adamw"], "must be of optimizer.name: adamw, found sgd"),
        (["--set", "scheduler.name=none"], "must be of scheduler.name: none, found cosine"),
        (["--set", "checkpoint.experiment_name=../x"], "must be one directory's name"),
        (["--epochs", "2"], "has completed epoch 2 of 2: nothing is left to train"),
        (["--epochs", "0"], "0 is not in the range"),
    ],
)
def test_wrong_options_are_refused_like_wrong_values_in_a_file(
    args: list[str], message: str, trained: Path
) -> None:
    assert message in refusal("restore", trained, *args, "--allow-custom-model")


@pytest.mark.parametrize("verb", ["restore", "eval"])
def test_a_custom_model_is_imported_only_with_permission(verb: str, trained: Path) -> None:
    assert "--allow-custom-model" in refusal(verb, trained)


# ---------------------------------------------------------------------------- eval


def test_a_single_checkpoint_is_evaluated_on_its_test_set(
    trained: Path, working_directory: Path
) -> None:
    done = invoke("eval", trained, "--json", "--allow-custom-model")
    assert (done.exit_code, done.stderr) == (0, "")
    scores = json.loads(done.stdout)
    assert scores["checkpoint"] == str(trained)
    assert scores["epoch"] == 2
    assert 0.2 < scores["test_acc"] <= 1
    assert scores["test_loss"] > 0
    assert scores["images"] == 359
    assert list(working_directory.iterdir()) == []

    names = "f1_macro,recall_per_class,confusion_matrix"
    more = invoke("eval", trained, "--json", "--allow-custom-model", "--metrics", names)
    measured = json.loads(more.stdout)
    assert {key: measured[key] for key in scores} == scores
    matrix, recall = measured["test_confusion_matrix"], measured["test_recall_per_class"]
    correct = sum(row[label] for label, row in enumerate(matrix))
    assert correct / 359 == pytest.approx(scores["test_acc"])
    assert recall == pytest.approx([row[label] / sum(row) for label, row in enumerate(matrix)])
    assert measured["classes"] == [str(digit) for digit in range(10)]
    table = invoke("eval", trained, "--allow-custom-model", "--metrics", names).stdout
    assert f"test_f1_macro {measured['test_f1_macro']:.4f}" in table
    assert "columns: the class that images were classified as" in table
    wrong = invoke("eval", trained, "--allow-custom-model", "--metrics", "f1_marco")
    assert wrong.exit_code == 2
    assert 'metrics: unknown name, found "f1_marco"; did you mean "f1_macro"?' in wrong.stderr

    plain = invoke("eval", trained, "--allow-custom-model")
    assert plain.stdout.splitlines()[-1] == (
        f"test_acc {scores['test_acc']:.4f}  test_loss {scores['test_loss']:.4f}  "
        f"on 359 images, epoch 2 of {trained}"
    )

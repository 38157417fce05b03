"""Broken, foreign and malicious files: refused with what was expected, and nothing is lost.

A sweep whose checkpoints are broken continues from an older good one or not at all, but never
silently from epoch 0.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.commands import invoke, refusal
from tests.integration.sweeping import (
    ONE_AT_A_TIME,
    epochs,
    pause_after,
    search,
    start,
    trials,
)
from tests.support.damaged_sweeps import copy_sweeps
from trainable.config import TrainConfig
from trainable.config.yaml_reader import dump_yaml
from trainable.experiment.fit import fit

SPACE = {"optimizer.learning_rate": {"loguniform": [1e-2, 1.0]}}
FOUR = {"training": {"epochs": 4}, "checkpoint": {"save_frequency": 1}}


class Bomb:
    """Runs a command when it is unpickled carelessly."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._trace}",)


def truncate(path: Path) -> None:
    """Cuts a file in half, as a new file: its other hard links keep the whole one."""
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])


# ---------------------------------------------------------------------------- one checkpoint


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Callable[..., TrainConfig]
) -> Path:
    """A good checkpoint."""
    base = str(tmp_path_factory.mktemp("trained"))
    checkpoint = {"enabled": True, "dir": base}
    config = tiny_config(training={"epochs": 1}, checkpoint=checkpoint)
    outcome = fit(config, allow_custom_model=True)
    assert outcome.directory is not None
    return outcome.directory / "checkpoints" / "latest.pt"


@pytest.mark.parametrize("verb", ["restore", "eval"])
def test_a_truncated_file_is_refused_and_the_error_names_a_good_one_beside_it(
    verb: str, trained: Path, working_directory: Path
) -> None:
    shutil.copyfile(trained, "epoch_0001.pt")
    shutil.copyfile(trained, "latest.pt")
    truncate(Path("latest.pt"))
    text = refusal(verb, "latest.pt", "--allow-custom-model")
    assert text.startswith("latest.pt: expected a whole checkpoint, found a truncated or foreign")
    assert text.endswith("good checkpoints beside it: epoch_0001.pt\n")
    assert text.count("\n") == 1


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("verb", ["restore", "eval"])
def test_foreign_and_malicious_files_are_refused_and_never_run(
    verb: str, trained: Path, working_directory: Path
) -> None:
    state = torch.load(trained)
    torch.save({**state, "config": Bomb(working_directory / "ran")}, "bomb.pt")
    assert "found code (posix.system)" in refusal(verb, "bomb.pt")
    Path("text.pt").write_text("epoch: 3\n")
    assert "foreign file" in refusal(verb, "text.pt")
    torch.save({"weights": torch.zeros(3)}, "other.pt")
    assert "expected the keys model_state_dict, " in refusal(verb, "other.pt")
    torch.save({**state, "config": {"model": "resnet20", "lr": 0.1}}, "config.pt")
    assert "lr: unknown key" in refusal(verb, "config.pt")
    state["model_state_dict"]["3.bias"] = torch.zeros(7)
    torch.save(state, "shape.pt")
    assert "does not fit" in refusal(verb, "shape.pt", "--allow-custom-model")
    assert "there is no such file" in refusal(verb, "nowhere.pt")
    assert "expected a .pt file, found a directory" in refusal(verb, working_directory)


def test_a_pickled_file_is_refused_and_never_run(working_directory: Path) -> None:
    path = working_directory / "best.pt"
    path.write_bytes(pickle.dumps(Bomb(working_directory / "ran")))
    expected = f"{path}: expected tensors and plain values only, found a foreign file"
    assert refusal("restore", path).splitlines()[-1].startswith(expected)
    assert list(working_directory.iterdir()) == [path]


# ---------------------------------------------------------------------------- a sweep's resume


@pytest.fixture
def sweep(working_directory: Path) -> Path:
    """A sweep of three trials: one is finished, one paused, one has not begun."""
    paused = copy_sweeps(working_directory) / "paused"
    (paused / ".lock").touch()  # every sweep that has run has it
    return paused


def paused_checkpoints(sweep: Path) -> Path:
    """Returns the checkpoint directory of the paused trial."""
    return sweep / trials(sweep)[1].directory / "checkpoints"


def finish(sweep: Path) -> str:
    """Resumes a sweep until it is finished; returns the output."""
    result = invoke("resume", sweep, "--allow-custom-model")
    assert result.exit_code == 0, result.output
    assert epochs(sweep) == {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}
    for path in sweep.glob("*/checkpoints/latest.pt"):
        assert torch.load(path)["epoch"] == 4
    return result.stdout


@pytest.mark.slow
@pytest.mark.ray
def test_a_sweep_resumes_from_the_newest_good_checkpoint_and_prints_that(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two trials is finished, the other paused after three of four epochs."""
    tune, share = {"num_samples": 2}, {"resources": ONE_AT_A_TIME}
    with monkeypatch.context() as patch:
        pause_after(patch, 6)  # takes effect with the next result
        outcome = start(search(working_directory, space=SPACE, tune=tune, config=FOUR, **share))
    sweep = outcome.directory
    assert epochs(sweep) == {0: [1, 2, 3, 4], 1: [1, 2, 3]}
    checkpoints = paused_checkpoints(sweep)
    truncate(checkpoints / "latest.pt")
    (checkpoints / "epoch_0003.pt").unlink()
    torch.save(Bomb(working_directory / "ran"), checkpoints / "epoch_0003.pt")
    (checkpoints / "best.pt").unlink()
    output = finish(sweep)
    older = "continuing from epoch_0002.pt of epoch 2"
    assert f"{checkpoints / 'latest.pt'} is missing or broken; {older}" in output
    assert not (working_directory / "ran").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_a_trial_without_a_good_checkpoint_is_not_restarted_silently(sweep: Path) -> None:
    """Without checkpoints, as the error proposes, it starts again: see test_sweep.py."""
    checkpoints = paused_checkpoints(sweep)
    for path in checkpoints.iterdir():
        truncate(path)
    files = [path for path in sweep.glob("*/**/*") if path.is_file()]
    before = {path: path.read_bytes() for path in [*files, sweep / "sweep.json"]}
    result = invoke("resume", sweep, "--allow-custom-model")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"{checkpoints}: expected a good checkpoint, found none among")
    assert "delete them to train this trial from the start" in result.stderr
    assert "latest.pt" in result.stderr
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("verb", ["resume", "retry", "pause"])
def test_invalid_records_are_refused_and_nothing_is_changed(verb: str, sweep: Path) -> None:
    path = sweep / "sweep.json" if verb == "pause" else next(sweep.glob("*/trial.json"))
    data = json.loads(path.read_text())
    for content in ("{", "[]", json.dumps({**data, "state": "lost"})):
        path.write_text(content)
        assert refusal(verb, sweep).startswith(f"{path}: not a record of this version: ")
    if verb != "pause":
        path.write_text(json.dumps({**data, "directory": "../../elsewhere"}))
        assert "found one of '../../elsewhere'" in refusal(verb, sweep)


# ---------------------------------------------------------------------------- names


@pytest.mark.parametrize("key", ["name", "experiment_name"])
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("..", "must be one directory's name without a path in it, found '..'"),
        ("../above", "must be one directory's name without a path in it"),
        ("a/b", "must be one directory's name without a path in it"),
        ("/etc/passwd", "must be one directory's name without a path in it"),
        ("a\\b", "must be one directory's name without a path in it"),
        ("a\x07b", "must have no control characters or outer blanks, found 'a\\x07b'"),
        ("a\nb", "must have no control characters or outer blanks, found 'a\\nb'"),
        ("a\u202eb", "must have no control characters or outer blanks"),
        ("n" * 300, "must be at most 200 bytes long, found 300"),
        ("ü" * 101, "must be at most 200 bytes long, found 202"),
        (".hidden", "must not be empty or start with a dot or a dash"),
        ("--resume", "must not be empty or start with a dot or a dash"),
    ],
)
def test_a_name_that_is_not_a_valid_directory_name_is_refused(
    name: str, rule: str, key: str, working_directory: Path
) -> None:
    spec = search(working_directory, space=SPACE, tune={"num_samples": 1}).to_dict()
    if key == "name":
        spec["name"] = name
    else:
        spec["config"]["checkpoint"]["experiment_name"] = name
    Path("search.yaml").write_text(dump_yaml(spec))
    for verb in ("run", "validate"):
        text = refusal(verb, "search.yaml")
        assert text.startswith("search.yaml: 1 problem\n")
        assert rule in text
        assert all(character.isprintable() or character == "\n" for character in text)

"""Pausing and going on: nothing lost, nothing twice, nothing claimed that did not happen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from sweeps import cli
from sweeps.launch import resume_sweep
from sweeps.layout import Reason, SweepError
from sweeps.reopening import merged, open_sweep, opened, reopen_best
from tests.integration.sweeping import epochs, pause_after, resume, search, start, trials
from trainable.yaml_reader import dump_yaml

pytestmark = pytest.mark.ray

SPACE = {"optimizer.learning_rate": {"loguniform": [1e-2, 1.0]}}
FOUR = {"training": {"epochs": 4}, "checkpoint": {"save_frequency": 4}}


def command(*args: object) -> list[str]:
    code = "import sys; from sweeps.cli import main; sys.argv[0] = 'sweep'; main()"
    return [sys.executable, "-c", code, *map(str, args)]


def latest(directory: Path) -> dict[int, dict[str, Any]]:
    """Number of a trial -> its `latest.pt`."""
    return {
        record.number: torch.load(
            directory / record.directory / "checkpoints" / "latest.pt", weights_only=True
        )
        for record in trials(directory)
    }


@pytest.mark.parametrize(
    ("reason", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("stop", 3), ("time_budget", 3)]
)
def test_a_paused_sweep_saves_says_so_and_goes_on_to_the_same_end(
    reason: Reason,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 3}, config=FOUR)
    with monkeypatch.context() as patch:
        pause_after(patch, 3, reason)
        outcome = start(spec)
    assert cli._finish(outcome) == code
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == f"sweep resume {outcome.directory}"
    assert "best so far" in said
    assert "best:" not in said
    sweep = json.loads((outcome.directory / "sweep.json").read_text())
    assert (sweep["state"], sweep["reason"]) == ("paused", reason)
    reached = {number: found[-1] for number, found in epochs(outcome.directory).items() if found}
    assert {n: state["epoch"] for n, state in latest(outcome.directory).items()} == reached

    ended = {r.directory for r in trials(outcome.directory) if r.state == "finished"}
    before = {name: (outcome.directory / name).stat().st_mtime_ns for name in ended}
    again = resume(outcome.directory)
    assert cli._finish(again) == 0
    assert epochs(again.directory) == {number: [1, 2, 3, 4] for number in range(3)}
    assert {name: (outcome.directory / name).stat().st_mtime_ns for name in ended} == before
    assert "max" not in {result.record.state for result in again.results}


def test_a_sweep_paused_and_resumed_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    tune = {"num_samples": 3}
    whole = start(search(tmp_path / "whole", space=SPACE, tune=tune, config=FOUR))
    with monkeypatch.context() as patch:
        pause_after(patch, 4)
        cut = start(search(tmp_path / "cut", space=SPACE, tune=tune, config=FOUR))
    resume(cut.directory)
    for number, state in latest(whole.directory).items():
        other = latest(cut.directory)[number]
        assert state["best_acc"] == other["best_acc"]
        for name, tensor in state["model_state_dict"].items():
            assert torch.equal(tensor, other["model_state_dict"][name])


def test_the_limit_holds_after_a_resume_and_interrupted_trials_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = {"num_samples": 4, "max_concurrent_trials": 1}
    spec = search(tmp_path, space=SPACE, tune=tune, config=FOUR)
    with monkeypatch.context() as patch:
        pause_after(patch, 6)
        outcome = start(spec)
    with monkeypatch.context() as patch:
        seen = pause_after(patch, 10**9)
        resume(outcome.directory)
    order = [record.id for record in trials(outcome.directory)]
    assert [order.index(trial) for trial, _ in seen] == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3]
    assert epochs(outcome.directory) == {number: [1, 2, 3, 4] for number in range(4)}


def test_a_sweep_goes_on_without_rays_files_and_in_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 3}, config=FOUR)
    with monkeypatch.context() as patch:
        pause_after(patch, 3)
        outcome = start(spec)
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(outcome.directory, moved)
    (moved / "tuner.pkl").write_bytes(b"")
    for path in moved.glob("experiment_state-*.json"):
        path.unlink()
    again = resume(moved)
    assert again.paused is None
    assert again.directory == moved
    assert epochs(moved) == {number: [1, 2, 3, 4] for number in range(3)}
    assert not outcome.directory.exists()


def test_a_finished_sweep_is_extended_and_its_best_trained_longer(tmp_path: Path) -> None:
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 2}, config=FOUR)
    first = start(spec)
    values = [record.values for record in trials(first.directory)]
    with opened(first.directory) as (recorded, records):
        more = recorded.model_copy(
            update={"tune": recorded.tune.model_copy(update={"num_samples": 3})}
        )
        extended = resume_sweep(more, first.directory, records, allow_custom_model=True)
    assert len(extended.results) == 3
    assert [record.values for record in trials(first.directory)][:2] == values

    best = extended.results[0].record
    with opened(first.directory) as (recorded, records):
        run = reopen_best(recorded, first.directory, records, top=1, epochs=6)
        resume_sweep(run, first.directory, records, allow_custom_model=True)
    found = epochs(first.directory)
    assert found.pop(best.number) == [1, 2, 3, 4, 5, 6]
    assert set(map(tuple, found.values())) == {(1, 2, 3, 4)}
    with (
        opened(first.directory) as (recorded, records),
        pytest.raises(SweepError, match="has already completed 6, found 6"),
    ):
        reopen_best(recorded, first.directory, records, top=1, epochs=6)


def test_an_edited_search_file_may_change_totals_and_not_the_space(tmp_path: Path) -> None:
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 1}, config=FOUR)
    outcome = start(spec)
    recorded, _ = open_sweep(outcome.directory)
    data = recorded.to_dict()
    data["tune"]["num_samples"] = 5
    data["resources"]["cpu"] = 2.0
    edited = tmp_path / "edited.yaml"
    edited.write_text(dump_yaml(data))
    accepted = merged(recorded, edited, outcome.directory)
    assert (accepted.tune.num_samples, accepted.resources.cpu) == (5, 2.0)

    data["space"] = {"optimizer.learning_rate": {"loguniform": [1e-3, 1.0]}}
    data["config"]["training"]["epochs"] = 9
    edited.write_text(dump_yaml(data))
    with pytest.raises(SweepError) as refused:
        merged(recorded, edited, outcome.directory)
    assert "config.training.epochs: 4 -> 9" in str(refused.value)
    assert "space.optimizer.learning_rate: " in str(refused.value)
    assert "tune.warm_start" in str(refused.value)
    assert "num_samples" not in str(refused.value)


def test_one_process_at_a_time_runs_a_sweep(tmp_path: Path) -> None:
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 1}, config=FOUR)
    outcome = start(spec)
    with opened(outcome.directory):
        result = CliRunner().invoke(cli.main, ["resume", str(outcome.directory)])
        assert result.exit_code == 2
        stop = CliRunner().invoke(cli.main, ["stop", str(outcome.directory)])
        assert stop.exit_code == 0
        assert (outcome.directory / "stop").exists()


@pytest.mark.parametrize(
    ("signals", "code"), [([signal.SIGINT], 130), ([signal.SIGTERM] * 2, 143)]
)
def test_a_signal_pauses_the_command(
    signals: list[signal.Signals],
    code: int,
    tmp_path: Path,
    project_environment: dict[str, str],
) -> None:
    config = {"training": {"epochs": 400}, "checkpoint": {"save_frequency": 1000}}
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 2}, config=config)
    (tmp_path / "search.yaml").write_text(dump_yaml(spec.to_dict()))
    process = subprocess.Popen(
        command("run", "search.yaml", "--allow-custom-model"),
        cwd=tmp_path,
        env=project_environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "sweep"
    try:
        deadline = time.monotonic() + 120
        while not any(epochs(metrics).values() if metrics.exists() else []):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for number in signals:
            os.kill(process.pid, number)
            time.sleep(0.1)
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code
    assert said.splitlines()[-1] == f"sweep resume {metrics}"
    for path in metrics.glob("*/checkpoints/*.pt"):
        torch.load(path, weights_only=True)
    assert {record.state for record in trials(metrics)} == {"paused"}

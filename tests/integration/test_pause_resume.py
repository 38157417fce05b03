"""Pausing and resuming: no epoch is lost or trained twice, and the output is true."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from sweeps.execution.resume import merge_edited, open_for_resume
from sweeps.results.stored_spec import open_sweep
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.records import Reason
from tests.integration.commands import invoke
from tests.integration.sweeping import epochs, pause_after, search, start, trials, watch
from tests.support import fake_driver
from trainable.artifacts.checkpoint import read_checkpoint
from trainable.config import load_config
from trainable.config.yaml_reader import dump_yaml
from trainable.experiment.fit import fit

pytestmark = pytest.mark.ray

EPOCHS, TRIALS = 4, 3
Pause = tuple[Reason, int, int]
"""Reason, exit code, and the number of results before it, which is in the middle of a trial."""

ONCE: list[Pause] = [("SIGINT", 130, 6)]
TWICE: list[Pause] = [("SIGINT", 130, 2), ("stop", 3, 3)]
"""A test below sends SIGTERM to a separate process; test_sweep.py has a pause by the time
budget."""


def one_by_one(directory: Path, count: int = TRIALS, **checkpoint: Any) -> SearchSpec:
    return search(
        directory,
        space={"optimizer.learning_rate": {"loguniform": [1e-2, 1.0]}},
        tune={"num_samples": count, "max_concurrent_trials": 1},
        config={
            "training": {"epochs": EPOCHS},
            "checkpoint": {"save_frequency": EPOCHS, **checkpoint},
        },
    )


def latest(directory: Path) -> dict[int, dict[str, Any]]:
    """Returns trial number -> its `latest.pt`, for trials that have one."""
    paths = {
        r.number: directory / r.directory / "checkpoints/latest.pt" for r in trials(directory)
    }
    return {n: torch.load(p, weights_only=True) for n, p in paths.items() if p.exists()}


def files_of_finished(directory: Path) -> dict[Path, int]:
    """Returns the modification time of every file of finished trials."""
    finished = [directory / r.directory for r in trials(directory) if r.state == "finished"]
    return {p: p.stat().st_mtime_ns for d in finished for p in (d, *d.rglob("*"))}


@dataclass(frozen=True)
class Part:
    """The result of one process of a sweep."""

    code: int
    output: str
    state: dict[str, Any]
    epochs: dict[int, list[int]]
    latest: dict[int, dict[str, Any]]
    ended: dict[Path, int]
    seen: list[tuple[str, int]]
    """Trial id and epoch of every result of this process."""


@dataclass(frozen=True)
class Parts:
    """A sweep that was paused at least once and finished by the last of its processes."""

    pauses: list[Pause]
    directory: Path
    first: Path
    """The directory of the first part, which was copied to the one above."""
    unchanged: bool
    """Whether the later parts left the first one's directory alone."""
    all: list[Part]


@pytest.fixture(
    scope="module",
    params=[ONCE, pytest.param(TWICE, marks=[pytest.mark.slow, pytest.mark.long])],
    ids=["once", "twice"],
)
def parts(
    request: pytest.FixtureRequest, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> Parts:
    """A sweep that was paused, each time for another reason, and then finished.

    After the first pause it goes on without Ray's files in another place, and at last it gets one
    more trial.
    """
    pauses: list[Pause] = request.param
    base = tmp_path_factory.mktemp("parts")
    first, moved = base / "sweep", base / "elsewhere" / "renamed"
    (base / "search.yaml").write_text(dump_yaml(one_by_one(base, TRIALS - 1).to_dict()))
    parts = [run_part(pauses[0], first, "run", base / "search.yaml")]
    shutil.copytree(first, moved)
    remove_rays_files(moved)
    before = snapshot(first)
    parts += [run_part(pause, moved, "resume", moved) for pause in pauses[1:]]
    parts.append(run_part(None, moved, "resume", moved, "--num-samples", TRIALS))
    return Parts(pauses, moved, first, snapshot(first) == before, parts)


def run_part(pause: Pause | None, directory: Path, *arguments: object) -> Part:
    with pytest.MonkeyPatch.context() as patch:
        seen = pause_after(patch, pause[2], pause[0]) if pause else watch(patch)
        result = invoke(*arguments, "--allow-custom-model")
    return Part(
        code=result.exit_code,
        output=result.stdout,
        state=json.loads((directory / "sweep.json").read_text()),
        epochs=epochs(directory),
        latest=latest(directory),
        ended=files_of_finished(directory),
        seen=seen,
    )


def remove_rays_files(directory: Path) -> None:
    """Leaves what a disk that filled up may leave of Ray's own files."""
    (directory / "tuner.pkl").write_bytes(b"")
    for path in directory.glob("experiment_state-*.json"):
        path.unlink()


def snapshot(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


def test_a_pause_saves_and_prints_the_command_to_resume(parts: Parts) -> None:
    for number, (reason, code, _) in enumerate(parts.pauses):
        part = parts.all[number]
        assert part.code == code
        directory = parts.directory if number else parts.first
        command = f"sweep resume {directory} --allow-custom-model"
        assert part.output.splitlines()[-1] == command
        assert "best so far" in part.output
        assert "best:" not in part.output
        assert (part.state["state"], part.state["reason"]) == ("paused", reason)
        reached = {trial: done[-1] for trial, done in part.epochs.items() if done}
        assert 0 < sum(reached.values()) < TRIALS * EPOCHS
        assert {trial: state["epoch"] for trial, state in part.latest.items()} == reached


def test_a_paused_and_extended_sweep_ends_like_an_uninterrupted_one(
    parts: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    assert_same: Callable[[Any, Any], None],
) -> None:
    """An uninterrupted sweep has the same values; trainings in this process give their weights."""
    last = parts.all[-1]
    assert last.code == 0
    assert (last.state["state"], last.state["reason"]) == ("finished", None)
    assert last.epochs == {number: [1, 2, 3, 4] for number in range(TRIALS)}
    assert len(parts.all) == len(parts.pauses) + 1
    fake_driver.install(monkeypatch, slots=1)
    whole = fake_driver.start(one_by_one(tmp_path)).directory
    assert [r.values for r in trials(parts.directory)] == [r.values for r in trials(whole)]
    for record in trials(parts.directory):
        config = load_config(parts.directory / record.directory / "config.yaml")
        checkpoint = config.checkpoint.model_copy(update={"dir": str(tmp_path / "alone")})
        alone = fit(config.model_copy(update={"checkpoint": checkpoint}), allow_custom_model=True)
        assert alone.directory is not None
        expected = read_checkpoint(alone.directory / "checkpoints" / "latest.pt")
        for key in ("model_state_dict", "optimizer_state_dict", "best_acc", "epoch"):
            assert_same(last.latest[record.number][key], expected[key])


def test_after_a_resume_the_limit_holds_and_interrupted_trials_run_first(parts: Parts) -> None:
    number = {record.id: record.number for record in trials(parts.directory)}
    for before, part in zip(parts.all, parts.all[1:], strict=False):
        reached = {n: done[-1] if done else 0 for n, done in before.epochs.items()}
        assert any(0 < epoch < EPOCHS for epoch in reached.values())
        missing = [(n, e) for n in range(TRIALS) for e in range(reached.get(n, 0) + 1, EPOCHS + 1)]
        seen = [(number[trial], epoch) for trial, epoch in part.seen]
        assert seen == missing[: len(seen)]


def test_files_of_finished_trials_stay_unchanged(parts: Parts) -> None:
    now = files_of_finished(parts.directory)
    assert parts.all[-2].ended
    for part in parts.all[1:]:
        assert part.ended.items() <= now.items()


def test_a_sweep_resumes_without_rays_files_and_from_another_location(parts: Parts) -> None:
    assert parts.directory != parts.first
    assert parts.all[-1].code == 0
    assert parts.unchanged


@pytest.mark.slow
def test_a_second_signal_stops_within_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = one_by_one(tmp_path, 1, save_frequency=1000, save_best=False)
    with monkeypatch.context() as patch:
        seen = pause_after(patch, 2, "SIGTERM", "SIGINT")
        outcome = start(spec)
    assert outcome.paused == "SIGTERM"
    assert [epoch for _, epoch in seen] == [1, 2], "the third epoch was not stopped"
    assert latest(outcome.directory) == {}


@pytest.mark.slow
@pytest.mark.long  # test_python_api.py has the same of the Python interface
def test_a_finished_sweep_is_extended_and_its_best_trial_trains_longer(
    tmp_path: Path,
) -> None:
    directory = start(one_by_one(tmp_path)).directory
    values = [record.values for record in trials(directory)]
    more = str(TRIALS + 1)
    assert (
        invoke("resume", directory, "--num-samples", more, "--allow-custom-model").exit_code == 0
    )
    assert [record.values for record in trials(directory)][:TRIALS] == values
    assert len(trials(directory)) == TRIALS + 1

    arguments = ("extend", directory, "--top", "1", "--epochs", "6", "--allow-custom-model")
    assert invoke(*arguments).exit_code == 0
    assert sorted(epochs(directory).values()) == [[1, 2, 3, 4]] * TRIALS + [[1, 2, 3, 4, 5, 6]]
    refused = invoke(*arguments)
    assert refused.exit_code == 2
    assert "has already completed 6, found 6" in refused.stderr


def test_an_edited_search_file_may_change_totals_but_not_the_space(
    parts: Parts, tmp_path: Path
) -> None:
    recorded, _ = open_sweep(parts.directory)
    data = recorded.to_dict()
    data["tune"]["num_samples"] = 5
    data["resources"]["cpu"] = 2.0
    edited = tmp_path / "edited.yaml"
    edited.write_text(dump_yaml(data))
    accepted = merge_edited(recorded, edited, parts.directory)
    assert (accepted.tune.num_samples, accepted.resources.cpu) == (5, 2.0)

    data["space"] = {"optimizer.learning_rate": {"loguniform": [1e-3, 1.0]}}
    data["config"]["training"]["epochs"] = 9
    edited.write_text(dump_yaml(data))
    with pytest.raises(SweepError) as refused:
        merge_edited(recorded, edited, parts.directory)
    assert "config.training.epochs: 4 -> 9" in str(refused.value)
    assert "space.optimizer.learning_rate: " in str(refused.value)
    assert "tune.warm_start" in str(refused.value)
    assert "num_samples" not in str(refused.value)


def test_a_sweep_runs_in_one_process_at_a_time(parts: Parts, tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    shutil.copytree(parts.directory, directory)
    with open_for_resume(directory):
        assert invoke("resume", directory).exit_code == 2
        assert invoke("pause", directory).exit_code == 0
        assert (directory / "stop").exists()


@pytest.mark.slow  # the same is tested above, inside this process
@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGTERM], 143),
        pytest.param([signal.SIGINT], 130, marks=pytest.mark.long),
        pytest.param([signal.SIGTERM] * 2, 143, marks=pytest.mark.long),
    ],
)
def test_a_signal_pauses_the_command(
    signals: list[signal.Signals],
    code: int,
    tmp_path: Path,
    project_environment: dict[str, str],
) -> None:
    spec = one_by_one(tmp_path, save_frequency=1000).to_dict()
    spec["config"]["training"]["epochs"] = 400
    (tmp_path / "search.yaml").write_text(dump_yaml(spec))
    program = "import sys; from sweeps.cli.main import main; main(prog_name='sweep')"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run", "search.yaml", "--allow-custom-model"],
        cwd=tmp_path,
        env=project_environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    directory = tmp_path / "sweep"
    try:
        deadline = time.monotonic() + 240
        while not any(epochs(directory).values() if directory.exists() else []):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for number in signals:
            os.kill(process.pid, number)
            time.sleep(0.1)
        output, _ = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == code
    assert output.splitlines()[-1] == f"sweep resume {directory.name} --allow-custom-model"
    for path in directory.glob("*/checkpoints/*.pt"):
        torch.load(path, weights_only=True)
    assert {record.state for record in trials(directory)} == {"paused"}

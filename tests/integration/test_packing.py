"""`resources.process: shared`: sweeps whose trials share one process, which may die."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sweeping import epochs, pause_after, resume, search, start, trials
from trainable.artifacts.checkpoint import read_checkpoint

pytestmark = pytest.mark.ray

SHARED = {"cpu": 1, "gpu": 0.5, "process": "shared"}
SPACE = {"optimizer.learning_rate": {"loguniform": [1e-3, 1.0]}}


def states(directory: Path) -> list[dict[str, Any]]:
    """Reads the last checkpoint of every trial, in order, without paths."""
    loaded = []
    for trial in trials(directory):
        state = read_checkpoint(directory / trial.directory / "checkpoints" / "latest.pt")
        del state["config"]["checkpoint"]
        loaded.append(state)
    return loaded


@pytest.mark.slow
@pytest.mark.long
def test_trials_in_a_shared_process_have_the_results_of_trials_in_their_own(
    tmp_path: Path, assert_same: Callable[[Any, Any], None]
) -> None:
    results = {}
    for process in ("trial", "shared"):
        directory = tmp_path / process
        directory.mkdir()
        resources = {**SHARED, "process": process}
        spec = search(directory, space=SPACE, tune={"num_samples": 4}, resources=resources)
        outcome = start(spec)
        assert [result.record.state for result in outcome.results] == ["finished"] * 4
        assert epochs(directory / "sweep") == {n: [1, 2, 3, 4] for n in range(4)}
        results[process] = states(directory / "sweep")
    assert_same(results["shared"], results["trial"])


@pytest.mark.slow
@pytest.mark.long
def test_trials_survive_the_loss_of_their_shared_process(tmp_path: Path) -> None:
    config = {
        "model": {"name": "failing_models:dies_once"},
        "training": {"test_frequency": 100},
        "checkpoint": {"save_frequency": 1},
    }
    spec = search(tmp_path, space=SPACE, tune={"num_samples": 2}, config=config, resources=SHARED)
    outcome = start(spec)
    assert [result.record.state for result in outcome.results] == ["finished"] * 2
    assert epochs(tmp_path / "sweep") == {n: [1, 2, 3, 4] for n in range(2)}
    failures = [failure for trial in trials(tmp_path / "sweep") for failure in trial.failures]
    assert {failure.cause for failure in failures} == {"lost_worker"}


@pytest.mark.slow
@pytest.mark.long
def test_a_trial_out_of_memory_is_retried_with_half_batches(tmp_path: Path) -> None:
    config = {
        "model": {"name": "failing_models:out_of_memory"},
        "training": {"batch_size": 256, "epochs": 1},
    }
    start(search(tmp_path, space=SPACE, tune={"num_samples": 1}, config=config, resources=SHARED))
    (trial,) = trials(tmp_path / "sweep")
    assert trial.state == "finished"
    assert [failure.cause for failure in trial.failures] == ["oom", "oom"]
    assert trial.changes == {"training.accumulation_steps": 4}


@pytest.mark.slow
@pytest.mark.long
def test_a_paused_sweep_with_shared_processes_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_same: Callable[[Any, Any], None]
) -> None:
    directories = {}
    for name in ("uninterrupted", "paused"):
        directory = tmp_path / name
        directory.mkdir()
        spec = search(directory, space=SPACE, tune={"num_samples": 3}, resources=SHARED)
        with monkeypatch.context() as patched:
            if name == "paused":
                pause_after(patched, 5)
            assert (start(spec).paused is None) == (name == "uninterrupted")
        directories[name] = directory / "sweep"
    assert resume(directories["paused"]).paused is None
    assert_same(states(directories["paused"]), states(directories["uninterrupted"]))


@pytest.mark.slow
@pytest.mark.long
def test_a_shared_process_may_use_all_hardware_queues_of_its_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_MAX_CONNECTIONS", raising=False)
    config = {"model": {"name": "environment_models:shows_hardware_queues"}}
    start(search(tmp_path, space=SPACE, tune={"num_samples": 1}, config=config, resources=SHARED))
    (trial,) = trials(tmp_path / "sweep")
    assert "32 hardware queues" in (tmp_path / "sweep" / trial.directory / "trial.log").read_text()

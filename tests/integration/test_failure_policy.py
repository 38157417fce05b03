"""Each cause of failure has its own policy, is recorded, and never stops the sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import TrialRecord
from tests.integration.commands import invoke
from tests.integration.sweeping import ONE_AT_A_TIME, epochs, search, trials
from tests.support.failing_by_classes import FAILURES
from tests.support.failing_models import (
    dies_once,
    not_a_number,
    out_of_memory,
    raises_late,
)
from tests.support.tiny_models import mlp
from trainable.config import load_config
from trainable.config.yaml_reader import dump_yaml

pytestmark = pytest.mark.ray

SPACE = {"training.batch_size": {"choice": [128]}}


def run(
    directory: Path,
    model: str,
    *,
    samples: int = 1,
    space: dict[str, Any] = SPACE,
    **more: Any,
) -> int:
    """Runs a sweep with the command; returns the exit code."""
    config = {
        "model": {"name": model},
        "training": {"epochs": 4, "test_frequency": 100},
        "checkpoint": {"save_frequency": 1},
    }
    spec = search(directory, space=space, tune={"num_samples": samples}, config=config, **more)
    (directory / "search.yaml").write_text(dump_yaml(spec.to_dict()))
    return invoke("run", directory / "search.yaml", "--allow-custom-model").exit_code


def only(directory: Path) -> TrialRecord:
    (record,) = trials(directory / "sweep")
    return record


@pytest.mark.slow
@pytest.mark.long
def test_out_of_memory_may_fail_a_trial_immediately_until_it_is_retried_by_command(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, "failing_models:out_of_memory", failure={"oom": "give_up"}) == 1
    assert only(tmp_path).state == "failed"
    retry = ("retry", tmp_path / "sweep", "--allow-custom-model", "--cause")
    assert invoke(*retry, "nan").exit_code == 0
    assert len(only(tmp_path).failures) == 1
    assert invoke(*retry, "oom").exit_code == 1
    assert [failure.cause for failure in only(tmp_path).failures] == ["oom", "oom"]


@pytest.fixture(scope="module")
def failed(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Exit code and directory of a sweep with a trial that fails and one that does not.

    The second trial starts in the worker of the first one.
    """
    return run_failing(tmp_path_factory.mktemp("failed"), mlp, raises_late)


@pytest.fixture(scope="module")
def others(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Exit code and directory of a sweep whose other trials fail in other ways."""
    directory = tmp_path_factory.mktemp("others")
    return run_failing(directory, dies_once, mlp, out_of_memory, not_a_number)


def run_failing(directory: Path, *models: Callable[..., Any]) -> tuple[int, Path]:
    """Runs a sweep with a trial for each model; returns its exit code and directory."""
    numbers = {model: number for number, model in FAILURES.items()}
    classes = [numbers[model] for model in models]
    space = {"model.num_classes": {"grid": classes}, **SPACE}
    code = run(
        directory,
        "failing_by_classes:model",
        samples=len(classes),
        space=space,
        failure={"max_retries": 1},
        resources=ONE_AT_A_TIME,
    )
    return code, directory / "sweep"


def find_trial(directory: Path, model: Callable[..., Any]) -> TrialRecord:
    """Returns the trial of a sweep that trained this model."""
    classes = next(number for number, failing in FAILURES.items() if failing is model)
    (record,) = [r for r in trials(directory) if r.values["model.num_classes"] == classes]
    return record


def assert_not_affected(sweep: tuple[int, Path]) -> None:
    """Asserts that the trial that does not fail has finished, and that the command says both."""
    code, directory = sweep
    assert code == 1
    record = find_trial(directory, mlp)
    assert (record.state, record.failures) == ("finished", [])


def test_a_failed_trial_does_not_affect_the_one_before(failed: tuple[int, Path]) -> None:
    assert_not_affected(failed)


@pytest.mark.slow
def test_failed_trials_do_not_affect_the_one_after(others: tuple[int, Path]) -> None:
    assert_not_affected(others)


@pytest.mark.slow
def test_out_of_memory_runs_alone_then_with_half_batches(others: tuple[int, Path]) -> None:
    record = find_trial(others[1], out_of_memory)
    assert record.state == "finished"
    assert [failure.cause for failure in record.failures] == ["oom", "oom"]
    assert "CUDA out of memory" in record.failures[0].message
    assert "forward" in record.failures[0].traceback
    assert record.changes == {"training.accumulation_steps": 2}
    config = load_config(others[1] / record.directory / "config.yaml")
    assert (config.training.batch_size, config.training.accumulation_steps) == (128, 2)
    events = EventLog(SweepLayout(others[1]).events_file).read()
    (memory,) = [event.memory for event in events if event.memory is not None]
    assert memory["device"].startswith("cpu (")
    assert (memory["trial"], memory["images"], memory["share"]) == (record.id, 128, 1.0)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_fails_the_trial(others: tuple[int, Path]) -> None:
    record = find_trial(others[1], not_a_number)
    assert record.state == "failed"
    (failure,) = record.failures
    assert failure.cause == "nan"
    assert "not finite" in failure.message
    assert failure.epoch == 1


@pytest.mark.slow
def test_a_trial_whose_worker_dies_continues_from_its_last_checkpoint(
    others: tuple[int, Path],
) -> None:
    record = find_trial(others[1], dies_once)
    assert record.state == "finished"
    (failure,) = record.failures
    assert failure.cause == "lost_worker"
    # It fails in the third epoch, which starts while the second one's checkpoint is written.
    assert failure.epoch in {1, 2}
    assert failure.checkpoint is not None
    assert epochs(others[1])[record.number] == [1, 2, 3, 4]


def test_a_trial_that_keeps_failing_continues_and_fails_after_max_retries(
    failed: tuple[int, Path],
) -> None:
    record = find_trial(failed[1], raises_late)
    assert record.state == "failed"
    assert [failure.cause for failure in record.failures] == ["error", "error"]
    assert record.failures[-1].message.startswith("RuntimeError: a bad day (failing_models.py:")
    assert [failure.epoch for failure in record.failures] == [2, 2]
    assert record.failures[0].checkpoint is not None
    assert epochs(failed[1])[record.number] == [1, 2]

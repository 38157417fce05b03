"""Trackers: what each client reads back is what `metrics.jsonl` has, every epoch once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.execution.launch import resume_sweep
from sweeps.execution.resume import open_for_resume
from sweeps.execution.run_options import RunOptions
from sweeps.spec.log_to import LogTo
from sweeps.sweep_dir.layout import SweepLayout
from tests.integration.sweeping import ONE_AT_A_TIME, pause_after, search, start
from tests.support.tracked_sweeps import (
    LOG_TO,
    Run,
    read_mlflow,
    read_optuna,
    read_trackio,
    read_wandb,
    recorded_rows,
    run_and_kill,
    run_tracked,
)

ENDS = {
    "mlflow": {
        "finished": "FINISHED/finished",
        "stopped": "FINISHED/stopped",
        "failed": "FAILED/failed",
    },
    "optuna": {"finished": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"},
}
"""Tracker -> the trial's state as the tracker has it, where it is another word."""


@pytest.fixture(scope="session", autouse=True)
def trackio_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One directory for this process, because Trackio reads it when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield


def read_back(tracker: str, directory: Path, name: str) -> dict[str, Run]:
    if tracker == "mlflow":
        return read_mlflow(f"sqlite:///{directory / 'mlflow.db'}", name)
    if tracker == "wandb":
        return read_wandb(directory)
    if tracker == "trackio":
        return read_trackio(name)
    return read_optuna(directory / "study.log", name)


def assert_read_back(tracker: str, directory: Path, name: str | None = None) -> None:
    """Asserts that a tracker has the trials of an ended sweep, and each epoch's metrics.

    Args:
        tracker: The tracker's key in `log_to`.
        directory: The sweep directory.
        name: The name that the sweep was started with, if that is another one.
    """
    runs = read_back(tracker, directory, name or directory.name)
    rows = recorded_rows(directory)
    records = {record.id: record for record in SweepLayout(directory).read_trials()}
    assert runs.keys() == records.keys()
    for trial, run in runs.items():
        expected = {row["epoch"]: row["val_acc"] for row in rows[trial]}
        assert {epoch: m["val_acc"] for epoch, m in run.epochs.items()} == expected
        state = records[trial].state
        assert run.state == ENDS.get(tracker, {}).get(state, state)
        for key, value in records[trial].values.items():
            if tracker != "optuna":  # which has those of the best epoch
                assert float(run.parameters[key]) == value


SLOW = pytest.mark.slow
LONG = [SLOW, pytest.mark.long]  # the next test has all trackers
TRACKERS = [
    "optuna",
    pytest.param("trackio", marks=SLOW),
    pytest.param("mlflow", marks=LONG),
    pytest.param("wandb", marks=LONG),
]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_population_that_was_paused_twice_is_read_back_as_recorded(
    tracker: str, tmp_path: Path
) -> None:
    directory = tmp_path / f"pbt_{tracker}"
    log_to = {tracker: LOG_TO[tracker]}
    for epochs in (7, 8, None):
        run_tracked(directory, "pbt", log_to, killed_after_epochs=epochs)
    assert_read_back(tracker, directory)


@SLOW
def test_all_trackers_go_on_in_the_same_runs_after_the_driver_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    run_and_kill(directory, "asha", 9)
    run_tracked(directory, "asha", LOG_TO)
    for tracker in LOG_TO:
        assert_read_back(tracker, directory)


@SLOW
@pytest.mark.long
@pytest.mark.ray
def test_a_real_sweep_reports_to_all_trackers_also_those_that_a_resume_adds(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = {name: LOG_TO[name] for name in ("trackio", "optuna")}
    spec = search(
        tmp_path,
        space={"optimizer.learning_rate": {"loguniform": [0.01, 1.0]}},
        tune={"num_samples": 3, "scheduler": {"name": "asha", "grace_period": 1}},
        resources=ONE_AT_A_TIME,
        log_to=added,
    )
    pause_after(monkeypatch, 3)
    assert start(spec).record.state == "paused"
    directory = (tmp_path / "sweep").rename(tmp_path / "real")  # the sweep moves, too
    with open_for_resume(directory) as (recorded, records):
        resumed = recorded.model_copy(update={"log_to": LogTo.model_validate(LOG_TO)})
        outcome = resume_sweep(resumed, directory, records, RunOptions(allow_custom_model=True))
    assert outcome.record.state == "finished"
    for tracker in LOG_TO:
        assert_read_back(tracker, directory, "sweep")

"""Runs scripted sweeps that report to trackers, and reads the runs back with each client.

As a script, it runs such a sweep and kills its own process: `python tracked_sweeps.py DIR EPOCHS`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.schedulers.build import build_scheduler
from sweeps.space.distributions import Range
from sweeps.spec.load import parse_search
from sweeps.spec.schedulers import ASHA, PBT
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import SweepRecord, now
from sweeps.trackers.switch import report_to_trackers
from tests.support.fake_tune import Killed, Process, Sweep
from tests.support.scripted_trainable import VALUE
from trainable.artifacts.metrics import Row, read_rows
from trainable.config.yaml_reader import dump_yaml

EPOCHS = 6
TRIALS = 5
SCHEDULERS: dict[str, Any] = {
    "asha": ASHA(name="asha", grace_period=2, reduction_factor=2),
    "pbt": PBT(name="pbt", perturbation_interval=2, quantile_fraction=0.4),
}
LOG_TO: dict[str, Any] = {"mlflow": {}, "wandb": {}, "trackio": {}, "optuna": "study.log"}


@dataclass
class Run:
    """A trial as a tracker has it."""

    state: str
    parameters: dict[str, Any]
    epochs: dict[int, dict[str, Any]]
    """Epoch -> the metrics that were logged for it."""


def build_spec(directory: Path, scheduler: str, log_to: dict[str, Any]) -> SearchSpec:
    """Builds the search file of a scripted sweep."""
    config = {
        "dataset": {"name": "digits"},
        "model": {"name": "resnet20"},
        "training": {"epochs": EPOCHS},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "checkpoint": {"enabled": True, "dir": str(directory.parent)},
    }
    data = {
        "name": directory.name,
        "config": config,
        "space": {VALUE: {"uniform": [0.01, 10.0]}},
        "tune": {"num_samples": TRIALS, "seed": 1, "scheduler": {"name": scheduler}},
        "log_to": log_to,
    }
    return parse_search(data, is_recorded=True)


def new_sweep(directory: Path, scheduler: str) -> Sweep:
    """Creates the script of a sweep, whose second trial fails in its fourth epoch with ASHA."""
    space = {VALUE: Range(0.01, 10.0)} if scheduler == "pbt" else {}

    def make() -> Any:
        section = SCHEDULERS[scheduler]
        return build_scheduler(section, space, metric="val_acc", mode="max", max_t=EPOCHS)

    fails = None if space else (1, 4)
    limit = TRIALS if space else 2
    return Sweep(directory, make, TRIALS, EPOCHS, slots=2, limit=limit, fails=fails, mutated=space)


def run_tracked(
    directory: Path,
    scheduler: str,
    log_to: dict[str, Any],
    *,
    killed_after_epochs: int | None = None,
    kill: Callable[[], None] | None = None,
) -> None:
    """Starts or resumes a scripted sweep that reports to trackers.

    Args:
        directory: The sweep directory.
        scheduler: A key of `SCHEDULERS`.
        log_to: The section of the search file.
        killed_after_epochs: Number of epochs after which the sweep stops.
        kill: Called then, before the trackers are closed.
    """
    sweep, spec = new_sweep(directory, scheduler), build_spec(directory, scheduler, log_to)
    layout = SweepLayout(directory)
    directory.mkdir(exist_ok=True)
    record = SweepRecord(directory.name, "running", now())
    layout.search_file.write_text(dump_yaml(spec.to_dict()))
    layout.write_sweep(record)
    process = Process(sweep, killed_after_epochs=killed_after_epochs)
    with report_to_trackers(spec, directory):
        try:
            process.run()
        except Killed:
            record.state = "paused"
            if kill is not None:
                kill()
        else:
            record.state = "finished"
        layout.write_sweep(record)


def run_and_kill(directory: Path, scheduler: str, epochs: int) -> None:
    """Runs a scripted sweep with all trackers in a process that is killed with SIGKILL."""
    words = [sys.executable, __file__, str(directory), scheduler, str(epochs)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def recorded_rows(directory: Path) -> dict[str, list[Row]]:
    """Returns trial id -> rows of `metrics.jsonl`."""
    return {
        record.id: read_rows(directory / record.directory / "metrics.jsonl")
        for record in SweepLayout(directory).read_trials()
    }


def read_mlflow(uri: str, experiment: str) -> dict[str, Run]:
    """Reads the child runs of the only sweep of an experiment with MLflow's client."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    identifier = client.get_experiment_by_name(experiment).experiment_id
    runs = client.search_runs([identifier], max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {}
    for run in runs:
        if run is parent:
            continue
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        points = [
            point
            for key in run.data.metrics
            for point in client.get_metric_history(run.info.run_id, key)
        ]
        twice = [key for key, n in Counter((p.key, p.step) for p in points).items() if n > 1]
        assert twice == []
        epochs: dict[int, dict[str, Any]] = {}
        for point in points:
            epochs.setdefault(point.step, {})[point.key] = point.value
        assert run.info.run_name not in children
        states = run.info.status, run.data.tags["state"]
        children[run.info.run_name] = Run("/".join(states), dict(run.data.params), epochs)
    return children


def read_trackio(project: str) -> dict[str, Run]:
    """Reads the runs of a project with Trackio's client, from `TRACKIO_DIR`."""
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    runs = {}
    for run in trackio.Api().runs(project):
        logs = [log for log in SQLiteStorage.get_logs(project, run_id=run.id) if log["step"]]
        steps = [log["step"] for log in logs]
        assert len(steps) == len(set(steps))
        fixed = {"step", "timestamp"}
        epochs = {log["step"]: {k: v for k, v in log.items() if k not in fixed} for log in logs}
        assert run.name not in runs
        config = run.config or {}
        runs[run.name] = Run(config["state"], config, epochs)
    return runs


def read_wandb(directory: Path) -> dict[str, Run]:
    """Reads the offline runs of a sweep with `wandb leet inspect`."""
    runs = {}
    for path in sorted(directory.glob("wandb/offline-run-*/*.wandb")):
        words = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json"]
        done = subprocess.run([*words, str(path)], capture_output=True, text=True, check=True)
        records = [json.loads(line) for line in done.stdout.splitlines()]
        (run,) = [record["run"] for record in records if record["type"] == "run"]
        rows = [flatten(record["history"]) for record in records if record["type"] == "history"]
        summary: dict[str, Any] = {}
        for record in records:
            if record["type"] == "summary":
                summary |= record["summary"]["update"]
        steps = [row["_step"] for row in rows]
        assert len(steps) == len(set(steps))
        epochs = {
            row["_step"]: {key: value for key, value in row.items() if not key.startswith("_")}
            for row in rows
        }
        assert run["display_name"] not in runs
        runs[run["display_name"]] = Run(summary["state"], run["config"]["update"], epochs)
    return runs


def flatten(history: dict[str, Any]) -> dict[str, Any]:
    """Returns the numbers of a history record, in whichever form the reader prints them."""
    values = history.get("item", history)
    if isinstance(values, list):
        return {item["key"]: item["value"] for item in values}
    return dict(values)


def read_optuna(path: Path, name: str) -> dict[str, Run]:
    """Reads the trials of a study in a journal with Optuna."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    storage = JournalStorage(JournalFileBackend(str(path)))
    runs = {}
    for trial in optuna.load_study(study_name=name, storage=storage).trials:
        epochs = {epoch: {"val_acc": value} for epoch, value in trial.intermediate_values.items()}
        runs[trial.user_attrs["trial"]] = Run(trial.state.name, trial.params, epochs)
    return runs


if __name__ == "__main__":
    run_tracked(
        Path(sys.argv[1]),
        sys.argv[2],
        LOG_TO,
        killed_after_epochs=int(sys.argv[3]),
        kill=lambda: os.kill(os.getpid(), signal.SIGKILL),
    )

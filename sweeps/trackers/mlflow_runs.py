"""Reports a sweep to MLflow: one parent run per sweep with one child run per trial."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from sweeps.sweep_dir.layout import MLFLOW_DATABASE
from sweeps.trackers.update import (
    PASSING,
    Fingerprint,
    SweepInfo,
    TrialUpdate,
    fingerprint_of,
    numbers_of,
    parameters_of,
    rows_to_send,
)
from trainable.artifacts.metrics import Row
from trainable.atomic_files import TEMPORARY_SUFFIX

ARTIFACTS = "mlflow-artifacts"
"""The default experiment's directory for artifacts, which nothing writes to."""
SWEEP_TAG, TRIAL_TAG = "tune_sweeps.sweep", "tune_sweeps.trial"
MAX_METRICS, MAX_PARAMETERS = 1000, 100
"""Limits of one request."""
MAX_VALUE_CHARS = 5000
"""Characters of a parameter or tag, which MLflow limits to 6000 and 8000."""
STATUSES = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
"""State in which a trial has ended -> status of its run."""
SWEEP_STATUSES = {"finished": "FINISHED", "failed": "FAILED"}


class MLflowRuns:
    """See `Runs`."""

    def __init__(self, sweep: SweepInfo) -> None:
        self._sweep = sweep
        uri = sweep.settings["tracking_uri"]
        self._is_own = uri is None
        if uri is None:
            database = Path(sweep.directory) / MLFLOW_DATABASE
            create_database(database)
            uri = f"sqlite:///{database}"
        self._client = MlflowClient(uri)
        self._experiment = ""
        self._parent = ""
        self._runs: dict[str, str] = {}
        self._sent: dict[str, dict[int, Fingerprint]] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def open(self) -> bool:
        """See `Runs`."""
        sweep = self._sweep
        self._experiment = self._open_experiment(sweep.settings["experiment"] or sweep.name)
        tags = {SWEEP_TAG: sweep.id, "mlflow.source.name": "tune-sweeps"}
        parent = self._find("")
        is_known = parent is not None
        if parent is None:
            tags[TRIAL_TAG] = ""
            run = self._client.create_run(self._experiment, tags=tags, run_name=sweep.name)
            parent = run.info.run_id
            self._client.log_batch(parent, params=_parameters(sweep.attributes))
        self._parent = parent
        self._client.update_run(parent, status="RUNNING")
        self._set_tags(parent, {"directory": sweep.location, "state": "running"})
        return is_known

    def update(self, trial: TrialUpdate) -> None:
        """See `Runs`."""
        if trial.id not in self._runs:
            self._open_run(trial)
        rows = rows_to_send(trial, self._sweep.metric, self._sent[trial.id])
        if rows is None:
            self._client.delete_run(self._runs[trial.id])
            self._create_run(trial)
            rows = trial.rows
        run = self._runs[trial.id]
        started_ms = _milliseconds(trial.record.started or trial.record.created)
        wanted = {row["epoch"] for row in rows}
        for points in _batches(_metrics(trial.rows, wanted, started_ms)):
            self._client.log_batch(run, metrics=points)
        sent = self._sent[trial.id]
        sent |= {row["epoch"]: fingerprint_of(row, self._sweep.metric) for row in rows}
        self._set_tags(run, trial.summary(self._sweep))
        status = STATUSES.get(trial.record.state, "RUNNING")
        if status == "RUNNING":
            return
        end_ms = _milliseconds(trial.record.ended) if trial.record.ended else None
        self._client.set_terminated(run, status, end_ms)
        del self._runs[trial.id], self._sent[trial.id], self._tags[run]

    def close(self, state: str) -> None:
        """See `Runs`."""
        self._set_tags(self._parent, {"state": state})
        if state in SWEEP_STATUSES:
            self._client.set_terminated(self._parent, SWEEP_STATUSES[state])

    def _open_experiment(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        artifacts = (Path(self._sweep.directory) / ARTIFACTS).as_uri() if self._is_own else None
        return str(self._client.create_experiment(name, artifact_location=artifacts))

    def _find(self, trial: str) -> str | None:
        """Returns the id of a trial's run; of the sweep's for an empty id."""
        condition = f"tags.`{SWEEP_TAG}` = '{self._sweep.id}' and tags.`{TRIAL_TAG}` = '{trial}'"
        runs = self._client.search_runs([self._experiment], condition, max_results=1)
        if not runs:
            return None
        run = str(runs[0].info.run_id)
        self._tags[run] = dict(runs[0].data.tags)
        return run

    def _open_run(self, trial: TrialUpdate) -> None:
        """Finds the trial's run and the epochs that it has, or creates it."""
        run = self._find(trial.id)
        if run is None:
            self._create_run(trial)
            return
        self._runs[trial.id] = run
        self._sent[trial.id] = self._read_sent(run, trial)
        if not trial.has_ended:
            self._client.update_run(run, status="RUNNING")

    def _read_sent(self, run: str, trial: TrialUpdate) -> dict[int, Fingerprint]:
        """Returns the fingerprints of the epochs that a run has."""
        metrics: dict[int, dict[str, float]] = {}
        keys = {self._sweep.metric, "train_loss", "val_loss"}
        for key in keys & {key for row in trial.rows for key in numbers_of(row)}:
            for point in self._client.get_metric_history(run, key):
                metrics.setdefault(point.step, {})[key] = point.value
        return {epoch: fingerprint_of(row, self._sweep.metric) for epoch, row in metrics.items()}

    def _create_run(self, trial: TrialUpdate) -> None:
        record = trial.record
        tags = {
            SWEEP_TAG: self._sweep.id,
            TRIAL_TAG: trial.id,
            "mlflow.parentRunId": self._parent,
            "mlflow.source.name": "tune-sweeps",
        }
        started_ms = _milliseconds(record.started or record.created)
        created = self._client.create_run(
            self._experiment, start_time=started_ms, tags=tags, run_name=trial.id
        )
        self._runs[trial.id], self._sent[trial.id] = created.info.run_id, {}
        parameters = _parameters(parameters_of(record))
        for start in range(0, len(parameters), MAX_PARAMETERS):
            part = parameters[start : start + MAX_PARAMETERS]
            self._client.log_batch(created.info.run_id, params=part)

    def _set_tags(self, run: str, facts: dict[str, Any]) -> None:
        """Sets the tags of a run that have changed, and deletes those that do not hold."""
        tags = {key: str(value)[:MAX_VALUE_CHARS] for key, value in facts.items()}
        present = self._tags.setdefault(run, {})
        changed = {key: value for key, value in tags.items() if present.get(key) != value}
        if changed:
            self._client.log_batch(run, tags=[RunTag(*tag) for tag in changed.items()])
        for key in PASSING & present.keys() - tags.keys():
            self._client.delete_tag(run, key)
            del present[key]
        present |= changed


def create_database(path: Path) -> None:
    """Creates MLflow's tables in a new SQLite file, unless it exists.

    It gets its name when it is complete: MLflow cannot open one whose creation was interrupted.
    """
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}")
    MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)
    temporary.replace(path)


def _parameters(values: dict[str, Any]) -> list[Param]:
    return [Param(key, str(value)[:MAX_VALUE_CHARS]) for key, value in values.items()]


def _batches(points: Iterator[Metric]) -> Iterator[list[Metric]]:
    """Yields metrics in batches of whole epochs: what was sent before a kill has no half epoch."""
    batch: list[Metric] = []
    for _, group in groupby(points, key=lambda point: point.step):
        epoch = list(group)
        if len(batch) + len(epoch) > MAX_METRICS:
            yield batch
            batch = []
        batch += epoch
    if batch:
        yield batch


def _metrics(rows: list[Row], epochs: set[int], started_ms: int) -> Iterator[Metric]:
    """Yields the metrics of some epochs at the times at which they have ended.

    The time follows from the rows, so that a metric that is sent twice is the same one.
    """
    time_ms = float(started_ms)
    for row in rows:
        time_ms += 1000 * float(row.get("epoch_s") or 0)
        if row["epoch"] in epochs:
            for key, value in numbers_of(row).items():
                yield Metric(key, float(value), int(time_ms), row["epoch"])


def _milliseconds(text: str | None) -> int:
    if text is None:
        return int(time.time() * 1000)
    return int(datetime.fromisoformat(text).timestamp() * 1000)

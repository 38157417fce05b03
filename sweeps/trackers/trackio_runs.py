"""Reports a sweep to Trackio: one run per trial, in one group per sweep.

The rows go into Trackio's database by `SQLiteStorage.bulk_log`, as in `trackio.import_csv`.
`trackio.init` would repeat epochs on a resume and cannot change a run's config when a trial ends.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import trackio
from trackio.sqlite_storage import SQLiteStorage

from sweeps.trackers.update import (
    Fingerprint,
    SweepInfo,
    TrialUpdate,
    fingerprint_of,
    numbers_of,
    parameters_of,
    rows_to_send,
)
from trainable.artifacts.metrics import Row

START_STEP = 0
"""Step of an entry without metrics, with which a run begins before its first epoch."""


class TrackioRuns:
    """See `Runs`."""

    def __init__(self, sweep: SweepInfo) -> None:
        self._sweep = sweep
        self._project = sweep.settings["project"] or re.sub(r"[^\w.-]", "_", sweep.name)[:128]
        self._sent: dict[str, dict[int, Fingerprint]] = {}
        self._configs: dict[str, dict[str, Any]] = {}

    def open(self) -> bool:
        """See `Runs`."""
        SQLiteStorage.validate_project_name(self._project)
        is_known = SQLiteStorage.get_project_db_path(self._project).exists()
        SQLiteStorage.init_db(self._project)
        return is_known

    def update(self, trial: TrialUpdate) -> None:
        """See `Runs`."""
        if trial.id not in self._sent:
            self._sent[trial.id] = self._read_sent(trial)
        rows = rows_to_send(trial, self._sweep.metric, self._sent[trial.id])
        if rows is None:
            self._delete_run(trial)
            rows = trial.rows
            self._sent[trial.id] = {}
        self._log(trial, rows)
        for row in rows:
            self._sent[trial.id][row["epoch"]] = fingerprint_of(row, self._sweep.metric)
        if trial.has_ended:
            del self._sent[trial.id]
            self._configs.pop(trial.id, None)

    def close(self, state: str) -> None:
        """See `Runs`."""
        del state

    def _run_id(self, trial: TrialUpdate) -> str:
        return f"{self._sweep.id}-{trial.id}"

    def _read_sent(self, trial: TrialUpdate) -> dict[int, Fingerprint]:
        """Returns the fingerprints of the epochs that the trial's run has."""
        logs = SQLiteStorage.get_logs(self._project, trial.id, run_id=self._run_id(trial))
        metric = self._sweep.metric
        return {log["step"]: fingerprint_of(log, metric) for log in logs if log["step"]}

    def _delete_run(self, trial: TrialUpdate) -> None:
        for run in trackio.Api().runs(self._project):
            if run.id == self._run_id(trial):
                run.delete()
        self._configs.pop(trial.id, None)

    def _log(self, trial: TrialUpdate, rows: list[Row]) -> None:
        """Writes epochs and the run's config, if there is anything new."""
        record, run_id = trial.record, self._run_id(trial)
        config = {
            **parameters_of(record),
            **trial.summary(self._sweep),
            "sweep": self._sweep.location,
            "_Group": self._sweep.name,
            "_Created": record.started or record.created,
            "_Username": None,
        }
        if not rows and config == self._configs.get(trial.id):
            return
        time = datetime.fromisoformat(record.started or record.created).astimezone(UTC)
        entries: list[tuple[int, str, dict[str, float]]] = [(START_STEP, time.isoformat(), {})]
        wanted = {row["epoch"] for row in rows}
        for row in trial.rows:
            time += timedelta(seconds=float(row.get("epoch_s") or 0))
            if row["epoch"] in wanted:
                entries.append((row["epoch"], time.isoformat(), numbers_of(row)))
        steps, times, metrics = (list(column) for column in zip(*entries, strict=True))
        SQLiteStorage.bulk_log(
            self._project,
            trial.id,
            metrics,
            steps,
            times,
            config=config,
            log_ids=[f"{run_id}-{step}" for step in steps],  # an entry that is there is kept
            run_id=run_id,
        )
        self._configs[trial.id] = config

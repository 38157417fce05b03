"""Reports a sweep to Weights & Biases: one run per trial, in one group per sweep."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import wandb

from sweeps.sweep_dir.layout import WANDB_FOLDER
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

SYNCED = "*.synced"
"""File that `wandb sync` leaves in the directory of a run that it has sent."""
JOB_TYPE = "trial"


class WandbRuns:
    """See `Runs`.

    W&B's client cannot continue an offline run. The run of a trial that goes on is written anew,
    under the same id and with all epochs, and the older directory is deleted unless it was sent
    already. Sending both leads to one run whose epochs are those of the newer directory.

    An online run is continued, and keeps the first metrics of an epoch that is trained again.
    """

    def __init__(self, sweep: SweepInfo) -> None:
        self._sweep = sweep
        self._is_online = sweep.settings["mode"] == "online"
        self._project = sweep.settings["project"] or re.sub(r"[^\w.-]", "_", sweep.name)[:128]
        self._runs: dict[str, wandb.Run] = {}
        self._sent: dict[str, dict[int, Fingerprint]] = {}
        self._first_step: dict[str, int] = {}
        self._summaries: dict[str, dict[str, Any]] = {}

    def open(self) -> bool:
        """See `Runs`."""
        return True

    def update(self, trial: TrialUpdate) -> None:
        """See `Runs`."""
        if trial.id not in self._runs:
            self._open_run(trial)
        metric = self._sweep.metric
        rows = rows_to_send(trial, metric, self._sent[trial.id])
        if rows is None and self._is_online:
            rows = [row for row in trial.rows if row["epoch"] not in self._sent[trial.id]]
        elif rows is None:
            self._runs.pop(trial.id).finish()
            self._open_run(trial)
            rows = trial.rows
        run = self._runs[trial.id]
        for row in rows:
            if row["epoch"] >= self._first_step[trial.id]:
                run.log(numbers_of(row), step=row["epoch"])
            self._sent[trial.id][row["epoch"]] = fingerprint_of(row, metric)
        self._set_summary(trial.id, trial.summary(self._sweep))
        if trial.has_ended:
            self._finish(trial.id, exit_code=int(trial.record.state == "failed"))

    def close(self, state: str) -> None:
        """See `Runs`."""
        del state
        for trial_id in list(self._runs):
            self._finish(trial_id, exit_code=0)

    def _open_run(self, trial: TrialUpdate) -> None:
        sweep = self._sweep
        run_id = f"{sweep.id}-{trial.id}"
        if not self._is_online:
            _delete_unsent(Path(sweep.directory) / WANDB_FOLDER, run_id)
        run = wandb.init(
            project=self._project,
            id=run_id,
            name=trial.id,
            group=sweep.name,
            job_type=JOB_TYPE,
            dir=sweep.directory,
            config={**parameters_of(trial.record), "sweep": sweep.location},
            mode="online" if self._is_online else "offline",
            resume="allow" if self._is_online else None,
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                disable_code=True,
                disable_git=True,
                save_code=False,
                silent=True,
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        self._runs[trial.id], self._sent[trial.id] = run, {}
        self._summaries.pop(trial.id, None)
        self._first_step[trial.id] = run.step if run.resumed else 0

    def _set_summary(self, trial_id: str, facts: dict[str, Any]) -> None:
        """Sets the facts that have changed, and empties those that do not hold any more."""
        summary = self._summaries.setdefault(trial_id, {})
        lost = dict.fromkeys(PASSING & summary.keys() - facts.keys(), "")
        changed = {k: v for k, v in (lost | facts).items() if summary.get(k) != v}
        if changed:
            self._runs[trial_id].summary.update(changed)
        summary |= changed

    def _finish(self, trial_id: str, *, exit_code: int) -> None:
        self._runs.pop(trial_id).finish(exit_code=exit_code)
        del self._sent[trial_id], self._first_step[trial_id]
        self._summaries.pop(trial_id, None)


def _delete_unsent(folder: Path, run_id: str) -> None:
    """Deletes the directories of earlier parts of an offline run that were not sent yet."""
    for directory in folder.glob(f"offline-run-*-{run_id}"):
        if not any(directory.glob(SYNCED)):
            shutil.rmtree(directory, ignore_errors=True)

"""Writes each trial's `result.json`, from which Tune's `ResultGrid` reads the metrics.

Tune's own logger writes three files per trial at every start and one at every result. They are not
read before the end and `metrics.jsonl` has the same content, so they are created from it then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.air.constants import EXPR_RESULT_FILE, TRAINING_ITERATION
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.sweep_dir.records import TrialRecord
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.names import METRICS_FILE
from trainable.atomic_files import TEMPORARY_SUFFIX


class ResultFilesCallback(Callback):
    """Writes the files before Tune creates its `ResultGrid`.

    Args:
        directory: The sweep directory.
        records: Trial id -> record, shared with the trial source.
    """

    def __init__(self, directory: Path, records: Mapping[str, TrialRecord]) -> None:
        self._directory = directory
        self._records = records
        self._ran: set[str] = set()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Notes that a trial runs in this process, so its file has to be written."""
        del iteration, trials, info
        self._ran.add(trial.trial_id)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Writes the files; that of a trial without a complete epoch is empty."""
        del info
        for trial in trials:
            directory = self._directory / self._records[trial.trial_id].directory
            path = directory / EXPR_RESULT_FILE
            if trial.trial_id in self._ran or not path.exists():
                write_rows(path, trial.trial_id, read_rows(directory / METRICS_FILE))


def write_rows(path: Path, trial_id: str, rows: list[dict[str, Any]]) -> None:
    """Replaces a trial's `result.json`, without fsync: it can be created again.

    Args:
        path: The file.
        trial_id: The trial's id.
        rows: Metrics, one row per epoch.
    """
    lines = [
        json.dumps({**row, TRAINING_ITERATION: row["epoch"], "trial_id": trial_id}) for row in rows
    ]
    temporary = path.with_name(f".{path.name}.{trial_id}{TEMPORARY_SUFFIX}")
    try:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

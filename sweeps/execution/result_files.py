"""`result.json` of each trial: where Tune's `ResultGrid` looks for the metrics of its epochs.

Tune's own logger writes to three files a trial at every start and to one at every result. Nobody
reads them before the end, and `metrics.jsonl` has the same: they are made of it then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.air.constants import EXPR_RESULT_FILE, TRAINING_ITERATION
from ray.tune import Callback
from ray.tune.experiment import Trial

from sweeps.sweep_dir.layout import TrialRecord
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.names import METRICS_FILE
from trainable.atomic_files import TEMPORARY_SUFFIX


class GridFiles(Callback):
    """Writes them before Tune makes its `ResultGrid`.

    Args:
        directory: The sweep's.
        records: Trial id -> record, shared with the trial source.
    """

    def __init__(self, directory: Path, records: Mapping[str, TrialRecord]) -> None:
        self._directory = directory
        self._records = records
        self._ran: set[str] = set()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial runs in this process: its file will be behind."""
        del iteration, trials, info
        self._ran.add(trial.trial_id)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Brings the files up to date; where no epoch is complete, an empty one."""
        del info
        for trial in trials:
            directory = self._directory / self._records[trial.trial_id].directory
            path = directory / EXPR_RESULT_FILE
            if trial.trial_id in self._ran or not path.exists():
                write_rows(path, trial.trial_id, read_rows(directory / METRICS_FILE))


def write_rows(path: Path, trial_id: str, rows: list[dict[str, Any]]) -> None:
    """Replaces a trial's `result.json`; nothing is lost with it, so it is not put on disk at once.

    Args:
        path: Its.
        trial_id: The trial's.
        rows: Metrics, a row an epoch.
    """
    more = {"trial_id": trial_id}
    lines = [json.dumps({**row, TRAINING_ITERATION: row["epoch"], **more}) for row in rows]
    temporary = path.with_name(f".{path.name}.{trial_id}{TEMPORARY_SUFFIX}")
    temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    temporary.replace(path)

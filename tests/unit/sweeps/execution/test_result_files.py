"""`result.json` is written at the end of a run, from the metrics of the trials that it ran."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sweeps.execution.result_files import ResultFilesCallback
from sweeps.sweep_dir.records import TrialRecord
from trainable.artifacts.metrics import MetricsFile


def trial(directory: Path, number: int, epochs: int) -> Any:
    """Writes the metrics of a trial and returns it with its record."""
    id_ = f"{number:04}aaaa"
    path = directory / f"trial_{id_}"
    path.mkdir()
    for epoch in range(1, epochs + 1):
        MetricsFile(path / "metrics.jsonl").append({"epoch": epoch, "val_acc": epoch / 10})
    record = TrialRecord(id_, number, path.name, {})
    return SimpleNamespace(trial_id=id_, record=record, path=path)


def rows(trial: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trial.path / "result.json").read_text().splitlines()]


def test_every_epoch_is_a_row_with_tunes_keys(tmp_path: Path) -> None:
    ran, idle = trial(tmp_path, 0, 2), trial(tmp_path, 1, 0)
    files = ResultFilesCallback(tmp_path, {t.trial_id: t.record for t in (ran, idle)})
    files.on_trial_start(0, [], ran)
    files.on_experiment_end([ran, idle])
    assert rows(ran) == [
        {"epoch": 1, "val_acc": 0.1, "training_iteration": 1, "trial_id": ran.trial_id},
        {"epoch": 2, "val_acc": 0.2, "training_iteration": 2, "trial_id": ran.trial_id},
    ]
    assert rows(idle) == []
    assert sorted(path.name for path in ran.path.iterdir()) == ["metrics.jsonl", "result.json"]


def test_the_file_of_a_trial_that_ended_in_an_earlier_run_is_left_alone(
    tmp_path: Path,
) -> None:
    before, again = trial(tmp_path, 0, 2), trial(tmp_path, 1, 2)
    for t in (before, again):
        (t.path / "result.json").write_text("{}\n")
    files = ResultFilesCallback(tmp_path, {t.trial_id: t.record for t in (before, again)})
    files.on_trial_start(0, [], again)
    files.on_experiment_end([before, again])
    assert rows(before) == [{}]
    assert [row["epoch"] for row in rows(again)] == [1, 2]

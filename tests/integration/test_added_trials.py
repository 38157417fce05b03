"""Configurations that are added to, and trials retried in, a sweep without a driver.

The Python API sends the requests; the product's driver with the fake of Tune's loop resumes.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from sweeps import load_sweep
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.layout import SweepLayout
from tests.support import fake_driver
from tests.support.scripted_trainable import VALUE

pytestmark = pytest.mark.ray

TPE = {
    "num_samples": 3,
    "max_concurrent_trials": 1,
    "search_alg": {"name": "tpe", "n_startup_trials": 2},
    "scheduler": {"name": "fifo"},
}


def start(directory: Path, monkeypatch: pytest.MonkeyPatch, **fake: Any) -> Path:
    fake_driver.install(monkeypatch, slots=1, **fake)
    spec = fake_driver.new_spec(directory, TPE, failure={"max_retries": 0})
    return fake_driver.start(spec).directory


@pytest.mark.parametrize("changes", [{}, {"num_samples": 1}], ids=["same", "below_what_began"])
def test_a_finished_sweep_trains_what_is_added_when_it_is_resumed(
    changes: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = start(tmp_path, monkeypatch)
    sweep = load_sweep(directory)
    before = [result.record for result in sweep.files.results]
    inside = sweep.add({VALUE: 0.05})
    outside = sweep.add({VALUE: 7.0}, like=before[0].id)
    with pytest.raises(SweepError, match="did you mean"):
        sweep.add({"optimizer.learning_rat": 0.1})
    with pytest.raises(SweepError, match="only a running sweep suggests"):
        sweep.suggest()
    waiting = sweep.reload()
    assert (waiting.state, waiting.files.total) == ("paused", 5)
    assert sweep.wait().state == "paused"
    outcome = fake_driver.resume(directory, **changes)
    assert (outcome.record.state, sweep.reload().files.total) == ("finished", 5)
    trials = {record.id: record for record in SweepLayout(directory).read_trials()}
    assert [trials[id_].values for id_ in (inside, outside)] == [{VALUE: 0.05}, {VALUE: 7.0}]
    assert [record.id for record in trials.values() if record.added] == [inside, outside]
    assert all(record.state == "finished" for record in trials.values())
    assert [trials[record.id] for record in before] == before
    with SweepLayout(directory).trials_csv.open() as file:
        added = {row["trial"]: row["added"] for row in csv.DictReader(file)}
    assert added == {id_: str(id_ in {inside, outside}).lower() for id_ in trials}


def test_a_failed_trial_is_retried_when_the_sweep_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = start(tmp_path, monkeypatch, fails=(1, 3))
    sweep = load_sweep(directory)
    (failed,) = (r.record for r in sweep.files.results if r.record.state == "failed")
    sweep.retry_trial(failed.id[:6])
    with pytest.raises(SweepError, match="has not failed"):
        sweep.retry_trial(failed.id)
    assert fake_driver.resume(directory).record.state == "finished"
    retried = load_sweep(directory).trial(failed.id)
    assert (retried.record.state, len(retried.record.failures)) == ("finished", 1)
    assert list(retried.curve["epoch"]) == [1, 2, 3, 4]

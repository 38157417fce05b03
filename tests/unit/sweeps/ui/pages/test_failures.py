"""Failures by cause."""

import json
from pathlib import Path

from sweeps.report.failure_groups import failures_note, group_failures
from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import Failure, TrialState
from sweeps.ui.cached_sweep import CachedSweep
from sweeps.ui.pages.failures import TRACEBACK_LINES, failure_list
from tests.support.fake_sweeps import FakeSweep


def write(directory: Path) -> Path:
    """Writes a sweep with three failures for lack of memory, one recovered, and another one."""
    states: dict[int, TrialState] = {0: "failed", 1: "failed", 3: "failed", 2: "finished"}
    FakeSweep(directory, trials=6, states=states).write()
    layout = SweepLayout(directory)
    lines = "".join(f"  line {number}\n" for number in range(40))
    for record in layout.read_trials()[:3]:
        message = f"out of memory: {record.number + 1}.5 GiB"
        time = f"2026-01-15T15:0{record.number}:00+00:00"
        trace = f"Traceback\n{lines}OutOfMemoryError: <script>alert(1)</script>"
        record.failures = [Failure("oom", message, trace, record.number, None, time)]
        layout.write_trial(record)
    record = layout.read_trials()[3]
    record.failures = [Failure("error", "KeyError: 'x'", "", 0, None, "2026-01-15T15:00:00")]
    layout.write_trial(record)
    return directory


def test_messages_that_differ_by_numbers_are_one_group(tmp_path: Path) -> None:
    sweep = load(write(tmp_path / "sweep"))
    memory, other = group_failures(sweep.results)
    assert [r.record.number for r in memory.trials] == [0, 1, 2]
    assert [r.record.number for r in memory.failed] == [0, 1]
    assert memory.newest.message == "out of memory: 3.5 GiB"
    assert [r.record.number for r in other.trials] == [3]
    assert failures_note(sweep) == (
        "4 failures: 3 oom, 1 error. 3 trials ended as failed. 1 trial recovered by a retry."
    )


def test_a_group_has_the_end_of_its_traceback_its_trials_and_the_command(tmp_path: Path) -> None:
    directory = write(tmp_path / "sweep")
    view = CachedSweep("sweep", directory).view()
    again, memory, other = (
        json.dumps(part.to_plotly_json(), default=lambda c: c.to_plotly_json())
        for part in failure_list(view)
    )
    assert f"retry {directory}" in again
    assert "<script>alert(1)</script>" in memory  # as text
    assert f"line {39}" in memory
    assert f"line {39 - TRACEBACK_LINES}" not in memory
    assert "/sweep/sweep/trial/0001aaaa" in memory
    assert "(recovered)" in memory
    assert "Traceback" not in other


def test_only_trials_that_ended_well_have_recovered(tmp_path: Path) -> None:
    directory = write(tmp_path / "sweep")
    layout = SweepLayout(directory)
    record = layout.read_trials()[2]
    record.state = "running"
    layout.write_trial(record)
    assert "recovered" not in failures_note(load(directory))
    for record in layout.read_trials():
        record.failures = []
        layout.write_trial(record)
    assert failures_note(load(directory)) == "3 trials ended as failed. No failure is recorded."


def test_a_sweep_without_failures(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=2).write()
    assert failures_note(load(directory)) == "No trial has failed."
    assert failure_list(CachedSweep("sweep", directory).view()) == []

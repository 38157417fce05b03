"""Starts, pauses and resumes real sweeps inside the test's process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.launch import resume_sweep, start_sweep
from sweeps.execution.recorder import RecordCallback
from sweeps.execution.resume import open_for_resume
from sweeps.execution.run_options import RunOptions
from sweeps.results.outcome import Outcome
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import Reason, TrialRecord
from sweeps.trials.pause import PauseSwitch
from trainable.artifacts.metrics import read_rows

CONFIG: dict[str, dict[str, Any]] = {
    "seed": {"enabled": True},
    "dataset": {"name": "digits", "val_split": 0.2},
    "model": {"name": "tiny_models:mlp"},
    "training": {"epochs": 4, "batch_size": 256},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    "tensorboard": {"enabled": False},
    "progress": {"enabled": False},
}

ONE_AT_A_TIME = {"cpu": 2}
"""All CPUs of the Ray session: trials run one after the other, always in the same order."""


def search(
    directory: Path, *, space: Mapping[str, Any], tune: Mapping[str, Any], **more: Any
) -> SearchSpec:
    """Builds a search whose sweep directory is `directory / "sweep"`.

    Args:
        directory: An existing directory.
        space: The section of the file.
        tune: The section of the file; the default seed is 1.
        more: `config`, merged with the tiny one by section, and other sections of the file.
    """
    changes = {"checkpoint": {}, **more.pop("config", {})}
    metrics = changes.pop("metrics", [])
    config = {name: {**CONFIG.get(name, {}), **changes.get(name, {})} for name in CONFIG | changes}
    config["metrics"] = metrics
    config["checkpoint"] = {"enabled": True, "dir": str(directory), **config["checkpoint"]}
    data = {"name": "sweep", "config": config, "space": space, "tune": {"seed": 1, **tune}}
    return parse_search({**data, "keep": {"min_free_gib": 0}, **more})


def start(spec: SearchSpec) -> Outcome:
    return start_sweep(spec, RunOptions(allow_custom_model=True))


def resume(directory: Path) -> Outcome:
    with open_for_resume(directory) as (spec, records):
        return resume_sweep(spec, directory, records, RunOptions(allow_custom_model=True))


def pause_after(
    monkeypatch: pytest.MonkeyPatch, results: int, *reasons: Reason
) -> list[tuple[str, int]]:
    """Pauses the next sweep in a real way after a number of results.

    By then the trial has started its next epoch, which it finishes.

    Args:
        monkeypatch: The test's fixture.
        results: The number of results before the pause.
        reasons: The reasons of the pause, in this order; SIGINT by default.

    Returns:
        A list that the sweep fills with the trial id and epoch of every result.
    """
    seen: list[tuple[str, int]] = []
    original = RecordCallback.on_trial_result

    def on_trial_result(self: RecordCallback, *args: Any, **info: Any) -> None:
        original(self, *args, **info)
        seen.append((info["trial"].trial_id, info["result"]["epoch"]))
        if len(seen) == results:
            for reason in reasons or ("SIGINT",):
                _request_pause(self._switch, reason)

    monkeypatch.setattr(RecordCallback, "on_trial_result", on_trial_result)
    return seen


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Records results like `pause_after`, without a pause."""
    return pause_after(monkeypatch, -1)


def _request_pause(switch: PauseSwitch, reason: str) -> None:
    if reason == "stop":
        switch._stop_file.touch()
    elif reason == "time_budget":
        switch.budget_s = 0.0
    else:
        os.kill(os.getpid(), signal.Signals[reason])


def trials(directory: Path) -> list[TrialRecord]:
    return SweepLayout(directory).read_trials()


def events(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def epochs(directory: Path) -> dict[int, list[int]]:
    """Number of a trial -> the epochs in its `metrics.jsonl`, in file order."""
    return {
        trial.number: [
            row["epoch"] for row in read_rows(directory / trial.directory / "metrics.jsonl")
        ]
        for trial in trials(directory)
    }

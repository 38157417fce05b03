"""Real sweeps inside the test's process: started, paused after so many results, resumed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.launch import resume_sweep, start_sweep
from sweeps.execution.recorder import RecordCallback
from sweeps.execution.resume import open_for_resume
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
"""All of the session's CPUs: trials run one after the other, always in the same order."""


def search(
    directory: Path, *, space: Mapping[str, Any], tune: Mapping[str, Any], **more: Any
) -> SearchSpec:
    """A search file whose sweep lies in `directory / "sweep"`.

    Args:
        directory: Exists.
        space: As in the file.
        tune: As in the file; the seed is 1 unless it says otherwise.
        more: `config`, merged with the tiny one by section; other sections as in the file.
    """
    changes = {"checkpoint": {}, **more.pop("config", {})}
    config = {name: {**CONFIG.get(name, {}), **changes.get(name, {})} for name in CONFIG | changes}
    config["checkpoint"] = {"enabled": True, "dir": str(directory), **config["checkpoint"]}
    data = {"name": "sweep", "config": config, "space": space, "tune": {"seed": 1, **tune}}
    return parse_search({**data, "keep": {"min_free_gib": 0}, **more})


def start(spec: SearchSpec) -> Outcome:
    return start_sweep(spec, allow_custom_model=True)


def resume(directory: Path) -> Outcome:
    with open_for_resume(directory) as (spec, records):
        return resume_sweep(spec, directory, records, allow_custom_model=True)


def pause_after(
    monkeypatch: pytest.MonkeyPatch, results: int, *reasons: Reason
) -> list[tuple[str, int]]:
    """Makes the next sweep pause when it has got so many results, for a reason that is real.

    The trial is in its next epoch by then, and finishes it.

    Args:
        monkeypatch: Of the test.
        results: After how many.
        reasons: In this order; SIGINT unless given.

    Returns:
        Filled with the trial's id and the epoch of every result.
    """
    seen: list[tuple[str, int]] = []
    original = RecordCallback.on_trial_result

    def on_trial_result(self: RecordCallback, *args: Any, **info: Any) -> None:
        original(self, *args, **info)
        seen.append((info["trial"].trial_id, info["result"]["epoch"]))
        if len(seen) == results:
            for reason in reasons or ("SIGINT",):
                _ask_for_pause(self._switch, reason)

    monkeypatch.setattr(RecordCallback, "on_trial_result", on_trial_result)
    return seen


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Like `pause_after`, without a pause."""
    return pause_after(monkeypatch, -1)


def _ask_for_pause(switch: PauseSwitch, reason: str) -> None:
    if reason == "stop":
        switch._stop_file.touch()
    elif reason == "time_budget":
        switch._deadline = time.monotonic()
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

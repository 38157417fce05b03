"""Views of a running sweep: TensorBoard's HParams page and curves, trial.log, hooks."""

from __future__ import annotations

import json
import sys
from math import cos, pi
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.sweep_dir.records import TrialRecord
from tests.integration.sweeping import (
    ONE_AT_A_TIME,
    pause_after,
    resume,
    search,
    start,
    trials,
)
from tests.support.hparams_page import Row, page, points
from trainable.artifacts.metrics import read_rows
from trainable.artifacts.tensorboard import TAGS
from trainable.artifacts.tensorboard_hparams import to_hparam
from trainable.config import load_config
from trainable.config.dotted import get_dotted

pytestmark = pytest.mark.ray

MILESTONES, MOMENTUM = "scheduler.milestones", "optimizer.momentum"
SPACE: dict[str, Any] = {
    "optimizer.learning_rate": {"loguniform": [1e-2, 1.0]},
    "optimizer.name": {"grid": ["sgd", "adam"]},
    MOMENTUM: {"uniform": [0.5, 0.9], "when": {"optimizer.name": "sgd"}},
    "optimizer.nesterov": {"choice": [True], "when": {"optimizer.name": "sgd"}},
    "loss": {"choice": [{"name": "nll"}, {"name": "cross_entropy", "label_smoothing": 0.1}]},
    "scheduler.name": {"grid": ["multistep", "none"]},
    MILESTONES: {"choice": [[1, 2], [2, 3]], "when": {"scheduler.name": "multistep"}},
    "training.epochs": {"choice": [3, 4]},
    "amp.dtype": {"choice": ["float16", "bfloat16"]},
}
HOOK = "import os, sys; print(os.environ['SWEEP_VALUE'], sys.stdin.read(), file=open({!r}, 'a'))"


def command(path: Path) -> str:
    """Returns a hook that appends a line for every event to a file."""
    return f'{sys.executable} -c "{HOOK.format(str(path))}"'


def read_events(path: Path) -> list[dict[str, Any]]:
    """Reads the events of a hook, each with the value in its environment."""
    lines = [line.split(" ", 1) for line in path.read_text().splitlines()]
    return [{**json.loads(event), "environment": value} for value, event in lines]


def assert_shows(row: Row, sweep: Path, record: TrialRecord) -> None:
    """A row of the page agrees with the trial's directory."""
    directory = sweep / record.directory
    config = load_config(directory / "config.yaml").to_dict()
    assert row.run == f"{sweep.name}/{record.directory}/tensorboard"
    assert row.values == {key: to_hparam(get_dotted(config, key)) for key in record.current}
    rows = read_rows(directory / "metrics.jsonl")
    assert rows
    last = {TAGS[name]: value for name, value in rows[-1].items() if name in TAGS}
    last = {tag: value for tag, value in last.items() if value is not None}
    assert set(row.metrics) - {f"hparams/{key}" for key in record.current} == set(last)
    assert {tag: row.metrics[tag] for tag in last} == pytest.approx(last, rel=1e-6)
    assert row.metrics["acc/best"] == pytest.approx(max(row["val_acc"] for row in rows))
    curve = points(directory / "tensorboard", "acc/val")
    assert [step for step, _ in curve] == [row["epoch"] for row in rows]


@pytest.mark.slow
def test_tensorboard_logs_and_hooks_agree_with_a_resumed_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = search(
        tmp_path,
        space=SPACE,
        tune={"num_samples": 4, "scheduler": {"name": "asha", "grace_period": 2}},
        config={
            "tensorboard": {"enabled": True},
            "model": {"name": "talking_models:mlp"},
            "checkpoint": {"save_frequency": 2},
        },
        resources=ONE_AT_A_TIME,
        hooks={
            "on_best": command(tmp_path / "best.txt"),
            "on_finish": command(tmp_path / "finish.txt"),
        },
    )
    with monkeypatch.context() as patch:
        pause_after(patch, 1)  # every trial has epochs left
        paused = start(spec)
    assert paused.paused == "SIGINT"
    lines = page(tmp_path)
    assert {line.status for line in lines.values()} <= {"SUCCESS", "UNKNOWN"}
    resumed = resume(paused.directory)
    assert resumed.paused is None

    records = trials(resumed.directory)
    lines = page(tmp_path)
    assert set(lines) == {record.id for record in records}
    for record in records:
        assert_shows(lines[record.id], resumed.directory, record)
        assert lines[record.id].status == "SUCCESS"
    assert {MILESTONES in line.values for line in lines.values()} == {True, False}
    assert {MOMENTUM in line.values for line in lines.values()} == {True, False}
    files = list(tmp_path.rglob("*tfevents*"))
    assert len(files) == 4
    assert {path.parent.name for path in files} == {"tensorboard"}
    _assert_logs(resumed.directory, records)
    _assert_hooks(tmp_path, resumed)


def _assert_logs(directory: Path, records: list[TrialRecord]) -> None:
    for record in records:
        text = (directory / record.directory / "trial.log").read_text()
        assert "\nbuilt\nto stderr\n" in text
        assert "note: no CUDA device: training on the CPU\n" in text
        for row in read_rows(directory / record.directory / "metrics.jsonl"):
            assert f"\nepoch {row['epoch']}/" in text
    done = CliRunner().invoke(main, ["logs", str(directory), records[0].id])
    assert done.stdout == (directory / records[0].directory / "trial.log").read_text()
    repeated = [(directory / r.directory / "trial.log").read_text() for r in records]
    assert any("continues after epoch" in text for text in repeated)


def _assert_hooks(directory: Path, outcome: Any) -> None:
    finishes = read_events(directory / "finish.txt")
    assert [event["state"] for event in finishes] == ["paused", "finished"]
    best = outcome.results[0]
    for event in (finishes[-1], read_events(directory / "best.txt")[-1]):
        assert event["trial"] == best.record.id
        assert event["value"] == best.best["val_acc"] == float(event["environment"])
        assert event["directory"] == str(outcome.directory)
    values = [event["value"] for event in read_events(directory / "best.txt")]
    assert values == sorted(set(values))


@pytest.mark.slow
@pytest.mark.long
def test_hyperparameters_of_a_population_are_curves(tmp_path: Path) -> None:
    spec = search(
        tmp_path,
        space={
            "optimizer.learning_rate": {"loguniform": [1e-4, 1.0]},
            "optimizer.name": {"choice": ["sgd", "adam"]},
        },
        tune={
            "num_samples": 3,
            "scheduler": {"name": "pbt", "perturbation_interval": 1, "quantile_fraction": 0.5},
        },
        config={"tensorboard": {"enabled": True}, "checkpoint": {"save_frequency": 1}},
        resources=ONE_AT_A_TIME,
    )
    outcome = start(spec)
    records = trials(outcome.directory)
    assert any(record.lineage for record in records)
    lines = page(tmp_path)
    for record in records:
        assert_shows(lines[record.id], outcome.directory, record)
        directory = outcome.directory / record.directory
        curve = points(directory / "tensorboard", "hparams/optimizer.learning_rate")
        rates = {row["epoch"]: row["lr"] for row in read_rows(directory / "metrics.jsonl")}
        assert [step for step, _ in curve] == list(rates)  # an exploit may skip an epoch
        if record.lineage:
            assert len({value for _, value in curve}) > 1
        assert [value for _, value in curve] == pytest.approx(_base_rates(rates))
        assert curve[-1][1] == pytest.approx(record.current["optimizer.learning_rate"])


def _base_rates(rates: dict[int, float]) -> list[float]:
    """Returns the base rates of a cosine schedule over four epochs."""
    return [rate / ((1 + cos(pi * (epoch - 1) / 4)) / 2) for epoch, rate in rates.items()]

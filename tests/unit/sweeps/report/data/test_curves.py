"""Curves and schedules in the data of the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweeps.report.data import curves
from sweeps.report.data.curves import curve_data, curve_metrics, schedule_data
from sweeps.results.loaded_sweep import load
from tests.support.fake_sweeps import ONE_KEY, FakeSweep, trial
from trainable.artifacts.metrics import Row


def rewrite(directory: Path, rows: list[Row]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (directory / "metrics.jsonl").write_text(text)


def test_columns_are_rounded_gaps_are_null_and_equal_values_are_one(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "finished"}).write()
    rows: list[Row] = [
        {"epoch": 4, "val_acc": 0.123456789, "val_loss": float("nan"), "lr": 0.5, "note": "x"},
        {"epoch": 5, "val_acc": 0.25, "val_loss": 1.5, "lr": 0.5, "best_acc": 0.25},
    ]
    rewrite(trial(directory, 0), rows)
    sweep = load(directory)
    assert curve_metrics(sweep) == ["val_acc", "val_loss", "lr"]
    assert curve_data(sweep, curve_metrics(sweep)) == [
        {"epochs": [4, 5], "val_acc": [0.12346, 0.25], "val_loss": [None, 1.5], "lr": 0.5}
    ]


def test_a_metric_that_only_an_epoch_in_the_middle_has_is_a_curve(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "finished"}).write()
    scores = [None, 0.5, None]
    rewrite(
        trial(directory, 0),
        [{"epoch": n, "val_acc": n / 8, "test_acc": s} for n, s in enumerate(scores, start=1)],
    )
    sweep = load(directory)
    assert curve_metrics(sweep) == ["val_acc", "test_acc"]
    (curve,) = curve_data(sweep, curve_metrics(sweep))
    assert curve == {"val_acc": [0.125, 0.25, 0.375], "test_acc": scores}


def test_epochs_from_one_on_are_left_out_and_so_are_curves_of_the_worst_of_too_many_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep").write())
    assert all(curve and "epochs" not in curve for curve in curve_data(sweep, ["val_acc"]))
    monkeypatch.setattr(curves, "MAX_NUMBERS", 20)
    per_trial = curve_data(sweep, ["val_acc"])
    assert [curve is not None for curve in per_trial] == [index < 2 for index in range(12)]


def test_the_schedule_has_the_value_of_every_epoch(tmp_path: Path) -> None:
    directory = FakeSweep(
        tmp_path / "sweep", trials=2, space=ONE_KEY, states={0: "finished", 1: "finished"}
    ).write()
    path = trial(directory, 1) / "trial.json"
    record = json.loads(path.read_text())
    first = record["values"]["optimizer.learning_rate"]
    steps = [
        {"epoch": epoch, "donor": "x", "values": {"optimizer.learning_rate": value}}
        for epoch, value in ((2, 0.25), (5, 0.125))
    ]
    path.write_text(json.dumps({**record, "lineage": steps}))
    sweep = load(directory)
    position = sweep.results.index(sweep.find("0001"))
    schedule = schedule_data(sweep)
    assert list(schedule) == ["optimizer.learning_rate"]
    assert schedule["optimizer.learning_rate"][position] == [
        *[first] * 2, *[0.25] * 3, *[0.125] * 4,
    ]  # fmt: skip

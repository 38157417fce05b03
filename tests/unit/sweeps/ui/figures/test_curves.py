"""Learning curves of a sweep."""

import json
from pathlib import Path

from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.figures.base import BEST_COLOUR, FAINT, PLAIN, TRIAL, pack
from sweeps.ui.figures.curves import MAX_CURVES, choose_trials, learning_curves, list_metrics
from tests.support.fake_sweeps import FakeSweep, trial
from tests.support.figure_data import lines_of, unpack


def test_each_trial_is_a_line_with_its_epochs(tmp_path: Path) -> None:
    directory = FakeSweep(
        tmp_path / "sweep", trials=6, states={1: "running", 2: "pending"}
    ).write()
    sweep = load(directory)
    assert sweep.best is not None
    chart = learning_curves(sweep, "val_loss")
    assert chart.figure is not None
    lines = lines_of(chart.figure)
    trials = {name for name, line in lines.items() if line.get("meta") == TRIAL}
    assert trials == {result.record.id for result in sweep.results if result.rows}
    for result in sweep.results:
        if result.rows:
            line = lines[result.record.id]
            assert unpack(line["x"]) == [row["epoch"] for row in result.rows]
            assert unpack(line["y"]) == unpack(pack([row["val_loss"] for row in result.rows]))
    best = lines[sweep.best.record.id]
    assert (best["line"]["color"], best["line"]["width"]) == (BEST_COLOUR, 3)
    assert chart.figure["layout"]["uirevision"] == "sweep val_loss"
    assert lines["rung"]["x"][::3] == sweep.rungs
    json.dumps(chart.figure, allow_nan=False)


def test_selected_trials_stand_out(tmp_path: Path) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep", trials=4).write())
    chart = learning_curves(sweep, "val_acc", {"0001aaaa"})
    assert chart.figure is not None
    opacities = {name: line.get("opacity") for name, line in lines_of(chart.figure).items()}
    assert (opacities["0001aaaa"], opacities["0000aaaa"]) == (PLAIN, FAINT)
    assert "stand out" in chart.note


def test_a_large_sweep_shows_the_best_those_that_train_and_a_choice(tmp_path: Path) -> None:
    live = {number: "running" for number in range(0, 130, 3)}
    directory = FakeSweep(
        tmp_path / "sweep", trials=130, epochs=1, states=live, weights=False
    ).write()
    sweep = load(directory)
    worst = sweep.results[-1].record.id
    chosen = choose_trials(sweep.results, {worst})
    assert len(chosen) == MAX_CURVES
    assert [r for r in sweep.results if r in chosen] == chosen  # best first
    assert chosen[:50] == sweep.results[:50]
    assert sum(result.record.state == "running" for result in chosen) >= 25
    assert chosen[-1].record.id == worst
    assert "100 of 130 trials" in learning_curves(sweep, "val_acc").note


def test_without_an_epoch_the_reason_stands_there(tmp_path: Path) -> None:
    states = {0: "pending", 1: "pending"}
    sweep = load(FakeSweep(tmp_path / "sweep", trials=2, state="running", states=states).write())
    assert learning_curves(sweep, "val_acc").figure is None
    assert list_metrics(sweep) == ["val_acc"]


def test_metrics_are_the_columns_that_are_numbers(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=2).write()
    path = trial(directory, 0) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    more = {"val_f1_macro": 0.5, "flag": True, "<b>": 1.0}
    path.write_text("".join(json.dumps(row | more) + "\n" for row in rows))
    metrics = list_metrics(load(directory))
    assert metrics[:4] == ["val_acc", "val_loss", "train_acc", "train_loss"]
    assert {"val_f1_macro", "lr", "epoch_s", "<b>"} <= set(metrics)
    assert not {"flag", "device", "epoch", "best_acc", "best_epoch", "test_acc"} & set(metrics)
    chart = learning_curves(load(directory), "<b>")
    assert chart.figure is not None
    assert chart.figure["layout"]["yaxis"]["title"]["text"] == "&lt;b&gt;"


def test_a_hostile_id_is_no_markup(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1).write()
    layout = SweepLayout(directory)
    record = layout.read_trials()[0]
    record.id = "<a href='javascript:alert(1)'>x</a>"
    layout.write_trial(record)
    chart = learning_curves(load(directory), "val_acc")
    assert chart.figure is not None
    assert "<a" not in json.dumps([trace.get("hovertemplate") for trace in chart.figure["data"]])


def test_a_metric_that_only_some_epochs_have_is_listed(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "finished"}).write()
    path = trial(directory, 0) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[4]["test_acc"] = 0.5
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "test_acc" in list_metrics(load(directory))

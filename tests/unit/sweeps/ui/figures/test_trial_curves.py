"""Curves of one trial in all its metrics, and of a few trials in one."""

import json
from pathlib import Path

from sweeps.results.loaded_sweep import LoadedSweep, load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.figures.base import pack
from sweeps.ui.figures.trial_curves import (
    compared_curves,
    metric_groups,
    trial_colours,
    trial_curves,
)
from tests.support.fake_sweeps import ONE_KEY, FakeSweep, trial
from tests.support.figure_data import lines_of, unpack


def write(directory: Path) -> LoadedSweep:
    FakeSweep(directory, trials=3, space=ONE_KEY, tune={"scheduler": {"name": "fifo"}}).write()
    layout = SweepLayout(directory)
    record = layout.read_trials()[1]
    donor = layout.read_trials()[0].directory
    record.lineage = [{"epoch": 4, "donor": donor, "values": record.values}]
    layout.write_trial(record)
    return load(directory)


def test_metrics_that_belong_together_share_a_chart(tmp_path: Path) -> None:
    sweep = write(tmp_path / "sweep")
    result = sweep.find("0001")
    groups = metric_groups([{**row, "val_f1": 1.0, "own": 2} for row in result.rows])
    assert groups == {
        "score": ["train_acc", "val_acc", "val_f1"],
        "loss": ["train_loss", "val_loss"],
        "learning rate": ["lr"],
        "seconds per epoch": ["epoch_s"],
        "images per second": ["images_per_s"],
        "own": ["own"],
    }
    figures = trial_curves(result)
    loss = lines_of(figures["loss"])
    assert unpack(loss["val_loss"]["y"]) == unpack(pack([r["val_loss"] for r in result.rows]))
    assert unpack(loss["val_loss"]["x"]) == [row["epoch"] for row in result.rows]
    assert loss["copied a trial"]["x"] == [4, 4, 4]
    assert trial_curves(sweep.find("0000"))["loss"]["data"][0]["name"] == "train_loss"
    json.dumps(figures, allow_nan=False)


def test_compared_trials_have_colours_of_their_own(tmp_path: Path) -> None:
    sweep = write(tmp_path / "sweep")
    trials = [sweep.find("0002"), sweep.find("0000")]
    lines = lines_of(compared_curves(trials, "val_acc"))
    assert list(lines) == ["0002aaaa", "0000aaaa"]
    for result, colour in zip(trials, trial_colours(trials), strict=True):
        line = lines[result.record.id]
        assert line["line"]["color"] == colour
        assert unpack(line["y"]) == unpack(pack([row["val_acc"] for row in result.rows]))
    assert len(set(trial_colours(trials))) == 2


def test_a_metric_of_every_few_epochs_is_a_line_with_markers(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "finished"}).write()
    scores = [None, None, None, 0.5, None, None, None, 0.75, None]
    path = trial(directory, 0) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    texts = [json.dumps({**row, "test_acc": s}) for row, s in zip(rows, scores, strict=True)]
    path.write_text("\n".join(texts) + "\n")
    (result,) = load(directory).results
    for figure in (trial_curves(result)["score"], compared_curves([result], "test_acc")):
        lines = lines_of(figure)
        line = lines.get("test_acc") or lines["0000aaaa"]
        assert unpack(line["y"]) == scores
        assert (line["mode"], line["connectgaps"]) == ("lines+markers", True)
    assert lines_of(trial_curves(result)["score"])["val_acc"]["mode"] == "lines"

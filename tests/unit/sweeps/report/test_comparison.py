"""The differences between trials, as `sweep compare` and the page show them."""

from __future__ import annotations

from pathlib import Path

from sweeps.report.comparison import config_differences, flat_config, join_curves
from sweeps.results.loaded_sweep import load_trials
from tests.support.fake_sweeps import ONE_KEY, FakeSweep


def test_configs_and_curves_of_three_trials_one_of_which_has_not_started(tmp_path: Path) -> None:
    directory = FakeSweep(
        tmp_path / "sweep",
        trials=3,
        space=ONE_KEY,
        states={0: "finished", 1: "running", 2: "pending"},
        epochs=6,
    ).write()
    for config in directory.glob("*_0002aaaa/config.yaml"):
        config.unlink()
    sweep, trials = load_trials(directory, ["0000", "0001", "0002"])
    base = sweep.search["config"]
    rates = [trial.record.values["optimizer.learning_rate"] for trial in trials]
    assert config_differences(trials, base) == {"optimizer.learning_rate": rates}
    assert config_differences(trials[:1], base) == {}
    assert flat_config(trials[2], base)["model.name"] == "resnet20"
    curves = join_curves(trials, "val_acc")
    assert [row[0] for row in curves] == [1, 2, 3, 4, 5, 6]
    assert curves[5] == [6, trials[0].rows[5]["val_acc"], None, None]
    assert curves[4][2] == trials[1].rows[4]["val_acc"]

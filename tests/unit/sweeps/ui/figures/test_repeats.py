"""The spread of a configuration's trials."""

from pathlib import Path
from statistics import fmean, stdev

import pytest

from sweeps.results.loaded_sweep import load
from sweeps.ui.figures.repeats import repeats_chart
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from tests.support.figure_data import lines_of


def test_each_configuration_has_its_mean_and_spread(tmp_path: Path) -> None:
    tune = {"repeats": 3, "scheduler": {"name": "fifo"}}
    sweep = load(FakeSweep(tmp_path / "sweep", trials=9, space=ONE_KEY, tune=tune).write())
    figure = repeats_chart(sweep).figure
    assert figure is not None
    means, points = lines_of(figure)["mean"], lines_of(figure)["trial"]
    scores = {r.record.id: (r.best or {})["val_acc"] for r in sweep.results}
    for position, configuration in enumerate(sweep.configurations):
        own = [scores[result.record.id] for result in configuration.results]
        assert means["y"][position] == pytest.approx(fmean(own))
        assert means["error_y"]["array"][position] == pytest.approx(stdev(own))
        assert [y for x, y in zip(points["x"], points["y"], strict=True) if x == position] == own
    assert means["y"] == sorted(means["y"], reverse=True)
    assert sorted(points["customdata"]) == sorted(scores)


def test_only_final_trials_count_where_there_are_any(tmp_path: Path) -> None:
    states = {number: "finished" for number in range(6)}
    sweep = load(
        FakeSweep(
            tmp_path / "sweep", trials=6, space=ONE_KEY, states=states, finals={4: 1, 5: 1}
        ).write()
    )
    chart = repeats_chart(sweep)
    assert chart.figure is not None
    points = lines_of(chart.figure)["trial"]
    finals = [name for x, name in zip(points["x"], points["customdata"], strict=True) if x == 0]
    assert sorted(finals) == ["0004aaaa", "0005aaaa"]
    assert chart.figure["layout"]["xaxis"]["ticktext"][0] == "1*"
    assert "only these count" in chart.note


def test_without_repeats_the_reason_stands_there(tmp_path: Path) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep", trials=3).write())
    assert repeats_chart(sweep).figure is None

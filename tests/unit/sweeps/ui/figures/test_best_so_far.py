"""The best metric so far."""

from itertools import accumulate
from pathlib import Path

import pytest

from sweeps.results.loaded_sweep import load
from sweeps.ui.figures.base import pack
from sweeps.ui.figures.best_so_far import best_so_far
from tests.support.fake_sweeps import ONE_KEY, FakeSweep
from tests.support.figure_data import lines_of, unpack


@pytest.mark.parametrize(("metric", "mode"), [("val_acc", "max"), ("val_loss", "min")])
def test_points_are_trials_in_the_order_of_their_ends(
    tmp_path: Path, metric: str, mode: str
) -> None:
    tune = {"metric": metric, "mode": mode, "scheduler": {"name": "fifo"}}
    states = {0: "running", 5: "pending"}
    sweep = load(
        FakeSweep(tmp_path / "sweep", trials=6, space=ONE_KEY, tune=tune, states=states).write()
    )
    figure = best_so_far(sweep, "trials").figure
    assert figure is not None
    by_id = {result.record.id: result for result in sweep.results}
    # Trial 0 started first and still trains: its last epoch ended before the others did.
    order = [f"000{number}aaaa" for number in (0, 1, 2, 3, 4)]
    points = lines_of(figure)["trial"]
    assert points["customdata"] == order
    scores = [(by_id[name].best or {})[metric] for name in order]
    assert unpack(points["y"]) == unpack(pack(scores))
    best = list(accumulate(scores, max if mode == "max" else min))
    assert unpack(lines_of(figure)["best so far"]["y"]) == unpack(pack(best))
    assert unpack(points["x"]) == [1, 2, 3, 4, 5]


def test_by_time_a_point_lies_at_the_end_of_its_trial(tmp_path: Path) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep", trials=4, states={2: "running"}, epochs=5).write())
    figure = best_so_far(sweep, "hours").figure
    assert figure is not None
    points = lines_of(figure)["trial"]
    hours = dict(zip(points["customdata"], unpack(points["x"]), strict=True))
    begin = 30 * 60 + 22  # the sweep started at 14:30:22, trial n ends at 14:2n
    assert hours["0003aaaa"] == pytest.approx((23 * 60 - begin) / 3600, abs=1e-6)
    assert hours["0002aaaa"] == pytest.approx((12 * 60 + 5 * 2 - begin) / 3600, abs=1e-6)


def test_without_a_result_the_reason_stands_there(tmp_path: Path) -> None:
    sweep = load(FakeSweep(tmp_path / "sweep", trials=1, states={0: "pending"}).write())
    chart = best_so_far(sweep, "trials")
    assert (chart.figure, chart.note) == (None, "No trial has completed an epoch.")

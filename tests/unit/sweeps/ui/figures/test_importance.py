"""The importance of the parameters."""

import threading
from pathlib import Path

import pytest

from sweeps.report.importance import MIN_TRIALS, importance
from sweeps.results.loaded_sweep import load
from sweeps.ui.figures import importance as importance_module
from sweeps.ui.figures.importance import ImportanceCache, importance_chart
from tests.support.fake_sweeps import FakeSweep


def test_the_shares_are_those_of_the_report(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=25).write()
    sweep, cache = load(directory), ImportanceCache()
    assert importance_chart(sweep, None).figure is None
    pause = threading.Event()
    while (computed := cache.get("sweep", sweep)) is None:
        pause.wait(0.05)
    chart = importance_chart(sweep, computed)
    assert chart.figure is not None
    bars = chart.figure["data"][0]
    shares = importance(sweep)[0]
    assert dict(zip(reversed(bars["y"]), reversed(bars["x"]), strict=True)) == shares
    assert bars["y"][-1] == "optimizer.learning_rate"
    assert "25 trials" in chart.note


def test_few_trials_have_no_importance(tmp_path: Path) -> None:
    states = {number: "failed" for number in range(3)}
    sweep = load(FakeSweep(tmp_path / "sweep", trials=22, states=states).write())
    cache = ImportanceCache()
    assert cache.get("sweep", sweep) is None
    chart = importance_chart(sweep, None)
    assert chart.figure is None
    assert f"at least {MIN_TRIALS} trials that ended with a result; there are 19" in chart.note


def test_a_sweep_that_goes_on_is_not_computed_with_every_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {number: "running" for number in range(22, 25)}
    small = load(FakeSweep(tmp_path / "small", trials=25, states=states).write())
    large = load(FakeSweep(tmp_path / "large", trials=25).write())
    cache, pause = ImportanceCache(), threading.Event()
    while cache.get("key", small) is None:
        pause.wait(0.05)
    computed = cache.get("key", large)
    assert computed is not None
    assert computed[0] == 22
    monkeypatch.setattr(importance_module, "INTERVAL_S", 0.0)
    while (computed := cache.get("key", large)) is not None and computed[0] == 22:
        pause.wait(0.05)
    assert computed is not None
    assert computed[0] == 25

"""The page of all sweeps."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser

pytestmark = pytest.mark.usefixtures("every_look_reads")


def test_every_sweep_is_listed_with_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.ui.pages.sweep_list.READING_S", 1000)
    states = {3: "running", 2: "failed"}
    running = FakeSweep(tmp_path / "running", trials=4, state="running", states=states).write()
    (tmp_path / "group").mkdir()
    FakeSweep(tmp_path / "group" / "done", trials=3).write()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.json").write_text("{")
    browser = UiBrowser(tmp_path)
    with FileLock(running / LOCK_FILE):
        rows = browser.call({"list-tick.n_intervals": 1}, list_shown={})
        added = {row["key"]: row for row in rows["sweeps"]["rowTransaction"]["add"]}
        assert added.keys() == {"running", "group:done", "broken"}
        first = added["running"]
        assert (first["state"], first["ended"], first["total"]) == ("running", 3, 4)
        assert (first["running"], first["failed"]) == (1, 1)
        assert first["left"] is not None
        assert first["href"] == "/sweep/running"
        done = added["group:done"]
        assert (done["state"], done["left"]) == ("finished", None)
        assert done["best"] is not None
        assert done["href"] == "/sweep/group%3Adone"
        assert added["broken"]["state"] == "broken"
        assert "sweep.json" in json.dumps(rows["list-problems"])
    again = browser.call({"list-tick.n_intervals": 2}, list_shown=rows["list-shown"]["data"])
    update = again["sweeps"]["rowTransaction"]["update"]
    assert [(row["key"], row["state"]) for row in update] == [("running", "interrupted")]


def test_the_list_is_there_before_every_sweep_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeSweep(tmp_path / "sweep", trials=2).write()
    monkeypatch.setattr("sweeps.ui.pages.sweep_list.READING_S", -1)
    browser = UiBrowser(tmp_path)
    assert '"state": "reading"' in browser.page("/")
    monkeypatch.setattr("sweeps.ui.pages.sweep_list.READING_S", 1000)
    assert '"state": "finished"' in browser.page("/")


def test_old_summaries_are_computed_again_while_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = FakeSweep(tmp_path / "sweep", trials=2).write()
    browser = UiBrowser(tmp_path)
    assert '"failed": 0' in browser.page("/")
    record = SweepLayout(sweep).read_trials()[0]
    record.state = "failed"
    SweepLayout(sweep).write_trial(record)
    monkeypatch.setattr("sweeps.ui.cached_sweep.SUMMARY_MAX_AGE_S", -1)
    monkeypatch.setattr("sweeps.ui.pages.sweep_list.READING_S", -1)
    assert '"failed": 0' in browser.page("/")
    monkeypatch.setattr("sweeps.ui.pages.sweep_list.READING_S", 1000)
    assert '"failed": 1' in browser.page("/")


def test_no_sweeps(tmp_path: Path) -> None:
    assert "There is no sweep here yet" in UiBrowser(tmp_path).page("/")

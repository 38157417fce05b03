"""The page of one sweep: what it shows at first, and what a tick changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.sweep_dir.records import Failure
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser

pytestmark = pytest.mark.usefixtures("every_look_reads")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    states = {10: "running", 11: "running"}
    sweep = FakeSweep(tmp_path / "live", state="running", states=states).write()
    with FileLock(sweep / LOCK_FILE):
        yield sweep


def parts(layout: Any, id_: str) -> dict[str, Any]:
    """Finds a component in a layout."""
    results = [p for p in walk(layout) if p.get("id") == id_]
    assert len(results) == 1, f"{id_}: {len(results)}"
    return results[0]


def walk(layout: Any) -> Iterator[dict[str, Any]]:
    if isinstance(layout, list):
        for item in layout:
            yield from walk(item)
    elif isinstance(layout, dict) and "props" in layout:
        yield layout["props"]
        yield from walk(layout["props"].get("children"))


def tick(browser: UiBrowser, sweep: str, shown: Any) -> dict[str, Any]:
    return browser.call({"sweep-tick.n_intervals": 1}, sweep_key=sweep, sweep_shown=shown)


def test_the_page_shows_what_was_reached(live: Path) -> None:
    layout = json.loads(UiBrowser(live).page("/sweep/live"))
    head = json.dumps(parts(layout, "sweep-head"))
    assert "10 of 12" in head
    assert "best so far, val_acc" in head
    rows = parts(layout, "trials")["rowData"]
    assert len(rows) == 12
    assert [row["id"] for row in rows if row["is_best"]] == [rows[0]["id"]]
    names = [column["headerName"] for column in parts(layout, "trials")["columnDefs"]]
    assert names[:4] == ["trial", "state", "val_acc", "at epoch"]
    assert "optimizer.learning_rate" in names
    assert rows[0]["href"] == f"/sweep/live/trial/{rows[0]['id']}"


def test_a_failure_without_a_message_is_a_note(live: Path) -> None:
    record = SweepLayout(live).read_trials()[0]
    record.state = "failed"
    record.failures = [Failure("error", " \n", "", 0, None, "2026-01-15T15:00:00")]
    SweepLayout(live).write_trial(record)
    layout = json.loads(UiBrowser(live).page("/sweep/live"))
    rows = {row["id"]: row["note"] for row in parts(layout, "trials")["rowData"]}
    assert rows[record.id] == "error: "


def test_a_tick_sends_only_what_has_changed(live: Path) -> None:
    browser = UiBrowser(live)
    layout = json.loads(browser.page("/sweep/live"))
    shown, rows = parts(layout, "sweep-shown")["data"], parts(layout, "trials")["rowData"]
    assert "trials" not in tick(browser, "live", shown), "the times of the head alone"
    record = SweepLayout(live).read_trials()[10]
    path = live / record.directory / "metrics.jsonl"
    row = json.loads(path.read_text().splitlines()[-1]) | {"epoch": 6, "val_acc": 0.999}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    answer = tick(browser, "live", shown)
    changes = answer["sweep-changes"]["data"]
    changed = {row["id"]: row for row in changes["update"]}
    assert changed.keys() == {"0010aaaa", rows[0]["id"]}, "the new best and the one before"
    assert changed["0010aaaa"]["is_best"]
    assert not changed[rows[0]["id"]]["is_best"]
    assert changes["add"] == []
    assert "0010aaaa" in json.dumps(answer["sweep-head"])
    assert "trials" not in tick(browser, "live", changes["shown"])


def test_a_new_trial_is_added_and_a_stale_page_is_replaced(live: Path) -> None:
    browser, layout = UiBrowser(live), SweepLayout(live)
    shown = parts(json.loads(browser.page("/sweep/live")), "sweep-shown")["data"]
    record = layout.read_trials()[10]
    record.id, record.number, record.directory = "new0", 12, "resnet20_digits_new0"
    record.state = "pending"
    layout.write_trial(record)
    changes = tick(browser, "live", shown)["sweep-changes"]["data"]
    assert [row["id"] for row in changes["add"]] == ["new0"]
    stale = {"version": 1, "best": None}  # of a server that has been started anew
    replaced = tick(browser, "live", stale)["trials"]
    assert len(replaced["rowData"]) == 13


def test_a_sweep_that_does_not_run_sends_nothing(tmp_path: Path) -> None:
    browser = UiBrowser(FakeSweep(tmp_path / "done", trials=3).write())
    layout = json.loads(browser.page("/sweep/done"))
    shown = parts(layout, "sweep-shown")["data"]
    body = browser.body({"sweep-tick.n_intervals": 1}, sweep_key="done", sweep_shown=shown)
    assert browser.post(body).status_code == 204


def test_hostile_values_are_only_text(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "x", trials=2, states={1: "failed"}).write()
    layout = SweepLayout(sweep)
    record = layout.read_trials()[0]
    script = "<script>alert(1)</script>" * 10
    record.values["optimizer.name"] = "adamw"
    record.values["model.args.note"] = {"a": script}
    record.values["seed.value"] = 2**70
    layout.write_trial(record)
    page = json.loads(UiBrowser(sweep).page("/sweep/x"))
    kinds = {type(value) for row in parts(page, "trials")["rowData"] for value in row.values()}
    assert kinds <= {str, int, float, bool, type(None)}


def test_a_sweep_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    sweep = FakeSweep(tmp_path / "broken", trials=2).write()
    (sweep / "search.yaml").write_text("tune: [")
    browser = UiBrowser(tmp_path)
    assert "search.yaml" in browser.page("/sweep/broken")
    assert "no such sweep" in browser.page("/sweep/other")
    assert "no such page" in browser.page("/other")

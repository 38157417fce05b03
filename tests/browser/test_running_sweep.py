"""A real sweep in a real browser: watched from start to end, and steered by buttons and forms."""

import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import SweepLayout
from tests.browser.conftest import Opener
from tests.support.fake_sweeps import FakeSweep, trial
from trainable.config.yaml_reader import dump_yaml

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
MINUTES = 5 * 60
LONG = 2000
"""Epochs of a trial that only ends because it is stopped."""


def search(directory: Path) -> dict[str, Any]:
    return {
        "name": "watched",
        "config": {
            "seed": {"enabled": True},
            "dataset": {"name": "digits", "val_split": 0.2},
            "model": {"name": "slow_models:mlp"},
            "training": {"epochs": LONG, "batch_size": 256},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "checkpoint": {"enabled": True, "dir": str(directory)},
            "tensorboard": {"enabled": False},
            "progress": {"enabled": False},
        },
        "space": {
            "optimizer.learning_rate": {"loguniform": [1e-2, 1.0]},
            "optimizer.momentum": {"uniform": [0.0, 0.9]},
        },
        "tune": {"num_samples": 2, "seed": 1, "scheduler": "fifo", "max_concurrent_trials": 2},
        "keep": {"min_free_gib": 0},
    }


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`sweep run` in another process, as a user starts it."""
    file = tmp_path / "search.yaml"
    file.write_text(dump_yaml(search(tmp_path / "sweeps")))
    paths = [str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "sweeps.cli", "run", str(file), "--allow-custom-model"]
    with (tmp_path / "driver.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
        yield process
        for _ in range(2):  # the second one does not wait for the end of epochs
            if process.poll() is None:
                process.terminate()
                time.sleep(1)
        process.wait(MINUTES)


def wait_until(page: Page, condition: Any, what: str) -> None:
    until = time.monotonic() + MINUTES
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen"
        page.wait_for_timeout(200)


def row(page: Page, trial: str) -> Any:
    return page.locator(f'#trials .ag-center-cols-container .ag-row[row-id="{trial}"]')


def open_from_list(page: Page, driver: subprocess.Popen[bytes]) -> None:
    """Opens the sweep's page from the list, which finds it without being loaded anew."""
    link = page.locator("#sweeps").get_by_role("link", name="watched")
    wait_until(page, lambda: driver.poll() is None and link.count(), "the sweep in the list")
    link.click()
    expect(page.locator("h1")).to_have_text("watched")
    expect(page.locator("#sweep-head .badge").first).to_have_text("running")


def stop_by_button(page: Page, sweep: Path, trial: str) -> None:
    box = page.locator(f'#trials .ag-row[row-id="{trial}"] .ag-selection-checkbox input').first
    box.check()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    answer = page.locator("#answers .answer.accepted", has_text=f"Trial {trial} stops")
    expect(answer).to_have_count(1)
    expect(row(page, trial).locator(".badge")).to_have_text("stopped")
    record = next(r for r in SweepLayout(sweep).read_trials() if r.id == trial)
    assert (record.state, record.stopped_by) == ("stopped", "hand")


def add_by_form(page: Page, like: str) -> str:
    """Adds a trial like the selected one with another rate and three epochs; returns its id."""
    page.get_by_role("button", name="Add trial").first.click()
    expect(page.locator("#add-form h2")).to_have_text(f"New trial like {like}")
    field = page.get_by_label("optimizer.learning_rate")
    assert float(field.input_value()) > 0
    field.fill("0.05")
    page.locator("#add-more").fill("training.epochs=3")
    page.locator("#add-send").click()
    added = page.locator("#answers .answer.accepted", has_text="is added")
    expect(added).to_have_count(1)
    expect(page.locator("#add-form")).to_be_hidden()
    match = re.search(r"Trial (\w+) is added", added.inner_text())
    assert match is not None
    return match[1]


def test_a_sweep_is_watched_and_steered_from_start_to_end(
    tmp_path: Path, driver: subprocess.Popen[bytes], watch: Opener
) -> None:
    (tmp_path / "sweeps").mkdir(exist_ok=True)
    watched = watch(tmp_path / "sweeps")
    page, sweep = watched.page, tmp_path / "sweeps" / "watched"
    open_from_list(page, driver)
    running = page.locator("#trials .ag-center-cols-container .badge.state-running")
    expect(running).to_have_count(2)
    first, second = (record.id for record in SweepLayout(sweep).read_trials())
    epoch = row(page, first).locator('[col-id="epoch"]')
    wait_until(page, lambda: int(epoch.inner_text() or 0) >= 2, "the second epoch on the page")

    stop_by_button(page, sweep, first)
    added = add_by_form(page, like=first)
    expect(row(page, added).locator(".badge")).to_have_text("finished")
    expect(row(page, added).locator('[col-id="v0"]')).to_have_text("0.05")

    page.get_by_role("button", name="Settings").click()
    page.get_by_label("tune.num_samples").fill("none of them")
    page.locator("#set-send").click()
    expect(page.locator("#answers .answer.refused").last).to_contain_text("tune.num_samples")

    stop_by_button(page, sweep, second)
    expect(page.locator("#sweep-head .badge").first).to_have_text("finished")
    assert driver.wait(MINUTES) == 0, (tmp_path / "driver.log").read_text()
    states = {record.id: record.state for record in SweepLayout(sweep).read_trials()}
    assert states == {first: "stopped", second: "stopped", added: "finished"}
    expect(page.locator("#sweep-head")).to_contain_text("3 of 3")
    assert watched.errors == []
    assert watched.elsewhere == []


def test_ticked_boxes_stay_ticked_while_rows_change(tmp_path: Path, watch: Opener) -> None:
    states: dict[int, Any] = dict.fromkeys(range(8), "running")
    directory = FakeSweep(tmp_path / "sweep", trials=24, state="running", states=states).write()
    watched = watch(tmp_path)
    page = watched.open("/sweep/sweep")
    expect(page.locator("#trials .ag-center-cols-container .ag-row").first).to_be_visible()
    # The page asks for changes often, and every answer has some.
    page.evaluate("dash_clientside.set_props('sweep-tick', {interval: 300})")
    ended = threading.Event()
    writer = threading.Thread(target=append_epochs, args=(directory, len(states), ended))
    writer.start()
    try:
        ids = page.evaluate(TICK_BOXES)
    finally:
        ended.set()
        writer.join()
    expect(page.locator("#chart-count")).to_have_text(f"{len(ids)} trials selected.")
    still = page.evaluate("dash_ag_grid.getApi('trials').getSelectedNodes().map(n => n.id)")
    assert sorted(still) == sorted(ids)
    assert len(ids) == 16
    expect(page.locator("#sweep-head")).to_contain_text(f" of {len(load(directory).results)}")
    assert watched.errors == []


def test_rows_that_are_replaced_keep_order_and_boxes(tmp_path: Path, watch: Opener) -> None:
    """A server that was started anew sends all rows and columns."""
    directory = FakeSweep(tmp_path / "sweep", state="running", states={11: "running"}).write()
    page = watch(tmp_path).open("/sweep/sweep")
    expect(page.locator("#trials .ag-center-cols-container .ag-row")).to_have_count(12)
    page.locator('#trials .ag-header-cell[col-id="number"]').click()
    box = page.locator('#trials .ag-row[row-id="0004aaaa"] .ag-selection-checkbox input').first
    box.check()
    page.evaluate("dash_clientside.set_props('sweep-shown', {data: {version: -1, best: null}})")
    append_epoch(directory, 11, 6, 0.999)
    expect(row(page, "0011aaaa").locator('[col-id="epoch"]')).to_have_text("6")
    order = page.evaluate(
        """[...Array(12).keys()].map(
            (i) => dash_ag_grid.getApi('trials').getDisplayedRowAtIndex(i).id
        )"""
    )
    assert order == [f"{number:04d}aaaa" for number in range(12)]
    expect(box).to_be_checked()
    expect(page.locator("#chart-count")).to_have_text("1 trial selected.")


TICK_BOXES = """async () => {
    const nodes = [];
    dash_ag_grid.getApi('trials').forEachNode((node) => nodes.push(node));
    const unticked = nodes.filter((_, number) => number % 3 === 0);
    for (const node of [...nodes, ...unticked]) {
        dash_ag_grid.getApi('trials').ensureNodeVisible(node);
        await new Promise((resolve) => setTimeout(resolve, 150));
        document
            .querySelector(`#trials .ag-row[row-id="${node.id}"] .ag-selection-checkbox input`)
            .click();
    }
    return nodes.filter((node) => !unticked.includes(node)).map((node) => node.id);
}"""
"""Ticks the box of every trial, one after the other, and unticks every third one."""


def append_epochs(directory: Path, running: int, ended: threading.Event) -> None:
    """Appends epochs to running trials that change their order in the table, and a few trials."""
    rng, layout = random.Random(1), SweepLayout(directory)
    record = layout.read_trials()[0]
    for epoch in itertools.count(6):
        if ended.wait(0.05):
            return
        for number in range(running):
            append_epoch(directory, number, epoch, rng.random())
        if epoch % 20 == 0:
            name = f"new{epoch}"
            layout.write_trial(replace(record, id=name, directory=name, number=100 + epoch))


def append_epoch(directory: Path, number: int, epoch: int, accuracy: float) -> None:
    row = {"epoch": epoch, "val_acc": accuracy, "val_loss": 1.0, "epoch_time": 1.0}
    with (trial(directory, number) / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")

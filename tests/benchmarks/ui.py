"""`python -m tests.benchmarks.ui [TRIALS]`: what the page of a large sweep costs.

A synthetic sweep of 1,000 trials with up to 30 epochs; its lock is held as by a driver. Figures
are processor time of the server for one answer, and bytes of the answer before compression. With
Chromium also the time until the page paints and until its table has rows, cold and warm.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from sweeps.sweep_dir.layout import LOCK_FILE, SweepLayout
from sweeps.ui.cached_sweep import LOOK_INTERVAL_S
from sweeps.ui.server import UiServer
from tests.support.fake_sweeps import FakeSweep
from tests.support.ui_browser import UiBrowser

TRIALS = 1000
LIVE = 16
"""Trials that run, each of which has a new epoch at every look."""
EPOCHS = 30
ROUNDS = 5


def add_epochs(sweep: Path) -> None:
    """Gives every running trial another epoch."""
    for directory in sorted(sweep.iterdir())[-LIVE - 10 :]:
        path = directory / "metrics.jsonl"
        if (
            path.exists()
            and json.loads((directory / "trial.json").read_text())["state"] == "running"
        ):
            row = json.loads(path.read_text().splitlines()[-1])
            row["epoch"] += 1
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def cost(call: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the processor time of a call in seconds, and its result."""
    before = time.process_time()
    result = call()
    return time.process_time() - before, result


def measure_server(sweep: Path) -> None:
    """Prints the cost of the first answer and of the ticks that follow."""
    browser = UiBrowser(sweep.parent)
    page_body = browser.body({"url.pathname": f"/sweep/{sweep.name}", "url.search": ""})
    for name in ("first answer, files read", "another browser's first answer"):
        seconds, response = cost(lambda: browser.post(page_body))
        print(f"{name:<45} {seconds:6.3f} s  {len(response.data) / 1e3:7.0f} KB", flush=True)
    view = browser.call({"url.pathname": f"/sweep/{sweep.name}", "url.search": ""})
    shown = json.loads(json.dumps(view))["page"]["children"]["props"]["children"][1]["props"][
        "data"
    ]
    for name, changes in (
        ("tick, nothing changed", False),
        (f"tick, {LIVE} trials changed", True),
    ):
        costs, size = [], 0
        for _ in range(ROUNDS):
            if changes:
                add_epochs(sweep)
            time.sleep(LOOK_INTERVAL_S)
            states = {"sweep_key": sweep.name, "sweep_shown": shown}
            body = browser.body({"sweep-tick.n_intervals": 1}, **states)
            seconds, response = cost(lambda body=body: browser.post(body))
            costs.append(seconds)
            size = len(response.data)
            shown = response.get_json()["response"].get("sweep-shown", {}).get("data", shown)
        median = statistics.median(costs)
        print(f"{name:<45} {median:6.3f} s  {size / 1e3:7.0f} KB", flush=True)


def measure_browser(sweep: Path, chromium: str) -> None:
    """Prints how long the page takes in Chromium."""
    from playwright.sync_api import sync_playwright

    server = UiServer([sweep.parent], "127.0.0.1", 0)
    with server.in_background(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        for name in ("cold", "warm"):
            page = context.new_page()
            started = time.monotonic()
            page.goto(f"{server.address}sweep/{sweep.name}", wait_until="commit")
            page.wait_for_selector("#trials .ag-center-cols-container .ag-row", state="attached")
            rows_s = time.monotonic() - started
            paint_ms = page.evaluate("performance.getEntriesByType('paint').at(-1).startTime")
            print(
                f"Chromium, {name}: paint {paint_ms / 1e3:.2f} s, rows {rows_s:.2f} s", flush=True
            )
            page.close()
        browser.close()


def main() -> None:
    """Measures and prints a line per figure."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    states = dict.fromkeys(range(trials - LIVE, trials), "running")
    print(f"{trials} trials, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place).resolve() / "large"
        sweep = FakeSweep(
            directory, trials=trials, epochs=EPOCHS, state="running", states=states
        ).write()
        assert len(SweepLayout(sweep).read_trials()) == trials
        with FileLock(sweep / LOCK_FILE):
            measure_server(sweep)
            chromium = shutil.which("chromium") or shutil.which("chromium-browser")
            if chromium is not None:
                measure_browser(sweep, chromium)


if __name__ == "__main__":
    main()

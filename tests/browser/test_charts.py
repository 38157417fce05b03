"""Charts, the page of a trial and the comparison in a headless Chromium."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sweeps.results.loaded_sweep import load
from tests.browser.conftest import Opener
from tests.support.fake_sweeps import FakeSweep, trial

pytestmark = pytest.mark.browser

GRAPH = "#chart-body .js-plotly-plot"
SELECTED = "#trials .ag-center-cols-container .ag-row-selected"


def write(directory: Path, **options: Any) -> Path:
    """Writes a sweep whose best trials have measured their classes."""
    FakeSweep(directory, **options).write()
    for result in load(directory).results[:2]:
        rows = [
            {
                "epoch": row["epoch"],
                "val_recall_per_class": [0.75, 0.5],
                "val_confusion_matrix": [[3, 1], [2, 2]],
            }
            for row in result.rows
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (result.directory / "classes.jsonl").write_text(text)
        (result.directory / "trial.log").write_text("epoch 1 <b>of the log</b>\n")
    return directory


def open_tab(page: Page, title: str) -> None:
    page.locator("#chart-tabs .tab", has_text=title).click()
    expect(page.locator("#chart-tabs .tab-open")).to_have_text(title)


def drag(page: Page, axis: int, start: float, end: float) -> None:
    """Drags along an axis of the parallel coordinates; shares of it count from the top."""
    page.locator(GRAPH).scroll_into_view_if_needed()
    box = page.locator(f"{GRAPH} .parcoords .axis-brush .background").nth(axis).bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + start * box["height"])
    page.mouse.down()
    page.mouse.move(x, box["y"] + (start + end) / 2 * box["height"], steps=4)
    page.mouse.move(x, box["y"] + end * box["height"], steps=4)
    page.mouse.up()


def plotted(page: Page, what: str) -> Any:
    return page.evaluate(f"document.querySelector('{GRAPH}').{what}")


def test_the_brush_selects_trials_in_the_table_and_stays(tmp_path: Path, watch: Opener) -> None:
    states = {0: "running"}
    directory = write(tmp_path / "sweep", trials=24, state="running", states=states)
    watched = watch(tmp_path)
    page = watched.open("/sweep/sweep")
    expect(page.locator(f"{GRAPH} .main-svg").first).to_be_visible()
    open_tab(page, "Parallel coordinates")
    expect(page.locator(f"{GRAPH} .parcoords .axis-brush")).to_have_count(5)

    results = load(directory).results
    labels = plotted(page, "data[0].dimensions.map(d => d.label)")
    drag(page, labels.index("val_acc"), 0.0, 0.45)
    expect(page.locator("#chart-count")).to_contain_text("selected")
    low, high = plotted(page, f"data[0].dimensions[{labels.index('val_acc')}].constraintrange")
    inside = [r.record.id for r in results if r.best and low <= r.best["val_acc"] <= high]
    assert 0 < len(inside) < len(results)
    expect(page.locator("#chart-count")).to_have_text(f"{len(inside)} trials selected.")
    for name in inside[:3]:
        expect(page.locator(f'{SELECTED}[row-id="{name}"]')).to_have_count(1)
    expect(page.locator(f'{SELECTED}[row-id="{results[-1].record.id}"]')).to_have_count(0)

    # An epoch that comes redraws the chart and leaves the brush.
    with (trial(directory, 0) / "metrics.jsonl").open("a") as file:
        row = {**load(directory).find("0000").rows[-1], "epoch": 6, "val_acc": 0.999}
        file.write(json.dumps(row) + "\n")
    page.wait_for_function(
        f"document.querySelector('{GRAPH}').data[0].dimensions[4].range[1] > 0.99"
    )
    assert plotted(page, "data[0].dimensions[4].constraintrange") == [low, high]
    brushed = plotted(page, "_fullData[0].dimensions[4].constraintrange")
    assert brushed == [low, high]
    assert watched.errors == []
    assert watched.elsewhere == []


def test_every_tab_is_drawn_when_it_is_opened(tmp_path: Path, watch: Opener) -> None:
    states: dict[int, Any] = {2: "failed"}
    write(tmp_path / "sweep", trials=24, states=states, tune={"repeats": 2})
    watched = watch(tmp_path, width=800, colours="dark")
    page = watched.open("/sweep/sweep")
    expect(page.locator(f"{GRAPH} .scatterlayer .trace").first).to_be_attached()
    page.locator("#chart-metric").click()
    page.get_by_role("option", name="val_loss").click()
    expect(page.locator(f"{GRAPH} .ytitle")).to_have_text("val_loss")
    for title, part in {
        "Best so far": ".scatterlayer .points path",
        "Parallel coordinates": ".parcoords .axis-brush",
        "Importance": ".barlayer .point",
        "Repeats": ".errorbar",
    }.items():
        open_tab(page, title)
        expect(page.locator(f"{GRAPH} {part}").first).to_be_attached()
        expect(page.locator(GRAPH)).to_have_count(1)
    open_tab(page, "Failures")
    expect(page.locator("#chart-content")).to_contain_text("CUDA out of memory")
    expect(page.locator(GRAPH)).to_have_count(0)
    assert watched.errors == []
    assert watched.elsewhere == []


def test_a_trial_and_a_comparison(tmp_path: Path, watch: Opener) -> None:
    directory = write(tmp_path / "sweep", trials=6)
    first, second = (result.record.id for result in load(directory).results[:2])
    watched = watch(tmp_path)
    page = watched.open("/sweep/sweep")
    for name in (first, second):
        page.locator(
            f'#trials .ag-row[row-id="{name}"] .ag-selection-checkbox input'
        ).first.check()
    page.get_by_role("link", name="Compare").click()
    expect(page.locator("h1")).to_have_text("2 trials of sweep")
    expect(page.locator("#compare-curves .scatterlayer .trace")).to_have_count(2)
    expect(page.locator(".comparison tbody tr").first).to_contain_text(
        re.compile(r"optimizer|training")
    )
    expect(page.locator("#compare-classes")).to_contain_text("Recall of each class")

    page.get_by_role("link", name=first).click()
    expect(page.locator("h1")).to_have_text(f"Trial {first}")
    expect(page.locator("#trial-curves .js-plotly-plot .scatterlayer")).to_have_count(5)
    expect(page.locator("#trial-details .heatmaplayer image")).to_have_count(1)
    expect(page.locator("#trial-log")).to_have_text("epoch 1 <b>of the log</b>\n")
    page.locator("summary", has_text="Whole config").click()
    expect(page.locator(".config .changed").first).to_be_visible()
    page.get_by_role("link", name="sweep", exact=True).click()
    expect(page.locator("#trials .ag-row").first).to_be_visible()
    assert watched.errors == []
    assert watched.elsewhere == []

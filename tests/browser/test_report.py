"""`report.html` in a browser: table, filters, details of a trial, brush, colours, width."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from sweeps.report.page import write_report
from sweeps.results.loaded_sweep import LoadedSweep, load
from tests.browser.conftest import HEIGHT, Watched
from tests.support.fake_sweeps import FakeSweep, trial

pytestmark = pytest.mark.browser

TRIALS = 100
ROWS = "#trial-table tbody tr"
PLOTS = (
    *("learning-curves", "best-so-far", "parameters", "pairs", "pareto-front", "configurations"),
    *("schedule", "stopped-trials", "timeline"),
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> LoadedSweep:
    """A sweep of 100 trials with a report; one trial's failure has markup in its message."""
    directory = FakeSweep(
        tmp_path_factory.mktemp("report") / "sweep", trials=TRIALS, states={3: "failed"}
    ).write()
    record = trial(directory, 3) / "trial.json"
    record.write_text(record.read_text().replace("CUDA out", "<img src=x onerror=fail()> out"))
    write_report(directory)
    return load(directory)


Opener = Callable[..., Watched]


@pytest.fixture
def show(chromium: Browser) -> Iterator[Opener]:
    """Opens a file; a test fails if the page logs an error or requests anything else."""
    with ExitStack() as stack:
        windows = []

        def open_window(
            path: Path, width: int = 1400, colours: Literal["light", "dark"] = "light"
        ) -> Watched:
            context = chromium.new_context(
                viewport={"width": width, "height": HEIGHT}, color_scheme=colours
            )
            stack.callback(context.close)
            watched = Watched(context.new_page(), path.as_uri())
            watched.page.goto(path.as_uri())
            watched.page.wait_for_selector("html[data-ready]", state="attached")
            windows.append(watched)
            return watched

        yield open_window
        for window in windows:
            assert window.errors == []
            assert window.elsewhere == []


def column(page: Page, title: str) -> list[str]:
    """Returns the cells of a column of the table, from top to bottom."""
    titles = page.locator("#trial-table thead th").all_inner_texts()
    number = [re.sub(r"\W+$", "", text) for text in titles].index(title) + 1
    return page.locator(f"{ROWS} td:nth-child({number})").all_inner_texts()


def plot(page: Page, name: str) -> Locator:
    """Returns the first chart of a part of the page, which is drawn when it is seen."""
    page.locator(f"section#{name}").scroll_into_view_if_needed()
    chart = page.locator(f'[data-chart="{name}"] .js-plotly-plot').first
    chart.scroll_into_view_if_needed()
    return chart


def shown(page: Page) -> str:
    return page.locator(".toolbar .count").inner_text()


def test_the_table_sorts_filters_and_opens_a_trial(sweep: LoadedSweep, show: Opener) -> None:
    page = show(sweep.directory / "report.html").page
    ids = [result.record.id for result in sweep.results]
    assert column(page, "trial") == ids
    page.get_by_role("button", name="learning_rate", exact=True).click()
    rates = {r.record.id: r.values["optimizer.learning_rate"] for r in sweep.results}
    assert column(page, "trial") == sorted(ids, key=lambda id_: -rates[id_])
    page.keyboard.press("Enter")  # the heading has the focus
    assert column(page, "trial") == sorted(ids, key=lambda id_: rates[id_])
    expect(page.locator("#trial-table th", has_text="learning_rate")).to_have_attribute(
        "aria-sort", "ascending"
    )

    page.get_by_role("button", name="stopped", exact=False).first.click()
    assert set(column(page, "state")) == {"stopped"}
    assert shown(page) == f"{sweep.states['stopped']} of {TRIALS} trials"
    page.get_by_label("Filter the trials").fill("val_acc<0.2 sgd")
    few = [
        result.record.id
        for result in sweep.results
        if result.record.state == "stopped"
        and result.best is not None
        and result.best["val_acc"] < 0.2
        and result.values["optimizer.name"] == "sgd"
    ]
    assert set(column(page, "trial")) == set(few)
    page.get_by_role("button", name="Show all").click()
    assert shown(page) == f"{TRIALS} trials"

    page.get_by_label("Filter the trials").fill("0003aaaa")
    page.locator(f"{ROWS} td").nth(2).click()
    panel = page.locator("#trial")
    expect(panel.get_by_role("heading", name="Trial 0003aaaa")).to_be_visible()
    text = panel.inner_text()
    result = sweep.find("0003")
    assert str(result.values["optimizer.learning_rate"]) in text
    assert "<img src=x onerror=fail()> out of memory" in text
    assert f"{result.directory}/checkpoints/best.pt --epochs 18" in text
    assert f"sweep logs {sweep.directory} 0003aaaa" in text
    assert "trial.json" in text
    expect(panel.locator(".js-plotly-plot .scatterlayer .trace")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_a_brush_and_a_metric_change_every_chart(sweep: LoadedSweep, show: Opener) -> None:
    page = show(sweep.directory / "report.html").page
    curves = plot(page, "learning-curves")
    expect(curves.locator(".ytitle")).to_have_text("val_acc")
    page.get_by_label("metric").select_option("train_loss")
    expect(curves.locator(".ytitle")).to_have_text("train_loss")

    handle = page.locator('.handle[data-axis="val_acc"]')
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()
    expect(page.locator(".toolbar .count")).to_have_text(re.compile(rf"^\d+ of {TRIALS} trials$"))
    scores = [float(text) for text in column(page, "val_acc")]
    best = [r.best["val_acc"] for r in sweep.results if r.best is not None]
    limit = (min(best) + max(best)) / 2
    assert len(scores) == sum(score > limit for score in best)
    history = plot(page, "best-so-far")
    expect(history.locator(".scatterlayer .point")).to_have_count(len(scores))

    handle.focus()
    page.keyboard.press("Escape")  # takes the brush back
    expect(page.locator(".toolbar .count")).to_have_text(f"{TRIALS} trials")
    point = history.locator(".scatterlayer .point").first
    point.scroll_into_view_if_needed()
    center = point.bounding_box()
    assert center is not None
    page.mouse.move(center["x"] + center["width"] / 2, center["y"] + center["height"] / 2)
    expect(history.locator(".hovertext")).to_contain_text(re.compile(r"\d{4}aaaa \(finished"))
    page.mouse.down()
    page.mouse.up()
    expect(page.locator("#trial h2")).to_have_text(re.compile(r"^Trial \d{4}aaaa$"))


@pytest.mark.parametrize(("width", "colours"), [(1400, "dark"), (390, "light")])
def test_all_charts_are_drawn_in_dark_and_on_a_telephone(
    tmp_path: Path, show: Opener, width: int, colours: Literal["light", "dark"]
) -> None:
    tune = {"repeats": 2, "num_samples": 6, "pareto": {"epoch_s": "min"}}
    directory = FakeSweep(
        tmp_path / "sweep",
        tune=tune,
        epoch_s={number: 1.0 + number % 5 for number in range(12)},
    ).write()
    record = trial(directory, 1) / "trial.json"
    step = {"epoch": 1, "donor": "x", "values": {"optimizer.learning_rate": 0.5}}
    record.write_text(
        record.read_text().replace('"lineage": []', f'"lineage": [{step}]'.replace("'", '"'))
    )
    window = show(write_report(directory), width=width, colours=colours)
    page = window.page
    for name in PLOTS:
        expect(plot(page, name).locator(".main-svg").first).to_be_visible()
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert page.evaluate(widths) == [width, width]

    def colour() -> str:
        title = plot(page, "timeline").locator(".xtitle")
        return str(title.evaluate("element => getComputedStyle(element).fill"))

    before = colour()
    page.emulate_media(color_scheme="light" if colours == "dark" else "dark")
    page.wait_for_function(
        "before => getComputedStyle(document.querySelector("
        "'[data-chart=timeline] .xtitle')).fill !== before",
        arg=before,
    )
    assert {before, colour()} == {"rgb(228, 232, 238)", "rgb(27, 33, 41)"}


def test_a_metric_of_few_epochs_is_drawn_and_an_odd_address_opens_no_trial(
    tmp_path: Path, show: Opener
) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=1, states={0: "finished"}).write()
    path = trial(directory, 0) / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for epoch in (4, 8):
        rows[epoch - 1]["test_acc"] = epoch / 16
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = show(write_report(directory)).page
    curves = plot(page, "learning-curves")
    page.get_by_label("metric").select_option("test_acc")
    expect(curves.locator(".ytitle")).to_have_text("test_acc")
    measured = "chart => chart.data[0].y.filter((value) => value !== null)"
    assert curves.evaluate(measured) == [0.25, 0.5]
    assert curves.evaluate("chart => chart.data[0].mode") == "lines+markers"
    page.evaluate("location.hash = '#trial-%'")
    expect(page.locator("#trial")).to_be_hidden()
    page.evaluate("location.hash = '#trial-0000aaaa'")
    expect(page.locator("#trial .js-plotly-plot .trace")).to_have_count(1)


def test_without_a_script_the_page_has_text_and_tables(
    sweep: LoadedSweep, chromium: Browser
) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((sweep.directory / "report.html").as_uri())
    rows = page.locator("#trials noscript tbody tr")
    assert rows.count() == TRIALS
    assert sweep.results[0].record.id in rows.first.inner_text()
    expect(page.locator("#best-config")).to_contain_text("sweep eval")
    expect(page.locator("#trial-table")).to_be_hidden()
    context.close()

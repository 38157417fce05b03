"""`report.html`: the content of the page, and that a browser opens it."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sweeps.cli.main import main
from sweeps.report.page import write_report
from tests.support.fake_sweeps import ONE_KEY, FakeSweep, sweep, trial

TITLES = [
    "Summary",
    "Best config",
    "Optimization history",
    "Parameter importance",
    "Parallel coordinates",
    "Slices",
    "Contours",
    "Learning curves",
    "Stopped trials by epoch",
    "Timeline",
    "Stopped trials",
    "Failures",
    "Environment",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Page(HTMLParser):
    """The text and the number of plots below each `h2`, and the URLs that the page loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.plots: dict[str, int] = {}
        self.loaded_urls: list[str] = []
        self._title, self._tag = "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        values = dict(attrs)
        self.loaded_urls += [str(values[name]) for name in ("src", "data") if name in values]
        if tag == "link":
            self.loaded_urls.append(str(values.get("href")))
        if "plotly-graph-div" in str(values.get("class")):
            self.plots[self._title] = self.plots.get(self._title, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag in {"script", "style"}:
            return
        if self._tag == "h2":
            self._title = data
        self.text[self._title] = self.text.get(self._title, "") + data + " "


@pytest.fixture
def page(tmp_path: Path) -> Callable[..., Page]:
    def write(**options: Any) -> Page:
        return Page(write_report(FakeSweep(tmp_path / "sweep", **options).write()))

    return write


def test_the_report_has_every_part(page: Callable[..., Page]) -> None:
    report = page(states={3: "failed"}, rules={4: "early_stopping", 5: "max_seconds"})
    assert [title for title in report.text if title] == TITLES
    assert report.plots == dict.fromkeys(TITLES[2:10], 1)
    assert "CUDA out of memory" in report.text["Failures"]
    assert "optimizer.learning_rate" in report.text["Best config"]
    assert "ray version 2.60.0" in " ".join(report.text["Environment"].split())
    by_epoch, stopped = report.text["Stopped trials by epoch"], report.text["Stopped trials"]
    assert re.search(
        r"Trials stopped early: \d by asha, 1 by training.early_stopping, 1 by", by_epoch
    )
    assert "training.early_stopping: a rule" in stopped
    assert "scheduler" in stopped


@pytest.mark.slow
def test_only_some_of_many_trials_are_drawn(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.report.curve_charts.MAX_TRIALS", 6)
    report = page()
    for title in ("Parallel coordinates", "Contours", "Learning curves"):
        assert "Shows 6 of 12 trials: the best 3 and a choice of the others." in report.text[title]
        assert report.plots[title] == 1


def test_copied_trials_are_listed_by_their_ids(tmp_path: Path) -> None:
    tune = {"scheduler": "pbt"}
    directory = FakeSweep(tmp_path / "sweep", space=ONE_KEY, tune=tune).write()
    path = trial(directory, 1) / "trial.json"
    record = json.loads(path.read_text())
    step = {"epoch": 2, "donor": trial(directory, 7).name, "values": record["values"]}
    path.write_text(json.dumps({**record, "lineage": [step]}))
    text = Page(write_report(directory)).text["Stopped trials"]
    assert "copied 0001aaaa 2 0007aaaa" in " ".join(text.split())
    assert "copied 0007aaaa after epoch 2" in sweep("show", directory, "0001").stdout


def test_the_report_loads_nothing(page: Callable[..., Page]) -> None:
    assert page().loaded_urls == []


def test_an_unfinished_sweep_only_has_a_best_so_far(page: Callable[..., Page]) -> None:
    report = page(state="paused", states={0: "paused"})
    assert "best so far val_acc" in report.text["Summary"]


def test_a_chart_that_cannot_be_drawn_shows_the_reason(page: Callable[..., Page]) -> None:
    report = page(trials=1, states={0: "pending"}, state="paused")
    assert report.plots == {}
    assert "This needs at least one trial with a result; there are none." in report.text["Slices"]
    assert "This needs at least two trials with a result" in report.text["Contours"]
    assert "This needs at least two trials" in report.text["Parameter importance"]
    assert "No trial has completed an epoch." in report.text["Learning curves"]
    assert "No trial has started." in report.text["Timeline"]


@pytest.mark.parametrize(
    "trials", [2, *(pytest.param(trials, marks=pytest.mark.slow) for trials in (1, 3))]
)
def test_few_trials_make_a_report(page: Callable[..., Page], trials: int) -> None:
    report = page(trials=trials, states={0: "finished"})
    assert {"Optimization history", "Slices", "Learning curves"} <= set(report.plots)


def test_trials_that_all_failed_make_a_report(page: Callable[..., Page]) -> None:
    report = page(trials=3, states=dict.fromkeys(range(3), "failed"))
    assert "there are none" in report.text["Optimization history"]
    assert report.plots["Learning curves"] == 1  # they failed after epoch 2


def test_one_parameter_has_no_contours(page: Callable[..., Page]) -> None:
    report = page(space=ONE_KEY)
    assert "This needs at least two parameters; there is 1." in report.text["Contours"]
    assert report.plots["Slices"] == 1


@pytest.mark.slow
def test_a_space_without_parameters_makes_a_report(page: Callable[..., Page]) -> None:
    report = page(space={})
    assert "This needs at least one parameter; there are none." in report.text["Slices"]
    assert report.plots["Learning curves"] == 1


@pytest.mark.slow
def test_a_metric_that_never_changes_makes_a_report(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.fake_sweeps.compute_quality", lambda values: 0.0)
    monkeypatch.setattr("tests.support.fake_sweeps.random.Random.uniform", lambda *ends: 0.005)
    report = page()
    assert report.plots["Optimization history"] == 1


def test_text_of_trials_is_escaped(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed"}).write()
    record = next(directory.glob("*_0003aaaa/trial.json"))
    record.write_text(
        record.read_text().replace("CUDA out of memory", "<script>alert(1)</script>")
    )
    page = Page(write_report(directory))
    assert "<script>alert(1)</script>" in page.text["Failures"]
    assert "<script>alert(1)" not in write_report(directory).read_text()


@pytest.mark.slow
def test_a_failure_wraps_and_its_traceback_is_folded(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed"}).write()
    record = next(directory.glob("*_0003aaaa/trial.json"))
    message = "RuntimeError: " + "x" * 500
    record.write_text(
        record.read_text()
        .replace("CUDA out of memory", message)
        .replace("Traceback: ...", "line 1\\nline 2")
    )
    html = write_report(directory).read_text(encoding="utf-8")
    assert re.search(r"\.long \{[^}]*max-width[^}]*overflow-wrap: anywhere", html)
    assert f'<div class="long">{message}</div><details><summary>traceback</summary>' in html
    assert '<pre class="long">line 1\nline 2</pre></details>' in html
    assert f"sweep logs {directory} 0003aaaa" in Page(directory / "report.html").text["Failures"]


@pytest.mark.slow
def test_the_best_and_the_last_epoch_are_told_apart(page: Callable[..., Page]) -> None:
    text = " ".join(page().text["Best config"].split())
    assert re.search(r"best val_acc 0\.\d{4} at epoch \d last val_acc 0\.\d{4} at epoch 9", text)


def test_the_command_prints_the_path_of_the_report(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep").write()
    result = CliRunner().invoke(main, ["report", str(directory)])
    assert result.output == f"report: {directory / 'report.html'}\n"
    assert (directory / "report.html").exists()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_opens_the_report_without_an_error(tmp_path: Path) -> None:
    path = write_report(FakeSweep(tmp_path / "sweep", states={3: "failed"}).write())
    done = subprocess.run(
        [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"),
            f"--user-data-dir={tmp_path / 'profile'}",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    console_messages = [
        line for line in done.stderr.splitlines() if re.search(r"CONSOLE[:(\]]", line)
    ]
    assert console_messages == []
    assert done.stdout.count('class="main-svg"') >= 8  # drawn by plotly.js

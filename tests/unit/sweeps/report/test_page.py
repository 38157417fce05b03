"""`report.html`: what is on the page, and that a browser opens it."""

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
    "Optimisation history",
    "Importance of the parameters",
    "Parallel coordinates",
    "Slices",
    "Contours",
    "Learning curves",
    "What the scheduler stopped",
    "Timeline",
    "Stopped trials",
    "Failures",
    "Environment",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Page(HTMLParser):
    """The text and the number of plots below each `h2`, and what the page would fetch."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.plots: dict[str, int] = {}
        self.fetched: list[str] = []
        self._title, self._tag = "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        values = dict(attrs)
        self.fetched += [str(values[name]) for name in ("src", "data") if name in values]
        if tag == "link":
            self.fetched.append(str(values.get("href")))
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
    def make(**options: Any) -> Page:
        return Page(write_report(FakeSweep(tmp_path / "sweep", **options).write()))

    return make


def test_the_report_has_every_part(page: Callable[..., Page]) -> None:
    found = page(states={3: "failed"})
    assert [title for title in found.text if title] == TITLES
    assert found.plots == dict.fromkeys(TITLES[2:10], 1)
    assert "CUDA out of memory" in found.text["Failures"]
    assert "optimizer.learning_rate" in found.text["Best config"]
    assert "ray version 2.60.0" in " ".join(found.text["Environment"].split())
    assert "trials were ended early by asha" in found.text["What the scheduler stopped"]


def test_of_many_trials_some_are_drawn_one_by_one(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.report.curve_charts.MANY", 6)
    found = page()
    for title in ("Parallel coordinates", "Contours", "Learning curves"):
        assert "6 of 12 trials: the best 3, of the others some." in found.text[title]
        assert found.plots[title] == 1


def test_who_took_over_whom_is_told_by_their_ids(tmp_path: Path) -> None:
    tune = {"scheduler": "pbt"}
    directory = FakeSweep(tmp_path / "sweep", space=ONE_KEY, tune=tune).write()
    path = trial(directory, 1) / "trial.json"
    record = json.loads(path.read_text())
    step = {"epoch": 2, "donor": trial(directory, 7).name, "values": record["values"]}
    path.write_text(json.dumps({**record, "lineage": [step]}))
    text = Page(write_report(directory)).text["Stopped trials"]
    assert "took over 0001aaaa 2 0007aaaa" in " ".join(text.split())
    assert "took over 0007aaaa after epoch 2" in sweep("show", directory, "0001").stdout


def test_the_report_fetches_nothing(page: Callable[..., Page]) -> None:
    assert page().fetched == []


def test_a_report_of_a_running_sweep_claims_no_best(page: Callable[..., Page]) -> None:
    found = page(state="paused", states={0: "paused"})
    assert "best so far val_acc" in found.text["Summary"]


def test_without_a_trial_each_chart_says_why_it_is_missing(page: Callable[..., Page]) -> None:
    found = page(trials=1, states={0: "pending"}, state="paused")
    assert found.plots == {}
    assert "It takes one trial with a result, there are none." in found.text["Slices"]
    assert "It takes two trials with a result" in found.text["Contours"]
    assert "It takes two trials" in found.text["Importance of the parameters"]
    assert "No trial has completed an epoch." in found.text["Learning curves"]
    assert "No trial has started." in found.text["Timeline"]


@pytest.mark.parametrize("trials", [1, 2, 3])
def test_few_trials_make_a_report(page: Callable[..., Page], trials: int) -> None:
    found = page(trials=trials, states={0: "finished"})
    assert {"Optimisation history", "Slices", "Learning curves"} <= set(found.plots)


def test_trials_that_all_failed_make_a_report(page: Callable[..., Page]) -> None:
    found = page(trials=3, states=dict.fromkeys(range(3), "failed"))
    assert "there are none" in found.text["Optimisation history"]
    assert found.plots["Learning curves"] == 1  # they had come to epoch 2


def test_one_parameter_has_no_contours(page: Callable[..., Page]) -> None:
    found = page(space=ONE_KEY)
    assert "It takes two parameters, there is 1." in found.text["Contours"]
    assert found.plots["Slices"] == 1


def test_a_space_without_parameters_makes_a_report(page: Callable[..., Page]) -> None:
    found = page(space={})
    assert "It takes one parameter, there are none." in found.text["Slices"]
    assert found.plots["Learning curves"] == 1


def test_a_metric_that_never_changes_makes_a_report(
    page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.fake_sweeps.compute_quality", lambda values: 0.0)
    monkeypatch.setattr("tests.support.fake_sweeps.random.Random.uniform", lambda *ends: 0.005)
    found = page()
    assert found.plots["Optimisation history"] == 1


def test_text_of_trials_is_not_taken_for_html(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed"}).write()
    record = next(directory.glob("*_0003aaaa/trial.json"))
    record.write_text(
        record.read_text().replace("CUDA out of memory", "<script>alert(1)</script>")
    )
    page = Page(write_report(directory))
    assert "<script>alert(1)</script>" in page.text["Failures"]
    assert "<script>alert(1)" not in write_report(directory).read_text()


def test_the_verb_says_where_the_report_is(tmp_path: Path) -> None:
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
    complaints = [line for line in done.stderr.splitlines() if re.search(r"CONSOLE[:(\]]", line)]
    assert complaints == []
    assert done.stdout.count('class="main-svg"') >= 8  # plotly.js has drawn them

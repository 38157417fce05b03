"""`report.html`: the content of the page without its script; `tests/browser` has the rest."""

import base64
import hashlib
import json
import re
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
    "Trials",
    "Learning curves",
    "Best so far",
    "Parallel coordinates",
    "Parameters",
    "Pairs of parameters",
    "Parameter importance",
    "Stopped trials by epoch",
    "Timeline",
    "Failures",
    "Environment",
]
CHARTS = {*TITLES[3:8], *TITLES[9:11]}


class Page(HTMLParser):
    """The text and the number of charts below each `h2`, and the URLs that the page loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text: dict[str, str] = {}
        self.charts: dict[str, int] = {}
        self.loaded_urls: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self._title, self._tag = "", ""
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        values = dict(attrs)
        self.loaded_urls += [str(values[name]) for name in ("src", "data") if name in values]
        if tag == "link":
            self.loaded_urls.append(str(values.get("href")))
        if "data-chart" in values:
            self.charts[self._title] = self.charts.get(self._title, 0) + 1

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


def words(text: str) -> str:
    return " ".join(text.split())


def test_the_report_has_every_part(page: Callable[..., Page]) -> None:
    report = page(states={3: "failed"}, rules={4: "early_stopping", 5: "max_seconds"})
    assert [title for title in report.text if title] == TITLES
    assert report.charts == dict.fromkeys(CHARTS, 1)
    assert "CUDA out of memory" in report.text["Failures"]
    assert "optimizer.learning_rate" in report.text["Best config"]
    assert "ray version 2.60.0" in words(report.text["Environment"])
    stopped = report.text["Stopped trials by epoch"]
    assert re.search(r"Stopped early: \d by asha, 1 by training.early_stopping, 1 by", stopped)
    assert "12 trials" in report.text[""]


def test_without_a_script_all_trials_are_a_table(page: Callable[..., Page]) -> None:
    report = page(states={3: "failed"}, rules={4: "early_stopping"})
    rows = re.findall(r"<noscript><div.*?</noscript>", report.html, re.DOTALL)[0].split("<tr")[2:]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    assert [row[0] for row in cells] == [str(rank) for rank in range(1, 13)]
    assert re.findall(r'^ id="trial-(\w+)">', "\n".join(rows), re.MULTILINE) == [
        row[1] for row in cells
    ]
    by_id = {row[1]: row for row in cells}
    assert by_id["0003aaaa"][2:3] + by_id["0003aaaa"][5:8] == [
        "failed", "2", "10 min", "oom after epoch 2",
    ]  # fmt: skip
    assert by_id["0004aaaa"][7] == "training.early_stopping: a rule"
    scores = [float(row[3]) for row in cells]
    assert scores == sorted(scores, reverse=True)


def test_copied_trials_are_listed_by_their_ids_with_the_new_values(tmp_path: Path) -> None:
    tune = {"scheduler": "pbt"}
    directory = FakeSweep(tmp_path / "sweep", space=ONE_KEY, tune=tune).write()
    path = trial(directory, 1) / "trial.json"
    record = json.loads(path.read_text())
    values = {"optimizer.learning_rate": 0.5}
    step = {"epoch": 2, "donor": trial(directory, 7).name, "values": values}
    path.write_text(json.dumps({**record, "lineage": [step]}))
    report = Page(write_report(directory))
    assert "0001aaaa 2 0007aaaa optimizer.learning_rate 0.5" in words(
        report.text["Schedule of values"]
    )
    assert report.charts["Schedule of values"] == 1
    assert "copied 0007aaaa after epoch 2" in sweep("show", directory, "0001").stdout


def test_the_page_loads_nothing_and_runs_only_its_own_scripts(page: Callable[..., Page]) -> None:
    report = page()
    (icon,) = report.loaded_urls
    assert icon.startswith("data:image/svg+xml,")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', report.html)
    scripts = re.findall(r"<script>(.*?)</script>", report.html, re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert len(scripts) == 2
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src {' '.join(hashes)};" in policy
    assert "unsafe-eval" not in policy
    (licence,) = re.findall(r"<!--\n(.*?)-->\n<script>", report.html, re.DOTALL)
    assert "Permission is hereby granted" in licence
    assert "--" not in licence


def test_an_unfinished_sweep_only_has_a_best_so_far(page: Callable[..., Page]) -> None:
    report = page(state="paused", states={0: "paused"})
    assert "best so far val_acc" in report.text["Summary"]


def test_a_chart_that_cannot_be_drawn_shows_the_reason(page: Callable[..., Page]) -> None:
    report = page(trials=1, states={0: "pending"}, state="paused")
    assert report.charts == {}
    assert "No trial has completed an epoch." in report.text["Parameters"]
    assert "This needs at least 20 trials" in report.text["Parameter importance"]
    assert "No trial has completed an epoch." in report.text["Learning curves"]
    assert (
        "No trial was stopped early (scheduler: asha)." in (report.text["Stopped trials by epoch"])
    )
    assert "No trial has started." in report.text["Timeline"]


def test_one_trial_and_one_parameter_leave_out_what_needs_two(page: Callable[..., Page]) -> None:
    report = page(trials=1, space=ONE_KEY, states={0: "finished"})
    needs = "This needs at least two"
    assert f"{needs} parameters; there is 1." in report.text["Pairs of parameters"]
    assert f"{needs} trials with a result; there is 1." in report.text["Parallel coordinates"]
    assert {"Best so far", "Parameters", "Learning curves"} <= set(report.charts)


def test_a_space_without_parameters_makes_a_report(page: Callable[..., Page]) -> None:
    report = page(space={})
    assert "The search has no parameters." in report.text["Parameters"]
    assert report.charts["Learning curves"] == 1


def test_text_of_trials_is_escaped(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed"}).write()
    record = next(directory.glob("*_0003aaaa/trial.json"))
    record.write_text(
        record.read_text().replace("CUDA out of memory", "<script>alert(1)</script>")
    )
    page = Page(write_report(directory))
    assert "<script>alert(1)</script>" in page.text["Failures"]
    assert "<script>alert(1)" not in write_report(directory).read_text()


def test_a_failure_has_the_last_lines_of_its_traceback_and_the_command_for_the_rest(
    tmp_path: Path,
) -> None:
    directory = FakeSweep(tmp_path / "sweep", states={3: "failed"}).write()
    record = next(directory.glob("*_0003aaaa/trial.json"))
    lines = "\\n".join(f"line {number}" for number in range(1, 31))
    record.write_text(record.read_text().replace("Traceback: ...", lines))
    report = Page(write_report(directory))
    (traceback,) = re.findall(
        r'last lines</summary><pre class="text">(.*?)</pre>', report.html, re.DOTALL
    )
    assert traceback.splitlines() == [
        "... 18 lines above", *(f"line {number}" for number in range(19, 31)),
    ]  # fmt: skip
    assert f"sweep logs {directory} 0003aaaa" in report.text["Failures"]
    assert f"sweep retry {directory}" in report.text["Failures"]


def test_the_best_and_the_last_epoch_are_told_apart(page: Callable[..., Page]) -> None:
    text = " ".join(page().text["Best config"].split())
    assert re.search(r"best val_acc 0\.\d{4} at epoch \d last val_acc 0\.\d{4} at epoch 9", text)


def test_the_command_prints_the_path_of_the_report(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep").write()
    result = CliRunner().invoke(main, ["report", str(directory)])
    assert result.output == f"report: {directory / 'report.html'}\n"
    assert (directory / "report.html").exists()

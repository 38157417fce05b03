"""The tabs of a sweep's charts, through the server and Dash's protocol."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from sweeps.results.loaded_sweep import load
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.ui.figures.coordinates import MISSING
from tests.support.fake_sweeps import FakeSweep, trial
from tests.support.figure_data import lines_of
from tests.support.ui_browser import UiBrowser

BRUSH = '{"tab":["ALL"],"type":"chart"}.restyleData'
TICK = "sweep-tick.n_intervals"


class Charts:
    """The charts of a sweep's page, as Dash's script calls them."""

    def __init__(self, directory: Path) -> None:
        self.browser = UiBrowser(directory)
        self.tab = "curves"
        self.shown: Any = None
        self.brushes: Any = None
        self.graphs: list[str] = []
        self.values: dict[str, Any] = {
            "chart-metric.value": "val_acc",
            "chart-order.value": "trials",
            "chart-key.value": None,
            "selected-trials.data": [],
        }

    def draw(self, changed: str = TICK, value: Any = 1) -> dict[str, Any]:
        """Calls the callback that draws; returns its outputs, empty if nothing is to be done."""
        inputs = {changed: value, **self.values}
        inputs[changed] = value
        inputs.setdefault("chart-tabs.value", self.tab)
        answer = self.browser.call(
            inputs,
            sweep_key="sweep",
            chart_shown=self.shown,
            chart_brushes=self.brushes,
            chart=[({"type": "chart", "tab": name}, None) for name in self.graphs],
            chart_option=[({"type": "chart-option", "tab": name}, None) for name in ("curves",)],
        )
        if answer:
            self.tab = inputs["chart-tabs.value"]
            self.shown = answer["chart-shown"]["data"]
            body = answer.get("chart-body", {})
            if "children" in body:
                self.graphs = [body["children"]["props"]["id"]["tab"]] if body["children"] else []
        return answer

    def open(self, tab: str) -> dict[str, Any]:
        """Opens a tab."""
        return self.draw("chart-tabs.value", tab)

    def brush(self, dimension: int, ranges: Any) -> dict[str, Any]:
        """Drags along an axis of the parallel coordinates."""
        change = [{f"dimensions[{dimension}].constraintrange": ranges}, [0]]
        answer = self.browser.call(
            {BRUSH: [({"type": "chart", "tab": "coordinates"}, change)]},
            sweep_key="sweep",
            chart_shown=self.shown,
            chart_brushes=self.brushes,
        )
        self.brushes = answer["chart-brushes"]["data"]
        return answer


def figure_of(answer: dict[str, Any]) -> dict[str, Any]:
    figure: dict[str, Any] = answer["chart-body"]["children"]["props"]["figure"]
    return figure


def note_of(answer: dict[str, Any]) -> str:
    return str(answer["chart-note"]["children"])


def test_the_page_has_no_graph_until_a_tab_is_drawn_and_then_only_that_one(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=6).write()
    charts = Charts(directory)
    assert '"Graph"' not in charts.browser.page("/sweep/sweep")
    answer = charts.draw("chart-start.n_intervals")
    assert charts.graphs == ["curves"]
    lines = lines_of(figure_of(answer))
    assert {f"000{number}aaaa" for number in range(6)} <= lines.keys()
    assert figure_of(answer)["layout"]["yaxis"]["title"]["text"] == "val_acc"
    assert charts.draw() == {}  # nothing has changed

    charts.values["chart-metric.value"] = "val_loss"
    answer = charts.draw("chart-metric.value", "val_loss")
    assert "chart-body" not in answer  # the graph stays, with its zoom
    (figure,) = (v["figure"] for k, v in answer.items() if "figure" in v)
    assert figure["layout"]["yaxis"]["title"]["text"] == "val_loss"


def test_a_new_epoch_is_drawn_with_the_next_tick(tmp_path: Path) -> None:
    states = {0: "running", 1: "running"}
    directory = FakeSweep(tmp_path / "sweep", trials=2, states=states, state="running").write()
    charts = Charts(directory)
    charts.draw("chart-start.n_intervals")
    path = trial(directory, 0) / "metrics.jsonl"
    row = json.loads(path.read_text().splitlines()[-1])
    with path.open("a") as file:
        file.write(json.dumps({**row, "epoch": 6, "val_acc": 0.5}) + "\n")
    while not (answer := charts.draw()):
        time.sleep(0.05)  # a look at the files serves for half a second
    (figure,) = (v["figure"] for k, v in answer.items() if "figure" in v)
    assert len(lines_of(figure)["0000aaaa"]["y"]["bdata"]) == 32  # six numbers


def test_the_brush_selects_rows_of_the_table(tmp_path: Path) -> None:
    directory = FakeSweep(tmp_path / "sweep", trials=20).write()
    charts = Charts(directory)
    figure = figure_of(charts.open("coordinates"))
    labels = [dimension["label"] for dimension in figure["data"][0]["dimensions"]]
    rate, momentum = (labels.index(f"optimizer.{key}") for key in ("learning_rate", "momentum"))
    answer = charts.brush(rate, [-2.5, -1.0])
    results = load(directory).results
    rates = {r.record.id: math.log10(r.values["optimizer.learning_rate"]) for r in results}
    inside = [name for name, place in rates.items() if -2.5 <= place <= -1]
    assert answer["chart-brushed"]["data"] == inside
    assert answer["trials"]["scrollTo"]["rowId"] == inside[0]
    ticks = figure["data"][0]["dimensions"][momentum]
    place = ticks["tickvals"][ticks["ticktext"].index(MISSING)]
    answer = charts.brush(momentum, [[place - 0.01, place + 0.01]])
    without = {r.record.id for r in results if "optimizer.momentum" not in r.values}
    assert answer["chart-brushed"]["data"] == [name for name in inside if name in without]

    # The brushes are there again when the tab is opened again.
    charts.open("best")
    figure = figure_of(charts.open("coordinates"))
    assert figure["data"][0]["dimensions"][rate]["constraintrange"] == [[-2.5, -1.0]]
    charts.brush(rate, None)
    answer = charts.brush(momentum, None)
    assert answer["chart-brushed"]["data"] == []


def test_other_tabs(tmp_path: Path) -> None:
    states = {number: "failed" for number in (2, 3, 5)}
    tune = {"repeats": 2}
    directory = FakeSweep(tmp_path / "sweep", trials=8, states=states, tune=tune).write()
    layout = SweepLayout(directory)
    charts = Charts(directory)
    assert "trials in order" in json.dumps(figure_of(charts.open("best"))["layout"])
    answer = charts.open("importance")
    assert "at least 20 trials" in note_of(answer)
    assert charts.graphs == []
    assert charts.draw() == {}
    answer = charts.open("failures")
    assert note_of(answer).startswith("3 failures: 3 oom. 3 trials ended as failed.")
    content = json.dumps(answer["chart-content"]["children"])
    assert "/sweep/sweep/trial/0002aaaa" in content
    assert f"retry {layout.directory}" in content
    assert "chart-body" in answer
    assert lines_of(figure_of(charts.open("repeats")))["mean"]["y"]
    assert "Values by epoch" not in charts.browser.page("/sweep/sweep")


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_sweep_without_an_epoch_and_what_no_tab_is(tmp_path: Path, state: Any) -> None:
    states = {0: "pending", 1: "pending"}
    directory = FakeSweep(tmp_path / "sweep", trials=2, state=state, states=states).write()
    charts = Charts(directory)
    for tab in (
        "curves",
        "best",
        "coordinates",
        "importance",
        "failures",
        "population",
        "repeats",
    ):
        answer = charts.open(tab)
        assert note_of(answer)
        assert charts.graphs == []
    assert charts.open("no tab") == {}

"""The view of a sweep in a notebook: one output, drawn again, instead of a line per trial."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import ProgressReporter

from sweeps.execution.observers.live_view import LiveView, build_view
from sweeps.execution.observers.notebook_view import NotebookView
from sweeps.execution.tune_overhead import choose_reporter
from sweeps.results.progress import TrialProgress
from sweeps.sweep_dir.records import TrialRecord
from tests.support.fake_driver import new_spec


class Outputs:
    """The outputs of a cell, with IPython's display protocol."""

    def __init__(self) -> None:
        self.contents: list[dict[str, str]] = []
        self.updates = 0

    def display(self, content: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.contents.append(content)
        position = len(self.contents) - 1

        def update(content: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.contents[position] = content
            self.updates += 1

        return SimpleNamespace(update=update)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """A kernel of a notebook."""
    cell = Outputs()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=cell.display))
    return cell


def new_trials(scores: list[float | None]) -> list[TrialProgress]:
    return [
        TrialProgress(TrialRecord(f"id{n}", n, f"trial_{n}", {"a.b": n}), 4, best=score)
        for n, score in enumerate(scores)
    ]


def test_one_output_shows_the_bar_and_the_ranking(
    outputs: Outputs, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = new_spec(tmp_path, {"num_samples": 3})
    trials = new_trials([0.5, None, 0.9])
    with build_view(spec, total=3, slots=1) as view:
        assert isinstance(view, NotebookView)
        view.draw(trials[:1])
        view.draw(trials)
        trials[2].record.state = "finished"
        view.print_end("1/3  trial id2 finished", failed=False)
        view.print_end("2/3  trial id1 failed", failed=True)
    (content,) = outputs.contents
    assert outputs.updates == 2, "the second time and at the end"
    html = content["text/html"]
    assert html.index("id2") < html.index("id0") < html.index("id1")
    assert 'aria-valuenow="1"' in html
    assert "1/3 done" in content["text/plain"]
    printed = capsys.readouterr().out
    assert "trial id1 failed" in printed
    assert "id2" not in printed


def test_in_a_notebook_tune_gets_a_reporter_that_leaves_the_cell_alone(outputs: Outputs) -> None:
    reporter = choose_reporter()
    assert isinstance(reporter, ProgressReporter)
    assert not reporter.should_report([], done=True)
    assert outputs.contents == []


def test_elsewhere_the_view_is_that_of_the_terminal(tmp_path: Any) -> None:
    view = build_view(new_spec(tmp_path, {"num_samples": 3}), total=3, slots=1)
    assert type(view) is LiveView
    assert choose_reporter() is None

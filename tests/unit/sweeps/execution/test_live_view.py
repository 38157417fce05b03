"""The live view: its output on and off a terminal."""

import io
import re

import pytest
from rich.console import Console

from sweeps.execution.live_view import REDRAW_INTERVAL_S, SUMMARY_INTERVAL_S, LiveView
from sweeps.results.progress import TrialProgress
from sweeps.sweep_dir.records import TrialRecord


def trial(number, state, epochs=10, done=0, *, acc=0.1, epoch_s=2.0):
    progress = TrialProgress(
        TrialRecord(f"{number:08x}", number, f"t{number}", {}, state=state), epochs
    )
    for epoch in range(1, done + 1):
        row = {"epoch": epoch, "val_acc": acc * epoch, "epoch_s": epoch_s}
        progress.add_epoch(
            {**row, "images_per_s": 1234.5, "peak_memory_gib": None}, "val_acc", "max"
        )
    return progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def viewed(width, *, terminal):
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    view = LiveView(
        console, total=30, epochs=10, slots=2, metric="val_acc", mode="max", clock=clock
    )
    return view, out, clock


def drawn_lines(out):
    return re.sub(r"\x1b\[\??[0-9]*[A-Za-z]", "", out.getvalue()).splitlines()


def test_without_a_terminal_a_line_is_printed_once_a_minute():
    view, out, clock = viewed(80, terminal=False)
    with view:
        for second in range(1, 3 * int(SUMMARY_INTERVAL_S)):
            clock.now = float(second)
            view.tick([trial(0, "running", done=5)])
    lines = out.getvalue().splitlines()
    assert [line.startswith("0/30 done, 1 running") for line in lines] == [True, True]


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal_the_table_fits_and_has_a_row_per_running_trial(width):
    view, out, clock = viewed(width, terminal=True)
    trials = [trial(n, "running", done=5) for n in range(20)] + [trial(20, "finished", done=10)]
    with view:
        clock.now = REDRAW_INTERVAL_S
        view.tick(trials)
    lines = drawn_lines(out)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("1/30 done, 20 running  best so far")
    assert sum("5/10" in line for line in lines) in (16, 32)  # drawn again when it closes
    assert any("and 4 more" in line for line in lines)
    assert any("images/s" in line for line in lines) == (width == 140)


def test_before_the_first_trial_runs_there_is_no_table():
    view, out, clock = viewed(80, terminal=True)
    with view:
        clock.now = REDRAW_INTERVAL_S
        view.tick([trial(0, "pending")])
    assert set(drawn_lines(out)) <= {"0/30 done  0 s so far", ""}


def test_it_draws_no_more_than_twice_a_second():
    view, out, clock = viewed(80, terminal=True)
    with view:
        for tenth in range(1, 21):
            clock.now = tenth / 10
            view.tick([trial(0, "running", done=5)])
        count = out.getvalue().count("5/10")
    assert count == 4

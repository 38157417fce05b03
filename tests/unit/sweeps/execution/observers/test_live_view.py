"""The live view: its output on and off a terminal."""

import io
import re

import pytest
from rich.console import Console

from sweeps.execution.observers.live_view import (
    REDRAW_INTERVAL_S,
    SUMMARY_INTERVAL_S,
    LiveView,
    select_rows,
)
from sweeps.results.progress import TrialProgress
from sweeps.sweep_dir.records import TrialRecord


def trial(number, state, epochs=10, done=0, *, acc=0.1, epoch_s=2.0, values=()):
    progress = TrialProgress(
        TrialRecord(f"{number:08x}", number, f"t{number}", dict(values), state=state), epochs
    )
    progress.started = state != "pending"
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


def viewed(width, *, terminal, height=40):
    out, clock = io.StringIO(), Clock()
    console = Console(
        file=out, width=width, height=height, force_terminal=terminal, color_system=None
    )
    view = LiveView(
        console, total=30, epochs=10, slots=2, metric="val_acc", mode="max", clock=clock
    )
    return view, out, clock


def draw(trials, width, **options):
    """Returns the lines of one drawing on a terminal."""
    view, out, clock = viewed(width, terminal=True, **options)
    with view:
        clock.now = REDRAW_INTERVAL_S
        view.tick(trials)
        return drawn_lines(out)


def drawn_lines(out):
    return re.sub(r"\x1b\[\??[0-9]*[A-Za-z]", "", out.getvalue()).splitlines()


def test_without_a_terminal_a_line_is_printed_once_a_minute():
    view, out, clock = viewed(80, terminal=False)
    with view:
        for second in range(1, 3 * int(SUMMARY_INTERVAL_S)):
            clock.now = float(second)
            view.tick([trial(0, "running", done=5)])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.match(r"\d\d:\d\d:\d\d  starting workers 1/2  best so far val_acc 0\.5000", line)


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal_the_table_fits_and_has_a_row_per_running_trial(width):
    trials = [trial(n, "running", done=5) for n in range(20)] + [trial(20, "finished", done=10)]
    lines = draw(trials, width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("1/30 done, 20 running  best so far")
    assert sum("5/10" in line for line in lines) == 16
    assert "and 4 running not shown" in lines
    assert any("images/s" in line for line in lines) == (width == 140)
    headings = [line.split() for line in lines if "val_acc" in line or "last" in line]
    assert headings[1][:2] == ["last", "best"]


def test_the_rows_are_those_of_the_trials_that_move():
    trials = [trial(n, "paused", done=1) for n in range(3)]
    trials += [trial(n, "running", done=5) for n in range(3, 8)]
    trials[4].add_epoch({"epoch": 6, "val_acc": 0.5}, "val_acc", "max")
    trials[1].add_epoch({"epoch": 2, "val_acc": 0.5}, "val_acc", "max")
    shown, hidden = select_rows(trials, 2)
    assert [one.record.number for one in shown] == [4, 7]
    assert len(hidden) == 6
    shown, _ = select_rows(trials, 6)
    assert [one.record.number for one in shown] == [3, 4, 5, 6, 7, 1]


def test_on_a_low_terminal_the_rest_is_summarised():
    trials = [trial(n, "running", done=5) for n in range(3)] + [trial(3, "paused", done=2)]
    lines = draw(trials, 80, height=10)
    assert sum("5/10" in line for line in lines) == 2
    assert "and 1 running, 1 paused not shown" in lines


def test_a_wide_terminal_shows_the_sampled_values_that_fit():
    values = {"optimizer.learning_rate": 0.0123456, "model.name": "own_models:" + "x" * 40}
    trials = [trial(n, "running", done=5, values=values) for n in range(2)]
    wide, narrow = draw(trials, 140), draw(trials, 72)
    (row,) = [line for line in wide if line.startswith("00000001")]
    assert row.split()[-2:] == ["0.01235", "own_m…xxxx"]
    assert any(line.split()[-2:] == ["rate", "name"] for line in wide)
    assert not any("0.01235" in line for line in narrow)


def test_while_workers_start_there_is_no_table_but_their_number():
    assert draw([trial(0, "pending")], 80) == ["starting workers 0/2  0 s so far"]


def test_it_draws_no_more_than_twice_a_second():
    view, out, clock = viewed(80, terminal=True)
    with view:
        for tenth in range(1, 21):
            clock.now = tenth / 10
            view.tick([trial(0, "running", done=5)])
        count = out.getvalue().count("5/10")
    assert count == 4

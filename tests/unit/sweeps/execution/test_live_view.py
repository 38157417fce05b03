"""The live view: its counts and estimates, and its output on and off a terminal."""

import io
import re

import pytest
from rich.console import Console

from sweeps.execution.live_view import REDRAW_INTERVAL_S, SUMMARY_INTERVAL_S, LiveView
from sweeps.results.progress import TrialProgress, compute_progress, describe_progress, join_parts
from sweeps.sweep_dir.records import TrialRecord
from sweeps.terminal.formatting import format_duration


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


def figures(trials, **settings):
    return compute_progress(
        trials, **{"total": 8, "epochs": 10, "slots": 2, "mode": "max", **settings}
    )


def test_trials_are_counted_by_state_and_future_ones_as_pending():
    sweep = figures([trial(0, "finished", done=10), trial(1, "running"), trial(2, "failed")])
    assert sweep.counts == {"finished": 1, "running": 1, "failed": 1, "pending": 5}
    assert sweep.ended == 2


def test_the_best_so_far_is_of_any_epoch_of_any_trial():
    down = trial(1, "running")
    for epoch, acc in enumerate([0.9, 0.2, float("nan")], start=1):
        down.add_epoch({"epoch": epoch, "val_acc": acc, "epoch_s": 1.0}, "val_acc", "max")
    sweep = figures([trial(0, "finished", done=3, acc=0.2), down])
    assert sweep.best == ("00000001", 0.9)
    assert figures([trial(0, "running")]).best is None


def test_the_time_left_is_unknown_until_an_epoch_is_measured():
    assert figures([trial(0, "running")]).left_s is None


def test_without_early_stopping_the_time_left_is_exact():
    """7 trials of 10 epochs and 5 epochs of one, 2 s each, two at a time."""
    assert figures([trial(0, "running", done=5)]).left_s == (75.0, 75.0)


def test_the_least_time_left_assumes_as_much_early_stopping_as_before():
    """The ended trials trained 12 of 20 epochs."""
    ended = [trial(0, "finished", done=10), trial(1, "stopped", done=2)]
    least, most = figures([*ended, trial(2, "running", done=5)]).left_s
    assert most == (5 * 10 + 5) * 2 / 2
    assert least == pytest.approx((5 * 6 + 1) * 2 / 2)


def test_the_last_trials_use_no_more_slots_than_there_are_trials():
    sweep = figures([trial(0, "running", done=5)], total=1, slots=8)
    assert sweep.left_s == (10.0, 10.0)


def test_saved_epochs_are_those_that_stopped_trials_have_not_trained():
    ended = [trial(0, "stopped", done=2), trial(1, "stopped", done=6), trial(2, "failed", done=1)]
    assert figures(ended).saved == 12


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (99.6, "1.7 min"),
        (330, "5.5 min"),
        (598, "10 min"),
        (5400, "90 min"),
        (7200, "2 h"),
        (12240, "3.4 h"),
        (181440, "2.1 d"),
    ],
)
def test_a_time_is_readable(seconds, text):
    assert format_duration(seconds) == text


def test_the_line_has_every_part_that_is_known():
    ended = [trial(0, "finished", done=10, acc=0.09), trial(1, "stopped", done=2)]
    said = describe_progress(figures([*ended, trial(2, "running", done=5)]), 61, "val_acc")
    assert said == [
        "2/8 done, 1 running",
        "best so far val_acc 0.9000 (00000000)",
        "61 s so far, 31 s to 55 s left",
        "8 epochs saved",
    ]
    assert describe_progress(figures([]), 3, "val_acc") == ["0/8 done", "3 s so far"]


def test_a_part_is_never_broken_over_two_lines():
    assert join_parts(["12345", "123", "1234567890ab", "1"], 10) == [
        "12345  123",
        "1234567890ab",
        "1",
    ]
    assert join_parts(["12345", "1234"], 10) == ["12345", "1234"]


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

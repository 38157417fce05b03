"""Progress of a running sweep: counts, best, estimated time left, and their texts."""

import pytest

from sweeps.results.progress import (
    TrialProgress,
    compute_progress,
    describe_progress,
    describe_silent,
    join_parts,
)
from sweeps.sweep_dir.records import TrialRecord


def trial(number, state, epochs=10, done=0, *, acc=0.1, epoch_s=2.0):
    progress = TrialProgress(
        TrialRecord(f"{number:08x}", number, f"t{number}", {}, state=state), epochs
    )
    progress.started = state != "pending"
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


def test_an_epoch_that_diverged_is_not_the_best_so_far():
    only = trial(0, "failed")
    only.add_epoch({"epoch": 1, "val_acc": 0.9, "val_loss": float("nan")}, "val_acc", "max")
    assert figures([only]).best is None


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


def test_the_line_has_every_part_that_is_known():
    ended = [trial(0, "finished", done=10, acc=0.09), trial(1, "stopped", done=2)]
    parts = describe_progress(figures([*ended, trial(2, "running", done=5)]), 61, "val_acc")
    assert parts == [
        "2/8 done, 1 running",
        "best so far val_acc 0.9000 (00000000)",
        "61 s so far, 31 s to 55 s left",
        "8 epochs saved by early stopping",
    ]


def test_workers_that_start_are_counted_until_all_have_started():
    def first_part(*trials, **settings):
        return describe_progress(figures(trials, **settings), 3, "val_acc")[0]

    pending = [trial(number, "pending") for number in range(2)]
    assert first_part() == "starting workers 0/2"
    assert first_part(trial(2, "running", done=1), *pending, slots=3) == "starting workers 1/3"
    assert first_part(trial(2, "running"), trial(3, "running"), *pending) == "0/8 done, 2 running"
    # Later in the sweep a slot may be empty for a moment.
    assert first_part(trial(2, "finished"), trial(3, "running"), *pending) == "1/8 done, 1 running"


def test_a_resumed_sweep_counts_the_workers_of_this_run():
    ended, paused = trial(0, "finished", done=10), trial(1, "paused", done=3)
    ended.started = paused.started = False
    parts = describe_progress(figures([ended, paused], total=2), 3, "val_acc")
    assert parts[:2] == ["starting workers 0/1", "1/2 done, 1 paused"]
    parts = describe_progress(figures([ended, paused], total=2), 3, "val_acc", pausing=True)
    assert parts[:2] == ["pausing", "1/2 done, 1 paused"]


def test_a_trial_is_described_by_its_best_and_its_last_epoch():
    only = trial(0, "running")
    assert only.describe("val_acc") is None
    only.add_epoch({"epoch": 1, "val_acc": 0.85371}, "val_acc", "max")
    assert only.describe("val_acc") == "best val_acc 0.8537 at epoch 1"
    only.add_epoch({"epoch": 2, "val_acc": 0.8188}, "val_acc", "max")
    assert only.describe("val_acc") == "best val_acc 0.8537 at epoch 1, last 0.8188"


def test_the_best_epoch_that_a_resumed_trial_inherits_is_its_best_until_it_is_beaten():
    only = trial(0, "running")
    for epoch, acc, best in [(6, 0.8, (0.85, 3)), (7, 0.9, (0.9, 7)), (8, 0.7, (0.9, 7))]:
        row = {"epoch": epoch, "val_acc": acc, "best_acc": best[0], "best_epoch": best[1]}
        only.add_epoch(row, "val_acc", "max")
        assert (only.best, only.best_epoch) == best


def test_a_part_is_never_broken_over_two_lines():
    assert join_parts(["12345", "123", "1234567890ab", "1"], 10) == [
        "12345  123",
        "1234567890ab",
        "1",
    ]
    assert join_parts(["12345", "1234"], 10) == ["12345", "1234"]


def test_running_trials_without_an_epoch_for_long_are_named():
    new, slow, fast = (
        trial(0, "running"),
        trial(1, "running", done=1, epoch_s=600.0),
        trial(2, "running", done=1),
    )
    ended, pending = trial(3, "failed"), trial(4, "pending")
    trials = [new, slow, fast, ended, pending]
    for each, since in zip(trials, (0.0, 0.0, 500.0, 0.0, 0.0), strict=True):
        each.waiting_since = since
    assert describe_silent(trials, 100.0) is None
    assert describe_silent(trials, 600.0) == "no epoch for 10 min: 00000000"
    assert describe_silent(trials, 1801.0) == "no epoch for 30 min: 00000001 and 2 more"

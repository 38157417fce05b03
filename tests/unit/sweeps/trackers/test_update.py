"""The part of a trial that a tracker gets, and the epochs that a run still lacks."""

import pytest

from sweeps.sweep_dir.records import Failure, TrialRecord
from sweeps.trackers.update import (
    SweepInfo,
    TrialUpdate,
    fingerprint_of,
    numbers_of,
    parameters_of,
    rows_to_send,
)

SWEEP = SweepInfo("ab12", "mine", "/exp/mine", "s3://b/mine", "val_acc", "max", {}, {})


def row(epoch, acc, **more):
    return {"epoch": epoch, "val_acc": acc, "epoch_s": 0.1 * epoch, "device": "cpu", **more}


def update(*rows, state="running", has_best=False, **fields):
    record = TrialRecord("t1", 3, "trial_3", {"optimizer.momentum": 0.9}, state, **fields)
    return TrialUpdate(record, list(rows), has_best)


def sent(*rows):
    return {r["epoch"]: fingerprint_of(r, "val_acc") for r in rows}


def test_metrics_are_the_numbers_of_a_row_and_of_its_values():
    values = {"optimizer.momentum": 0.8, "optimizer.name": "sgd"}
    line = {**row(2, 0.5), "test_acc": None, "flag": True, "values": values}
    expected = {"val_acc": 0.5, "epoch_s": 0.2, "current/optimizer.momentum": 0.8}
    assert numbers_of(line) == expected


def test_parameters_are_the_values_that_a_trial_has_started_with():
    trial = update(lineage=[{"epoch": 2, "donor": "d", "values": {"optimizer.momentum": 0.1}}])
    assert parameters_of(trial.record) == {"trial_number": 3, "optimizer.momentum": 0.9}
    summary = trial.summary(SWEEP)
    assert (summary["donor"], summary["current/optimizer.momentum"]) == ("d", 0.1)


def test_the_summary_of_a_stopped_trial_names_its_best_epoch_and_checkpoint():
    trial = update(
        row(1, 0.7), row(2, 0.6), state="stopped", has_best=True, ended="now", stop_reason="late"
    )
    assert trial.summary(SWEEP) == {
        "state": "stopped",
        "epochs": 2,
        "stop_reason": "late",
        "best_epoch": 1,
        "best_val_acc": 0.7,
        "best_checkpoint": "trial_3/checkpoints/best.pt",
        "best_checkpoint_location": "s3://b/mine/trial_3/checkpoints/best.pt",
    }


def test_the_summary_of_a_failed_trial_has_its_failure():
    failure = Failure("oom", "out of memory", "", 1, None, "now")
    summary = update(row(1, 0.7), state="failed", failures=[failure]).summary(SWEEP)
    assert summary["failure"] == "oom: out of memory"


@pytest.mark.parametrize(
    ("own", "known", "state", "expected"),
    [
        ([row(1, 0.1), row(2, 0.2)], [], "running", [1, 2]),
        ([row(1, 0.1), row(2, 0.2)], [row(1, 0.1)], "running", [2]),
        # A retry went back to epoch 1; the run keeps epoch 2 until it is trained again.
        ([row(1, 0.1)], [row(1, 0.1), row(2, 0.2)], "running", []),
        ([row(1, 0.1), row(2, 0.2, epoch_s=9)], [row(1, 0.1), row(2, 0.2)], "running", []),
        ([row(1, 0.1), row(2, 0.3)], [row(1, 0.1), row(2, 0.2)], "running", None),
        # It ended before it came to epoch 2 again, or left epoch 2 out after an exploit.
        ([row(1, 0.1)], [row(1, 0.1), row(2, 0.2)], "stopped", None),
        ([row(1, 0.1), row(3, 0.3)], [row(1, 0.1), row(2, 0.2)], "running", None),
    ],
)
def test_the_epochs_that_a_run_lacks(own, known, state, expected):
    rows = rows_to_send(update(*own, state=state), "val_acc", sent(*known))
    assert (None if rows is None else [r["epoch"] for r in rows]) == expected


def test_a_loss_that_is_not_finite_has_the_fingerprint_of_what_trackers_make_of_it():
    inf, largest = {"val_acc": float("inf")}, {"val_acc": 1.7976931348623157e308}
    assert fingerprint_of(inf, "val_acc") == fingerprint_of(largest, "val_acc")
    nan = {"val_acc": float("nan")}
    assert fingerprint_of(nan, "val_acc") == fingerprint_of(dict(nan), "val_acc")

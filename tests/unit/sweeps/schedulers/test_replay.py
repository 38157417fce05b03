"""A replayed scheduler decides like one that was never interrupted, wherever it was cut."""

from __future__ import annotations

import itertools
import math
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from sweeps.schedulers.build import build_scheduler
from sweeps.schedulers.recording import RecordingScheduler
from sweeps.spec.schedulers import ASHA, FIFO, BOHBHyperBand, HyperBand, Median
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.records import TrialRecord
from sweeps.trials.pause import PauseStopper, PauseSwitch
from tests.support.fake_tune import Killed, Process, Sweep, decisions, ends

EPOCHS = 4
NO_CONTROLLER: Any = SimpleNamespace()

SECTIONS: dict[str, Any] = {
    "asha": ASHA(name="asha", grace_period=1, reduction_factor=2),
    "asha_brackets": ASHA(name="asha", grace_period=1, reduction_factor=2, brackets=2),
    "fifo": FIFO(),
    "median": Median(name="median", grace_period=2, min_samples_required=2),
    "hyperband": HyperBand(name="hyperband", reduction_factor=2),
    "bohb": BOHBHyperBand(name="bohb", reduction_factor=2),
    "bohb_short": BOHBHyperBand(name="bohb", reduction_factor=3, max_t=3),
    "hyperband_short": HyperBand(name="hyperband", reduction_factor=2, max_t=2),
    "hyperband_uneven": HyperBand(name="hyperband", reduction_factor=2, max_t=3),
    "bohb_uneven": BOHBHyperBand(name="bohb", reduction_factor=2, max_t=3),
}
TRIALS = {
    "asha": 7,
    "asha_brackets": 12,
    "fifo": 7,
    "median": 7,
    "hyperband": 10,
    "hyperband_short": 5,
    "hyperband_uneven": 6,
    "bohb_uneven": 6,
    "bohb": 6,
    "bohb_short": 7,
}


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips fsync: there are thousands of files and no power failure is tested."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def new_sweep(directory: Path, name: str, **more: Any) -> Sweep:
    def make() -> Any:
        return build_scheduler(SECTIONS[name], {}, metric="val_acc", mode="max", max_t=EPOCHS)

    slots = more.get("slots", 1)
    limit = TRIALS[name] if name.startswith("hyperband") else slots
    return Sweep(directory, make, trials=TRIALS[name], epochs=EPOCHS, limit=limit, **more)


def interrupted(sweep: Sweep, *kills: int, written: bool = True) -> bool:
    """Runs a sweep whose runs are killed at their n-th event; False if one ended before."""
    for kill_at in kills:
        process = Process(sweep, kill_at=kill_at, written=written)
        try:
            process.run()
        except Killed:
            continue
        return False
    Process(sweep).run()
    return True


def saved_ends(sweep: Sweep) -> dict[int, tuple[str, int]]:
    """Returns number of a trial -> (state, last epoch that is certainly saved).

    A waiting trial that is stopped without running again may have lost the metrics of epochs after
    its last checkpoint in a kill.
    """
    frequency = sweep.save_frequency
    return {
        number: (state, epoch if state == "finished" else epoch - epoch % frequency)
        for number, (state, epoch) in ends(sweep).items()
    }


def in_order(name: str, sweep: Sweep) -> list[tuple[str, int, str | None]]:
    """Returns the decisions in order; those of HyperBand are sorted.

    HyperBand's brackets are independent of each other, so their order is not determined.
    """
    ordered = decisions(sweep)
    return sorted(ordered, key=str) if name.startswith("hyperband") else ordered


@pytest.mark.parametrize(
    ("name", "slots", "save_frequency", "written"),
    [
        pytest.param("asha", 1, 1, True, marks=pytest.mark.slow),
        ("asha", 2, 3, False),
        pytest.param("median", 2, 1, True, marks=pytest.mark.slow),
        pytest.param("hyperband", 1, 1, True, marks=pytest.mark.slow),
        pytest.param("hyperband", 2, 3, False, marks=pytest.mark.slow),
        pytest.param("hyperband", 1, 3, True, marks=pytest.mark.slow),
        ("hyperband_short", 1, 3, True),
        pytest.param("hyperband_short", 2, 1, False, marks=pytest.mark.slow),
        pytest.param("bohb", 1, 3, True, marks=pytest.mark.slow),
        pytest.param("bohb", 2, 1, True, marks=pytest.mark.slow),
        ("bohb", 2, 3, False),
        pytest.param("bohb_short", 3, 1, False, marks=pytest.mark.slow),
        pytest.param("hyperband_uneven", 2, 3, True, marks=pytest.mark.slow),
        pytest.param("bohb_uneven", 2, 1, False, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_event_changes_no_decision(
    name: str,
    slots: int,
    save_frequency: int,
    written: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If checkpoints are rarer than epochs, trials repeat epochs that are in the log."""
    more = {"slots": slots, "save_frequency": save_frequency}
    whole = new_sweep(tmp_path / "whole", name, **more)
    Process(whole).run()
    expected = in_order(name, whole)
    assert {"CONTINUE", "STOP"} <= {decision for *_, decision in expected}
    for kill_at in itertools.count(1):
        sweep = new_sweep(tmp_path / str(kill_at), name, **more)
        if not interrupted(sweep, kill_at, written=written):
            break
        assert in_order(name, sweep) == expected, f"killed at event {kill_at}"
        assert saved_ends(sweep) == saved_ends(whole), f"killed at event {kill_at}"
    assert kill_at > len(expected)
    assert "decides differently" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_kill_at_any_event_changes_no_decision_that_follows_from_a_failure(
    tmp_path: Path,
) -> None:
    """The failed trial is the last one that the rest of its bracket waits for."""
    whole = new_sweep(tmp_path / "whole", "hyperband", fails=(6, 2))
    Process(whole).run()
    assert ends(whole)[6] == ("failed", 1)
    for kill_at in range(TRIALS["hyperband"] + 1, 100):
        sweep = new_sweep(tmp_path / str(kill_at), "hyperband", fails=(6, 2))
        if not interrupted(sweep, kill_at):
            break
        assert in_order("hyperband", sweep) == in_order("hyperband", whole)
        assert ends(sweep) == ends(whole)
    assert kill_at > 30


@pytest.mark.parametrize(
    "name",
    ["bohb", *(pytest.param(n, marks=pytest.mark.slow) for n in ("asha", "median", "hyperband"))],
)
def test_a_trial_that_ends_itself_is_stopped_and_not_started_again(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scheduler gets it as complete, with the others of its bracket waiting for it or not."""
    more = {"slots": 2, "stops": {0: 1, 2: 3, 5: 2}}
    whole = new_sweep(tmp_path / "whole", name, **more)
    Process(whole).run()
    rules = {r.number: r.stopped_by for r in whole.layout.read_trials()}
    assert {state for state, _ in ends(whole).values()} <= {"finished", "stopped"}
    assert ends(whole)[0] == ("stopped", 1)
    assert rules[0] == "early_stopping"
    assert rules[1] is None
    for kill_at in itertools.count(1):
        sweep = new_sweep(tmp_path / str(kill_at), name, **more)
        if not interrupted(sweep, kill_at):
            break
        assert in_order(name, sweep) == in_order(name, whole), f"killed at event {kill_at}"
        assert ends(sweep) == ends(whole), f"killed at event {kill_at}"
        again = {r.number: r.stopped_by for r in sweep.layout.read_trials()}
        assert again == rules, f"killed at event {kill_at}"
    assert "decides differently" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(n, marks=pytest.mark.slow) for n in ("asha", "hyperband")), "hyperband_short"],
)
def test_no_trial_waits_for_a_failed_one_which_may_be_retried(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = 0
    for fails in itertools.product(range(TRIALS[name]), (1, 2, 3)):
        sweep = new_sweep(tmp_path / "{}_{}".format(*fails), name, fails=fails)
        Process(sweep).run()
        record = sweep.layout.read_trials()[fails[0]]
        if record.state == "failed":
            failed += 1
            record.state = "paused"
            sweep.layout.write_trial(record)
            Process(sweep).run()
        assert "failed" not in {state for state, _ in ends(sweep).values()}
    assert failed > TRIALS[name]
    assert "note:" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["asha", "median", "hyperband", "bohb"])
def test_a_sweep_that_is_killed_repeatedly_decides_the_same(name: str, tmp_path: Path) -> None:
    whole = new_sweep(tmp_path / "whole", name, save_frequency=2)
    Process(whole).run()
    cut = new_sweep(tmp_path / "cut", name, save_frequency=2)
    assert interrupted(cut, *[6] * 3)
    assert in_order(name, cut) == in_order(name, whole)
    assert saved_ends(cut) == saved_ends(whole)


@pytest.mark.parametrize("name", ["hyperband", "bohb"])
def test_trials_that_a_decision_stops_are_stopped_after_it_is_logged(
    name: str, tmp_path: Path
) -> None:
    """The test above kills at these events, too."""
    sweep = new_sweep(tmp_path / "sweep", name)
    Process(sweep).run()
    assert re.search("result( remove)+", kinds(sweep))
    assert not re.search("(add|complete)( remove)+ result", kinds(sweep))


def test_a_halving_without_a_result_is_logged(tmp_path: Path) -> None:
    """BOHB's last brackets are never filled; they are halved when no other trial can run."""
    sweep = new_sweep(tmp_path / "sweep", "bohb", slots=2)
    Process(sweep).run()
    assert "halve" in kinds(sweep)


@pytest.mark.parametrize("slots", [2, 3])
def test_a_pause_while_another_trial_is_being_saved_is_replayed_as_a_pause(
    slots: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """BOHB's HyperBand waits for the save and halves the bracket when no trial runs."""
    sweep = new_sweep(tmp_path / "sweep", "bohb", slots=slots, slow_saves=True)
    Process(sweep).run()
    quick = new_sweep(tmp_path / "quick", "bohb", slots=slots)
    Process(quick).run()
    assert decisions(sweep) != decisions(quick)
    before = ends(sweep)
    Process(sweep).run()
    assert ends(sweep) == before
    assert "decides differently" not in capsys.readouterr().out


def kinds(sweep: Sweep) -> str:
    """Returns the kinds of the events in order."""
    return " ".join(event.kind for event in EventLog(sweep.layout.events_file).read())


def test_a_trial_stays_in_the_bracket_that_asha_sampled_for_it(tmp_path: Path) -> None:
    sweep = new_sweep(tmp_path / "sweep", "asha_brackets")
    sweep.limit = sweep.trials
    first = Process(sweep, kill_at=sweep.trials + 2)
    with pytest.raises(Killed):
        first.run()
    sampled = brackets(first)
    assert len(set(sampled.values())) > 1
    for _ in range(3):
        again = Process(sweep, kill_at=1)
        with pytest.raises(Killed):
            again.run()
        assert brackets(again) == sampled


def brackets(process: Process) -> dict[str, int]:
    asha: Any = process.scheduler.inner
    return {id_: asha._brackets.index(bracket) for id_, bracket in asha._trial_info.items()}


def test_a_decision_that_differs_from_the_log_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = new_sweep(tmp_path / "sweep", "asha")
    Process(sweep).run()
    sweep.make = new_sweep(tmp_path / "sweep", "median").make
    Process(sweep).run()
    lines = capsys.readouterr().out.splitlines()
    line = next(line for line in lines if line.startswith("note:"))
    assert line.startswith("note: the scheduler decides differently than before: trial id")
    assert line.endswith("CONTINUE instead of STOP")


def test_fifo_after_another_scheduler_lets_a_stopped_trial_continue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As with `sweep extend`, even if the trial repeats the epoch at which it was stopped."""
    sweep = new_sweep(tmp_path / "sweep", "asha")
    Process(sweep).run()
    stopped = next(record for record in sweep.layout.read_trials() if record.state == "stopped")
    stopped.state, stopped.changes = "paused", {"training.epochs": EPOCHS}
    sweep.layout.write_trial(stopped)
    (sweep.directory / stopped.directory / "checkpoints" / "latest.pt").unlink()
    sweep.make = new_sweep(tmp_path / "sweep", "fifo").make
    Process(sweep).run()
    assert ends(sweep)[stopped.number] == ("finished", EPOCHS)
    assert "decides differently" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["asha", "median", "hyperband", "bohb"])
def test_a_final_trial_runs_all_its_epochs_under_any_scheduler(name: str, tmp_path: Path) -> None:
    sweep = new_sweep(tmp_path / "sweep", name)
    Process(sweep).run()
    before = decisions(sweep)
    final = TrialRecord("final", sweep.trials, f"trial_{sweep.trials}", {}, final=True)
    sweep.layout.write_trial(final)
    with pytest.raises(Killed):
        Process(sweep, killed_after_epochs=2).run()
    Process(sweep).run()
    assert ends(sweep)[final.number] == ("finished", EPOCHS)
    assert decisions(sweep) == before


def test_a_diverged_trial_is_not_compared_with_the_others(tmp_path: Path) -> None:
    """Its accuracy of 0.99 would stop every other trial at the rung of its last epoch."""
    log = EventLog(tmp_path / "events.jsonl")
    for replay in (False, True):
        switch = PauseSwitch(tmp_path / "stop", None)
        inner = build_scheduler(SECTIONS["asha"], {}, metric="val_acc", mode="max", max_t=EPOCHS)
        names = {"val_acc": "max", "val_loss": "min"}
        scheduler = RecordingScheduler(inner, log, switch, PauseStopper(switch), names)
        diverged, good = (Trial("fake", trial_id=name, stub=True) for name in ("nan", "good"))
        if replay:
            trials = {"nan": diverged, "good": good}
            assert scheduler.replay(trials, {"nan"}, log.read()[:2]) == []
        else:
            scheduler.on_trial_add(NO_CONTROLLER, diverged)
            row = {"epoch": 1, "val_acc": 0.99, "val_loss": math.nan}
            scheduler.on_trial_complete(NO_CONTROLLER, diverged, row)
        scheduler.on_trial_add(NO_CONTROLLER, good)
        row = {"epoch": 1, "val_acc": 0.5, "val_loss": 1.0}
        assert scheduler.on_trial_result(NO_CONTROLLER, good, row) == "CONTINUE"


@pytest.mark.parametrize("name", ["hyperband_uneven", "bohb_uneven"])
def test_a_survivor_trains_every_epoch_where_they_are_no_power_of_the_factor(
    name: str, tmp_path: Path
) -> None:
    """Ray's own rungs of three epochs and a factor of two are 1 and 2."""
    sweep = new_sweep(tmp_path / "sweep", name)
    Process(sweep).run()
    last_epochs = sorted(epoch for _, epoch in ends(sweep).values())
    assert last_epochs == [1, 3, 3, 3, 3, 3]

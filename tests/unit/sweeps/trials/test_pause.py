"""Asking a sweep to pause: two signals, a file, the clock, and what each comes to."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import get_args

import pytest

from sweeps.sweep_dir.layout import Reason
from sweeps.trials.pause import EXIT_CODES, PauseStopper, PauseSwitch


@pytest.fixture
def switch(tmp_path: Path) -> PauseSwitch:
    """Of a sweep without a time budget, with signals handled as Python does by default."""
    return PauseSwitch(tmp_path / "stop", None)


def ends_the_loop(switch: PauseSwitch, running: int) -> bool:
    stopper = PauseStopper(switch)
    stopper.running = running
    return stopper.stop_all()


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")]
)
def test_the_first_signal_lets_epochs_end_and_the_second_does_not(
    number: signal.Signals, reason: Reason, switch: PauseSwitch
) -> None:
    with switch.on_signals():
        os.kill(os.getpid(), number)
        assert (switch.reason, switch.at_once) == (reason, False)
        assert not ends_the_loop(switch, running=1)
        assert ends_the_loop(switch, running=0)
        os.kill(os.getpid(), number)
        assert (switch.reason, switch.at_once) == (reason, True)
        assert ends_the_loop(switch, running=1)


def test_signals_that_come_on_and_on_change_nothing_more(switch: PauseSwitch) -> None:
    with switch.on_signals():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert (switch.reason, switch.at_once) == ("SIGTERM", True)


def test_a_signal_hurries_a_pause_that_something_else_has_asked_for(switch: PauseSwitch) -> None:
    switch.request("time_budget")
    assert not switch.at_once
    with switch.on_signals():
        os.kill(os.getpid(), signal.SIGINT)
    assert (switch.reason, switch.at_once) == ("time_budget", True)


def test_signals_are_given_back(switch: PauseSwitch) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with switch.on_signals():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
    with pytest.raises(ZeroDivisionError), switch.on_signals():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_thread_that_gets_no_signals_is_left_alone(switch: PauseSwitch) -> None:
    before = signal.getsignal(signal.SIGINT)
    during = []

    def work() -> None:
        with switch.on_signals():
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [before]


def test_the_stop_file_is_heard_once_and_taken_away(switch: PauseSwitch, tmp_path: Path) -> None:
    switch.poll()
    assert switch.reason is None
    (tmp_path / "stop").touch()
    switch.poll()
    assert (switch.reason, switch.at_once) == ("stop", False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "stop").touch()
    switch.poll()
    assert list(tmp_path.iterdir()) == []
    assert not switch.at_once


def test_a_spent_budget_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    switch = PauseSwitch(tmp_path / "stop", deadline=160.0)
    clock = 159.9
    switch.poll()
    assert switch.reason is None
    clock = 160.0
    switch.poll()
    assert (switch.reason, switch.at_once) == ("time_budget", False)


def test_the_first_reason_stays(switch: PauseSwitch) -> None:
    switch.request("disk_full")
    switch.request("time_budget")
    assert switch.reason == "disk_full"


def test_a_sweep_that_nobody_pauses_goes_on(switch: PauseSwitch) -> None:
    stopper = PauseStopper(switch)
    assert not stopper.stop_all()
    assert not ends_the_loop(switch, running=3)
    switch.request("stop")
    assert not stopper("any trial", {"val_acc": 1.0})


def test_every_reason_has_its_exit_code() -> None:
    assert set(EXIT_CODES) == set(get_args(Reason))
    assert (EXIT_CODES["SIGINT"], EXIT_CODES["SIGTERM"]) == (130, 143)
    assert EXIT_CODES["target"] == 0  # it has found what it was looking for
    others = EXIT_CODES.keys() - {"SIGINT", "SIGTERM", "target"}
    assert {EXIT_CODES[reason] for reason in others} == {3}

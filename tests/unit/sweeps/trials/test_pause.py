"""Requests for a pause: signals, the stop file, the time budget, and their effects."""

import os
import queue
import signal
import threading
import time
from pathlib import Path
from typing import get_args

import pytest

from sweeps.sweep_dir.records import Reason
from sweeps.trials.pause import (
    EXIT_CODES,
    PauseStopper,
    PauseSwitch,
    RayDied,
    describe_pause,
)

TIMEOUT_S = 30


@pytest.fixture
def switch(tmp_path: Path) -> PauseSwitch:
    """Switch of a sweep without a time budget."""
    return PauseSwitch(tmp_path / "stop", None)


def ends_loop(switch: PauseSwitch, running: int) -> bool:
    stopper = PauseStopper(switch)
    stopper.running = running
    return stopper.stop_all()


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
def test_the_first_signal_lets_epochs_finish_and_the_second_does_not(
    number: signal.Signals, reason: Reason, switch: PauseSwitch
) -> None:
    with switch.on_signals():
        os.kill(os.getpid(), number)
        assert (switch.reason, switch.immediate) == (reason, False)
        assert not ends_loop(switch, running=1)
        assert ends_loop(switch, running=0)
        os.kill(os.getpid(), number)
        assert (switch.reason, switch.immediate) == (reason, True)
        assert ends_loop(switch, running=1)


def test_further_signals_change_nothing(switch: PauseSwitch) -> None:
    with switch.on_signals():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert (switch.reason, switch.immediate) == ("SIGTERM", True)


def test_a_signal_makes_a_requested_pause_immediate(switch: PauseSwitch) -> None:
    switch.request("time_budget")
    assert not switch.immediate
    with switch.on_signals():
        os.kill(os.getpid(), signal.SIGINT)
    assert (switch.reason, switch.immediate) == ("time_budget", True)


def test_signal_handlers_are_restored(switch: PauseSwitch) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with switch.on_signals():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
    with pytest.raises(ZeroDivisionError), switch.on_signals():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in numbers] == before


def test_under_nohup_a_closed_terminal_does_not_pause(switch: PauseSwitch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with switch.on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert switch.reason is None


def test_a_pause_is_announced_while_the_main_thread_is_busy(switch: PauseSwitch) -> None:
    announced: queue.Queue[tuple[Reason | None, bool]] = queue.Queue()
    with (
        switch.on_signals(),
        switch.announcing(lambda: announced.put((switch.reason, switch.immediate))),
    ):
        os.kill(os.getpid(), signal.SIGTERM)
        assert announced.get(timeout=TIMEOUT_S) == ("SIGTERM", False)
        os.kill(os.getpid(), signal.SIGINT)
        assert announced.get(timeout=TIMEOUT_S) == ("SIGTERM", True)
        os.kill(os.getpid(), signal.SIGINT)
    assert announced.empty()


@pytest.mark.parametrize(
    ("reason", "running", "immediate", "text"),
    [
        (
            "SIGINT",
            2,
            False,
            "pausing, by Ctrl-C: 2 trials finish their epoch; Ctrl-C again stops now",
        ),
        (
            "SIGHUP",
            1,
            False,
            "pausing, by SIGHUP: 1 trial finishes its epoch; SIGHUP again stops now",
        ),
        ("SIGINT", 0, False, "pausing, by Ctrl-C: no trial is running"),
        ("time_budget", 3, False, "pausing, by its time budget: 3 trials finish their epoch"),
        ("target", 3, False, "ending: 3 trials finish their epoch"),
        ("SIGINT", 2, True, "stopping now: running trials lose their epoch"),
    ],
)
def test_the_announcement_of_a_pause(
    reason: Reason, running: int, immediate: bool, text: str
) -> None:
    assert describe_pause(reason, running, immediate=immediate, saves=True) == text


def test_the_announcement_says_what_is_lost_without_checkpoints() -> None:
    text = describe_pause("stop", 2, immediate=False, saves=False)
    assert text.endswith("finish their epoch and, without checkpoints, begin again on resume")


def test_the_death_of_ray_leaves_the_loop_also_of_a_pausing_sweep(switch: PauseSwitch) -> None:
    switch.request("SIGTERM")
    switch.replace("ray_died")
    with pytest.raises(RayDied):
        switch.poll()
    with pytest.raises(RayDied):
        ends_loop(switch, running=0)


def test_outside_the_main_thread_handlers_are_unchanged(switch: PauseSwitch) -> None:
    before = signal.getsignal(signal.SIGINT)
    during = []

    def work() -> None:
        with switch.on_signals():
            during.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert during == [before]


def test_the_stop_file_requests_a_pause_and_is_removed(
    switch: PauseSwitch, tmp_path: Path
) -> None:
    switch.poll()
    assert switch.reason is None
    (tmp_path / "stop").touch()
    switch.poll()
    assert (switch.reason, switch.immediate) == ("stop", False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "stop").touch()
    switch.poll()
    assert list(tmp_path.iterdir()) == []
    assert not switch.immediate


def test_a_spent_budget_requests_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    switch = PauseSwitch(tmp_path / "stop", budget_s=60.0)
    clock = 159.9
    switch.poll()
    assert switch.reason is None
    clock = 160.0
    switch.poll()
    assert (switch.reason, switch.immediate) == ("time_budget", False)


def test_the_first_reason_is_kept(switch: PauseSwitch) -> None:
    switch.request("disk_full")
    switch.request("time_budget")
    assert switch.reason == "disk_full"


def test_a_sweep_without_a_pause_does_not_end(switch: PauseSwitch) -> None:
    stopper = PauseStopper(switch)
    assert not stopper.stop_all()
    assert not ends_loop(switch, running=3)
    switch.request("stop")
    assert not stopper("any trial", {"val_acc": 1.0})


def test_every_reason_has_an_exit_code() -> None:
    assert set(EXIT_CODES) == set(get_args(Reason))
    assert (EXIT_CODES["SIGINT"], EXIT_CODES["SIGTERM"]) == (130, 143)
    assert (EXIT_CODES["SIGHUP"], EXIT_CODES["ray_died"]) == (129, 4)
    assert EXIT_CODES["target"] == 0  # the sweep has reached its goal
    others = EXIT_CODES.keys() - {"SIGINT", "SIGTERM", "SIGHUP", "ray_died", "target"}
    assert {EXIT_CODES[reason] for reason in others} == {3}

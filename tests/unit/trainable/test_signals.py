"""Signals that end a training early, and the output of a closed terminal."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trainable.signals import SIGNALS, StopRequest, handled_signals

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_signal_is_recorded_and_the_second_ends_the_process(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with StopRequest("stopping") as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.signal == number
        assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    assert signal.getsignal(number) == before
    assert capfd.readouterr().err == "\nstopping\n"


def test_an_ignored_sighup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signal.SIGHUP not in handled_signals()
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert stop.signal == signal.SIGTERM


CLOSED_TERMINAL = """
import os, sys
from trainable.signals import discard_output_of_closed_terminal

sys.stdin.read()
try:
    os.write(1, b"lost")
except OSError:
    discard_output_of_closed_terminal()
    os.write(1, b"discarded")
    os.write(2, b"kept")
"""


def test_output_to_a_closed_terminal_is_discarded() -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CLOSED_TERMINAL],
        stdin=subprocess.PIPE,
        stdout=terminal,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(terminal)
    os.close(controller)
    _, errors = process.communicate()
    assert (process.returncode, errors) == (0, b"kept")

"""Handles Ctrl-C, SIGTERM and SIGHUP during a training, which first saves its epoch."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType, TracebackType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def handled_signals() -> tuple[signal.Signals, ...]:
    """Returns the signals that end a training early; `nohup` has SIGHUP ignored."""
    return tuple(
        number
        for number in SIGNALS
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN
    )


def discard_output_of_closed_terminal() -> None:
    """Discards further output if the terminal is closed, where writing would be an error."""
    if sys.platform == "win32":
        return
    import termios

    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:  # else it is no terminal
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


class StopRequest:
    """Records the first of `SIGNALS` inside `with`; a second one ends the process.

    Use: `with StopRequest() as stop: fit(..., should_stop=stop)`.

    Args:
        notice: A line that acknowledges the signal on standard error.
    """

    def __init__(self, notice: str = "") -> None:
        self.signal: int | None = None
        self._notice = notice
        self._previous_handlers = {
            number: signal.getsignal(number) for number in handled_signals()
        }

    def __enter__(self) -> StopRequest:
        for number in self._previous_handlers:
            signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Returns whether the training should stop; `fit` calls it after every epoch."""
        return self.signal is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number not in (signal.SIGINT, signal.SIGTERM):
            discard_output_of_closed_terminal()
        self.signal = number
        if self._notice:
            os.write(2, f"\n{self._notice}\n".encode())  # `print` may be what was interrupted
        for handled in self._previous_handlers:
            default = signal.default_int_handler if handled == signal.SIGINT else signal.SIG_DFL
            signal.signal(handled, default)

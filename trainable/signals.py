"""Handles Ctrl-C and SIGTERM during a training, which finishes and saves its epoch first."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Records the first SIGINT or SIGTERM inside `with`; a second one ends the process.

    Use: `with StopRequest() as stop: fit(..., should_stop=stop)`.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous_handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def __enter__(self) -> StopRequest:
        for number in SIGNALS:
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
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

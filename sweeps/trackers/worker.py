"""The process that uses a tracker's client: `python -m sweeps.trackers.worker TRACKER`.

It reads messages, one JSON mapping per line, from its standard input, and answers each with a line
on its standard output: a mapping, which has the key `error` if the client has failed. It ends with
its input, also in the middle of a call: the driver has died then, or has given up. What the client
prints is discarded.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from sweeps.trackers.update import RECORD, Runs, SweepInfo, TrialUpdate

MAX_REASON_CHARS = 300


def create_runs(tracker: str, sweep: SweepInfo) -> Runs:
    """Imports a tracker's client and creates what writes the sweep's runs with it."""
    if tracker == "mlflow":
        from sweeps.trackers.mlflow_runs import MLflowRuns

        return MLflowRuns(sweep)
    if tracker == "wandb":
        from sweeps.trackers.wandb_runs import WandbRuns

        return WandbRuns(sweep)
    if tracker == "trackio":
        from sweeps.trackers.trackio_runs import TrackioRuns

        return TrackioRuns(sweep)
    from sweeps.trackers.optuna_runs import OptunaRuns

    return OptunaRuns(sweep)


class Session:
    """Carries out the messages of a driver.

    Args:
        tracker: The tracker's key in `log_to`.
        create: Creates the runs of the tracker.
    """

    def __init__(
        self, tracker: str, create: Callable[[str, SweepInfo], Runs] = create_runs
    ) -> None:
        self._tracker = tracker
        self._create = create
        self._runs: Runs | None = None
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carries out a message; a failure of the client becomes an answer."""
        try:
            return self._carry_out(message)
        except Exception as error:  # noqa: BLE001 - a client may raise anything
            return {"error": describe(error)}

    def _carry_out(self, message: dict[str, Any]) -> dict[str, Any]:
        if "open" in message:
            self._runs = self._create(self._tracker, SweepInfo(**message["open"]))
            return {"is_known": self._runs.open()}
        if self._runs is None:
            raise RuntimeError("the first message must open the sweep")
        if "close" in message:
            self._runs.close(message["close"])
            return {}
        record = RECORD.validate_json(message["record"])
        rows = [*self._rows.get(record.id, [])[: message["known_rows"]], *message["rows"]]
        update = TrialUpdate(record, rows, message["has_best"])
        self._runs.update(update)
        self._rows[record.id] = rows
        if update.has_ended:
            del self._rows[record.id]
        return {}


def describe(error: Exception) -> str:
    """Returns an exception as one line."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:MAX_REASON_CHARS]


def main(tracker: str) -> None:
    """Answers messages until the input ends."""
    source, target = _take_standard_streams()
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        for line in source:
            messages.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True, name="input").start()
    session = Session(tracker)
    while True:
        answer = session.answer(json.loads(messages.get()))
        target.write(json.dumps(answer).encode() + b"\n")
        target.flush()


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Returns input and output for messages; a client finds neither, and prints nothing."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return source, target


if __name__ == "__main__":
    main(sys.argv[1])

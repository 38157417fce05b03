"""Several trials in one process: a batch of each in turn, one context and one data set for all.

A `PackedWorker` holds a card. Ray calls it from as many threads as there are trials; all of
torch's work is done by one thread of its own, so that nothing of one trial can reach into
another's: a trial has its stream of the card and its own random numbers, and comes out as it would
alone.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainable.epoch import Steps
from trainable.seeding import OwnStreams
from trainable.trainer import Row
from trainable.trial_run import TrialRun
from trainable.trial_settings import SETTINGS, SUSPECT

log = logging.getLogger(__name__)

LAST_WORDS_S = 2.0
"""From the failure of a card's context to the end of the process: for the answer to get out."""

_CONTEXT_IS_LOST = re.compile(
    r"illegal memory access|device-side assert|unspecified launch failure|misaligned address"
    r"|CUDA error(?!: out of memory)",
    re.IGNORECASE,
)


class ClosedError(RuntimeError):
    """A trial was closed in the middle of an epoch, or was never opened here."""


@dataclass
class _Turns:
    """One trial's epoch under way."""

    key: str
    steps: Steps[Row]
    done: Future[Row]
    stream: Any
    """`torch.cuda.Stream`; None without a card."""
    numbers: OwnStreams = field(default_factory=OwnStreams)

    def take(self) -> bool:
        """Does one step; returns whether that was the last one, good or bad."""
        try:
            with self.numbers, _on(self.stream):
                next(self.steps)
        except StopIteration as end:
            self.done.set_result(end.value)
            return True
        except BaseException as error:  # noqa: BLE001 (somebody waits for it)
            self.done.set_exception(_told(error))
            return True
        return False


class PackedWorker:
    """Holds the trials of one card, and trains them in turns. The methods may be called at once.

    Args:
        places: How many trials it takes.
        threads: Of the CPU, for every trial in its turn.
    """

    def __init__(self, places: int, threads: int) -> None:
        self._places = places
        self._runs: dict[str, TrialRun] = {}
        self._streams: dict[str, Any] = {}
        self._suspects: set[str] = set()
        self._idle_streams: list[Any] = []
        self._turns: list[_Turns] = []
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = max(1, threads)
        threading.Thread(target=self._serve, name="trials", daemon=True).start()

    def count(self) -> int:
        """How many trials are here."""
        return len(self._runs)

    def open(self, key: str, config: dict[str, Any], directory: str | None) -> bool:
        """Takes a trial in; one of the same key is closed first.

        Args:
            key: The trial's id.
            config: See `TrialRun`.
            directory: See `TrialRun`.

        Returns:
            Whether there was a place. Of trials that a process may die of, there is one for one
            at a time, until it has completed an epoch.
        """

        def take_in() -> bool:
            self._close(key)
            is_suspect = bool(config[SETTINGS].get(SUSPECT))
            if len(self._runs) >= self._places or (is_suspect and self._suspects):
                return False
            path = None if directory is None else Path(directory)
            self._runs[key] = TrialRun(config, key, path)
            self._streams[key] = self._stream()
            if is_suspect:
                self._suspects.add(key)
            return True

        taken: bool = self._ask(take_in)
        return taken

    def step(self, key: str) -> Row:
        """Trains a trial's next epoch; see `TrialRun.step`."""
        row: Row = self._heard(lambda done: self._begin(key, done))
        return row

    def save_into(self, key: str, directory: str) -> None:
        """Names a trial's present state in a directory; see `TrialRun.save_into`."""
        self._ask(lambda: self._run(key).save_into(Path(directory)), key)

    def load(self, key: str, directory: str) -> None:
        """Makes a trial continue from a checkpoint; see `TrialRun.load`."""
        self._ask(lambda: self._run(key).load(Path(directory)), key)

    def close(self, key: str) -> None:
        """Lets go of a trial, if it is here."""
        self._ask(lambda: self._close(key))

    def _stream(self) -> Any:
        """One that no other trial here has; torch would give the same one out again and again."""
        if self._idle_streams:
            return self._idle_streams.pop()
        return torch.Stream("cuda") if torch.cuda.is_available() else None

    def _begin(self, key: str, done: Future[Row]) -> None:
        try:
            steps = self._run(key).steps()
        except ClosedError as error:
            done.set_exception(error)
            return
        self._turns.append(_Turns(key, steps, done, self._streams[key]))

    def _run(self, key: str) -> TrialRun:
        if key not in self._runs:
            raise ClosedError(f"trial {key} is not open in this process")
        return self._runs[key]

    def _close(self, key: str) -> None:
        ended = [turns for turns in self._turns if turns.key == key]
        run, stream = self._runs.pop(key, None), self._streams.pop(key, None)
        self._suspects.discard(key)
        for turns in ended:
            self._turns.remove(turns)
            turns.done.set_exception(ClosedError(f"trial {key} was closed in its epoch"))
        try:
            for turns in ended:
                turns.steps.close()
            if stream is not None:
                stream.synchronize()  # its memory is about to be another trial's
                self._idle_streams.append(stream)
            if run is not None:
                run.close()
        except Exception as error:  # noqa: BLE001 (others go on; nobody waits for this one)
            log.warning("trial %s has not been closed well: %s", key, error)
            _end_with_the_context(error)

    def _ask(self, work: Callable[[], Any], key: str | None = None) -> Any:
        """Has work done by the one thread, between two turns; returns what it came to."""

        def carry_out(done: Future[Any]) -> None:
            try:
                with _on(self._streams.get(key) if key else None):
                    done.set_result(work())
            except BaseException as error:  # noqa: BLE001 (somebody waits for it)
                done.set_exception(_told(error))
                _end_with_the_context(error)

        return self._heard(carry_out)

    def _heard(self, work: Callable[[Future[Any]], None]) -> Any:
        """Has something done by the one thread; waits for what that says in the end."""
        said: list[Future[Any]] = [Future()]
        self._asked.put(partial(work, said[0]))
        return said.pop().result()  # a failure's traceback holds this frame: it must not hold it

    def _serve(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            self._listen()
            self._go_round()

    def _go_round(self) -> None:
        """A turn of every trial that trains."""
        for turns in list(self._turns):
            # One that was closed by what has just been asked is no longer in the list.
            if turns in self._turns and turns.take():
                self._turns.remove(turns)
                self._look_after(turns)

    def _look_after(self, turns: _Turns) -> None:
        """Clears a trial of suspicion, or lets go of it: its memory is its neighbours' need."""
        error = turns.done.exception()
        if error is None:
            self._suspects.discard(turns.key)
        else:
            _end_with_the_context(error)
            self._close(turns.key)

    def _listen(self) -> None:
        """Does what has been asked; waits for it only where there is nothing to train."""
        try:
            while True:
                self._asked.get(block=not self._turns)()
        except queue.Empty:
            pass


def _on(stream: Any) -> AbstractContextManager[Any]:
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def _told(error: BaseException) -> BaseException:
    """A failure as it is told.

    It ends nobody's process, and the memory of what has failed is free when it has been heard:
    its frames hold no tensors, and none of them holds the failure itself.
    """
    found: BaseException | None = error
    while found is not None:
        traceback.clear_frames(found.__traceback__)
        found = found.__context__
    if not isinstance(error, Exception):
        return RuntimeError(f"the training would have ended its process: {error!r}")
    return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)


def _end_with_the_context(error: BaseException | None) -> None:
    """Ends the process if a trial has taken the card's context with it.

    Nothing can be computed on it any more. Its neighbours go on elsewhere from their checkpoints,
    as after the loss of any worker.
    """
    if error is None or not _CONTEXT_IS_LOST.search(str(error)):
        return
    log.error("the card's context is lost: %s", error)
    timer = threading.Timer(LAST_WORDS_S, os._exit, [1])
    timer.daemon = True
    timer.start()
    threading.Event().wait()

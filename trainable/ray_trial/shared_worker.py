"""Several trials in one process: a batch of each in turn, one context and one data set for all.

A `SharedWorker` holds a GPU. Ray calls it from as many threads as there are trials; all of
torch's work is done by one thread of its own. Each trial has its own stream and its own random
state, so that its results are those of a training alone in its process.
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
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainable.ray_trial.trial_run import TrialRun
from trainable.training.epoch import Steps
from trainable.training.gpu_queue import Event, is_unreached
from trainable.training.seeding import RngState
from trainable.training.trainer import Row
from trainable.trial_settings import SETTINGS, SUSPECT

log = logging.getLogger(__name__)

LAST_WORDS_S = 2.0
"""From the failure of a GPU's context to the end of the process: for the answer to get out."""
EVENT_POLL_S = 0.00005
"""Between two looks whether the GPU has reached any of the events that the trials wait for."""

_CONTEXT_IS_LOST = re.compile(
    r"illegal memory access|device-side assert|unspecified launch failure|misaligned address"
    r"|CUDA error(?!: out of memory)",
    re.IGNORECASE,
)


class ClosedError(RuntimeError):
    """A trial was closed in the middle of an epoch, or was never opened here."""


@dataclass(frozen=True)
class _Trial:
    """A trial that is open here, with all that it shares with no other trial."""

    run: TrialRun
    stream: Any
    """`torch.Stream`; None without a GPU."""
    rng: RngState


@dataclass(eq=False)
class _Epoch:
    """An epoch under way."""

    key: str
    trial: _Trial
    steps: Steps[Row]
    done: Future[Row]
    event: Event | None = None
    """Nothing is to be done before the GPU has reached it."""

    def take_turn(self) -> bool:
        """Does one step; returns whether that was the last one, for good or bad."""
        try:
            with self.trial.rng, _on(self.trial.stream):
                step = next(self.steps)
        except StopIteration as end:
            self.done.set_result(end.value)
            return True
        except BaseException as error:  # noqa: BLE001 (a caller waits for it)
            self.done.set_exception(_detached(error))
            return True
        self.event = None if isinstance(step, int) else step
        return False


class SharedWorker:
    """Holds the trials of one GPU and trains them in turns. Its methods are safe between threads.

    Args:
        places: The most trials that may be open at once.
        threads: CPU threads that every trial uses in its turn.
    """

    def __init__(self, places: int, threads: int) -> None:
        self._places = places
        self._trials: dict[str, _Trial] = {}
        self._suspects: set[str] = set()
        self._idle_streams: list[Any] = []
        self._epochs: list[_Epoch] = []
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = max(1, threads)
        threading.Thread(target=self._serve, name="trials", daemon=True).start()

    def count(self) -> int:
        """Number of trials that are open here."""
        return len(self._trials)

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
            if len(self._trials) >= self._places or (is_suspect and self._suspects):
                return False
            path = None if directory is None else Path(directory)
            run = TrialRun(config, key, path)
            self._trials[key] = _Trial(run, self._stream(), RngState(draws=run.draws_globally))
            if is_suspect:
                self._suspects.add(key)
            return True

        was_taken: bool = self._request(take_in)
        return was_taken

    def step(self, key: str) -> Row:
        """Trains a trial's next epoch; see `TrialRun.step`."""
        row: Row = self._answer(lambda done: self._begin(key, done))
        return row

    def save_into(self, key: str, directory: str) -> None:
        """Names a trial's present state in a directory; see `TrialRun.save_into`."""
        self._request(lambda: self._trial(key).run.save_into(Path(directory)), key)

    def load(self, key: str, directory: str) -> None:
        """Makes a trial continue from a checkpoint; see `TrialRun.load`."""
        self._request(lambda: self._trial(key).run.load(Path(directory)), key)

    def close(self, key: str) -> None:
        """Closes a trial, if it is open here."""
        self._request(lambda: self._close(key))

    def _stream(self) -> Any:
        """Returns a stream that no other trial has; torch's own pool repeats itself."""
        if self._idle_streams:
            return self._idle_streams.pop()
        return torch.Stream("cuda") if torch.cuda.is_available() else None

    def _begin(self, key: str, done: Future[Row]) -> None:
        try:
            trial = self._trial(key)
        except ClosedError as error:
            done.set_exception(error)
            return
        self._epochs.append(_Epoch(key, trial, trial.run.steps(), done))

    def _trial(self, key: str) -> _Trial:
        if key not in self._trials:
            raise ClosedError(f"trial {key} is not open in this process")
        return self._trials[key]

    def _close(self, key: str) -> None:
        ended = [epoch for epoch in self._epochs if epoch.key == key]
        trial = self._trials.pop(key, None)
        self._suspects.discard(key)
        for epoch in ended:
            self._epochs.remove(epoch)
            epoch.done.set_exception(ClosedError(f"trial {key} was closed in its epoch"))
        try:
            for epoch in ended:
                epoch.steps.close()
            if trial is not None:
                self._release(trial)
        except Exception as error:  # noqa: BLE001 (the other trials go on; no caller waits)
            log.warning("trial %s has not been closed well: %s", key, error)
            _end_with_the_context(error)

    def _release(self, trial: _Trial) -> None:
        if trial.stream is not None:
            trial.stream.synchronize()  # its memory is about to be another trial's
            self._idle_streams.append(trial.stream)
        trial.run.close()

    def _request(self, work: Callable[[], Any], key: str | None = None) -> Any:
        """Has work done by the worker's thread, between two turns; returns its result.

        Args:
            work: Called without arguments.
            key: The trial on whose stream the work is done.
        """

        def carry_out(done: Future[Any]) -> None:
            try:
                trial = self._trials.get(key) if key else None
                with _on(trial.stream if trial else None):
                    done.set_result(work())
            except BaseException as error:  # noqa: BLE001 (a caller waits for it)
                done.set_exception(_detached(error))
                _end_with_the_context(error)

        return self._answer(carry_out)

    def _answer(self, work: Callable[[Future[Any]], None]) -> Any:
        """Has the worker's thread call `work`, and waits for the answer that it gives."""
        answers: list[Future[Any]] = [Future()]
        self._requests.put(partial(work, answers[0]))
        return answers.pop().result()  # a failure's traceback holds this frame: no cycle

    def _serve(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            self._answer_requests()
            self._go_round()

    def _answer_requests(self) -> None:
        """Carries out all requests; waits for one only where there is nothing to train."""
        try:
            while True:
                self._requests.get(block=not self._epochs)()
        except queue.Empty:
            pass

    def _go_round(self) -> None:
        """Gives a turn to every trial that does not wait for the GPU."""
        all_wait = True
        for epoch in list(self._epochs):
            # A failure closes all epochs of its trial.
            if epoch not in self._epochs or is_unreached(epoch.event):
                continue
            all_wait = False
            if epoch.take_turn():
                self._epochs.remove(epoch)
                self._finish(epoch)
        if all_wait:
            self._wait()

    def _wait(self) -> None:
        """Waits for the GPU, or for a request; other threads run meanwhile.

        No call of CUDA's waits, not even for a single trial: a request would have to wait, too,
        for as long as the GPU takes to finish a whole pass.
        """
        with suppress(queue.Empty):
            self._requests.get(timeout=EVENT_POLL_S)()

    def _finish(self, epoch: _Epoch) -> None:
        """Clears a trial of suspicion; closes a failed one, whose memory its neighbours need."""
        error = epoch.done.exception()
        if error is None:
            self._suspects.discard(epoch.key)
        else:
            _end_with_the_context(error)
            self._close(epoch.key)


def _on(stream: Any) -> AbstractContextManager[Any]:
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def _detached(error: BaseException) -> BaseException:
    """Prepares a failure for the caller that waits for it.

    Its frames are cleared, so that the failed trial's memory is free once the caller has it.
    An exception that would end the caller's process becomes a `RuntimeError`.
    """
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__context__
    if not isinstance(error, Exception):
        return RuntimeError(f"the training would have ended its process: {error!r}")
    return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)


def _end_with_the_context(error: BaseException | None) -> None:
    """Ends the process if a trial's failure has destroyed the GPU's context.

    Nothing can be computed in it any more. The other trials continue in another process from
    their checkpoints, as after the loss of any worker.
    """
    if error is None or not _CONTEXT_IS_LOST.search(str(error)):
        return
    log.error("the GPU's context is lost: %s", error)
    timer = threading.Timer(LAST_WORDS_S, os._exit, [1])
    timer.daemon = True
    timer.start()
    threading.Event().wait()

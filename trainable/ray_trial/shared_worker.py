"""`SharedWorker`: a Ray actor that trains several trials in turns, one batch of each at a time.

The trials share the actor's GPU, one CUDA context and one copy of the data set. Ray calls the
actor from one thread per trial; a single thread of the actor does all of torch's work. Each trial
has its own stream and random state, so its results are those of a training in its own process.
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
from trainable.training.gpu.gpu_queue import Event, is_unreached
from trainable.training.seeding import RngState
from trainable.training.trainer import Row
from trainable.trial_settings import SETTINGS, SUSPECT

log = logging.getLogger(__name__)

EXIT_DELAY_S = 2.0
"""From the failure of a GPU's context to the exit of the process, for the reply to be sent."""
EVENT_POLL_S = 0.00005
"""Interval at which the events are checked that the trials wait for."""

_LOST_CONTEXT = re.compile(
    r"illegal memory access|device-side assert|unspecified launch failure|misaligned address"
    r"|CUDA error(?!: out of memory)",
    re.IGNORECASE,
)


class ClosedError(RuntimeError):
    """A trial was closed during an epoch, or is not open in this worker."""


@dataclass(frozen=True)
class _Trial:
    """A trial that is open in this worker, with its own stream and random state."""

    run: TrialRun
    stream: Any
    """`torch.Stream`; None without a GPU."""
    rng: RngState


@dataclass(eq=False)
class _Epoch:
    """An epoch that is being trained."""

    key: str
    trial: _Trial
    steps: Steps[Row]
    done: Future[Row]
    event: Event | None = None
    """The next step has to wait for this event."""

    def take_turn(self) -> bool:
        """Does one step; returns whether the epoch has ended or failed."""
        try:
            with self.trial.rng, _use_stream(self.trial.stream):
                step = next(self.steps)
        except StopIteration as end:
            self.done.set_result(end.value)
            return True
        except BaseException as error:  # noqa: BLE001 (a caller waits for it)
            self.done.set_exception(_prepare_for_caller(error))
            return True
        self.event = None if isinstance(step, int) else step
        return False


class SharedWorker:
    """Trains the trials of one GPU in turns. Its methods are thread-safe.

    Args:
        capacity: The largest number of trials that may be open at the same time.
        threads: CPU threads that every trial uses in its turn.
    """

    def __init__(self, capacity: int, threads: int) -> None:
        self._capacity = capacity
        self._trials: dict[str, _Trial] = {}
        self._suspects: set[str] = set()
        self._idle_streams: list[Any] = []
        self._epochs: list[_Epoch] = []
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = max(1, threads)
        threading.Thread(target=self._run_forever, name="trials", daemon=True).start()

    def count(self) -> int:
        """Returns the number of open trials."""
        return len(self._trials)

    def open(self, key: str, config: dict[str, Any], directory: str | None) -> bool:
        """Opens a trial; one with the same key is closed first.

        Args:
            key: The trial's id.
            config: See `TrialRun`.
            directory: See `TrialRun`.

        Returns:
            Whether there was room. Of the trials that may have crashed a process, only one is
            accepted at a time, until it has completed an epoch.
        """

        def open_trial() -> bool:
            self._close(key)
            is_suspect = bool(config[SETTINGS].get(SUSPECT))
            if len(self._trials) >= self._capacity or (is_suspect and self._suspects):
                return False
            path = None if directory is None else Path(directory)
            run = TrialRun(config, key, path)
            self._trials[key] = _Trial(
                run, self._take_stream(), RngState(draws=run.draws_globally)
            )
            if is_suspect:
                self._suspects.add(key)
            return True

        is_open: bool = self._request(open_trial)
        return is_open

    def step(self, key: str) -> Row:
        """Trains a trial's next epoch; see `TrialRun.step`."""
        row: Row = self._submit(lambda done: self._begin(key, done))
        return row

    def save_into(self, key: str, directory: str) -> None:
        """Saves a trial's present state into a directory; see `TrialRun.save_into`."""
        self._request(lambda: self._get_trial(key).run.save_into(Path(directory)), key)

    def load(self, key: str, directory: str) -> None:
        """Restores a trial from a checkpoint; see `TrialRun.load`."""
        self._request(lambda: self._get_trial(key).run.load(Path(directory)), key)

    def close(self, key: str) -> None:
        """Closes a trial, if it is open."""
        self._request(lambda: self._close(key))

    def _take_stream(self) -> Any:
        """Returns a stream that no other trial uses; torch's own pool would reuse streams."""
        if self._idle_streams:
            return self._idle_streams.pop()
        return torch.Stream("cuda") if torch.cuda.is_available() else None

    def _begin(self, key: str, done: Future[Row]) -> None:
        try:
            trial = self._get_trial(key)
        except ClosedError as error:
            done.set_exception(error)
            return
        self._epochs.append(_Epoch(key, trial, trial.run.steps(), done))

    def _get_trial(self, key: str) -> _Trial:
        if key not in self._trials:
            raise ClosedError(f"trial {key} is not open in this process")
        return self._trials[key]

    def _close(self, key: str) -> None:
        epochs = [epoch for epoch in self._epochs if epoch.key == key]
        trial = self._trials.pop(key, None)
        self._suspects.discard(key)
        for epoch in epochs:
            self._epochs.remove(epoch)
            epoch.done.set_exception(ClosedError(f"trial {key} was closed during its epoch"))
        try:
            for epoch in epochs:
                epoch.steps.close()
            if trial is not None:
                self._release(trial)
        except Exception as error:  # noqa: BLE001 (the other trials continue; no caller waits)
            log.warning("closing trial %s has failed: %s", key, error)
            _exit_on_lost_context(error)

    def _release(self, trial: _Trial) -> None:
        if trial.stream is not None:
            trial.stream.synchronize()  # another trial will get its memory
            self._idle_streams.append(trial.stream)
        trial.run.close()

    def _request(self, work: Callable[[], Any], key: str | None = None) -> Any:
        """Runs work in the worker's thread, between two turns, and returns its result.

        Args:
            work: A function without arguments.
            key: The trial on whose stream the work runs.
        """

        def run(done: Future[Any]) -> None:
            try:
                trial = self._trials.get(key) if key else None
                with _use_stream(trial.stream if trial else None):
                    done.set_result(work())
            except BaseException as error:  # noqa: BLE001 (a caller waits for it)
                done.set_exception(_prepare_for_caller(error))
                _exit_on_lost_context(error)

        return self._submit(run)

    def _submit(self, work: Callable[[Future[Any]], None]) -> Any:
        """Makes the worker's thread call `work`, and waits for the result that `work` sets."""
        futures: list[Future[Any]] = [Future()]
        self._requests.put(partial(work, futures[0]))
        return futures.pop().result()  # `pop`: a failure's traceback must not form a cycle

    def _run_forever(self) -> None:
        torch.set_num_threads(self._threads)
        while True:
            self._run_requests()
            self._run_turns()

    def _run_requests(self) -> None:
        """Runs all requests; waits for one only if there is nothing to train."""
        try:
            while True:
                self._requests.get(block=not self._epochs)()
        except queue.Empty:
            pass

    def _run_turns(self) -> None:
        """Gives a turn to every trial that does not wait for the GPU."""
        all_wait = True
        for epoch in list(self._epochs):
            # The failure of an epoch closes all epochs of its trial.
            if epoch not in self._epochs or is_unreached(epoch.event):
                continue
            all_wait = False
            if epoch.take_turn():
                self._epochs.remove(epoch)
                self._finish(epoch)
        if all_wait:
            self._wait()

    def _wait(self) -> None:
        """Waits for the GPU or a request; other threads run meanwhile.

        It does not wait in a CUDA call, not even for a single trial: a request would then have to
        wait until the GPU has finished a whole pass.
        """
        with suppress(queue.Empty):
            self._requests.get(timeout=EVENT_POLL_S)()

    def _finish(self, epoch: _Epoch) -> None:
        """Ends the suspicion against a trial, or closes a failed one to free its memory."""
        error = epoch.done.exception()
        if error is None:
            self._suspects.discard(epoch.key)
        else:
            _exit_on_lost_context(error)
            self._close(epoch.key)


def _use_stream(stream: Any) -> AbstractContextManager[Any]:
    return nullcontext() if stream is None else torch.cuda.stream(stream)


def _prepare_for_caller(error: BaseException) -> BaseException:
    """Prepares a failure for the caller that waits for it.

    Its frames are cleared, so that the failed trial's memory is freed. An exception that would end
    the caller's process becomes a `RuntimeError`.
    """
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__context__
    if not isinstance(error, Exception):
        return RuntimeError(f"the training would have ended its process: {error!r}")
    return error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None)


def _exit_on_lost_context(error: BaseException | None) -> None:
    """Ends the process if a trial's failure has destroyed the GPU's context.

    The context cannot be used any more. The other trials continue in another process from their
    checkpoints, as after the loss of any worker.
    """
    if error is None or not _LOST_CONTEXT.search(str(error)):
        return
    log.error("the GPU's context is lost: %s", error)
    timer = threading.Timer(EXIT_DELAY_S, os._exit, [1])
    timer.daemon = True
    timer.start()
    threading.Event().wait()

"""Records a step once as a CUDA graph and replays it for every batch.

A small network's step is a few hundred kernels of microseconds, and launching them one by one from
Python takes longer than they run. A replay launches all of them at once: forward and backward
pass, the scaling of the loss and the optimizer. Batches are cut before, many at a time.

A recording holds addresses and numbers, not Python: what a model decides in Python is decided once
and for all. Built-in models decide nothing; a model of the user's is recorded on request only, and
only if it passes the checks of `replay_checks.py`. Where nothing can be recorded the training goes
on kernel by kernel, with the same results.

Not yet run on a GPU: see README, "What it does not do yet".
"""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from trainable.config import TrainConfig
from trainable.models import MODELS
from trainable.training.device import free_memory
from trainable.training.replay_checks import ReplayChecks
from trainable.training.step import EvaluationStep, TrainStep

WARM_UP = 3
"""Batches that run kernel by kernel first: libraries choose kernels, buffers are allocated."""
MIN_BATCHES = 30
"""Full batches that a training must have for `cuda_graph: auto`: with fewer, warm-up and recording
cost more than the replays save."""
MEMORY_MARGIN = 1.1
"""How much more memory than the warm-up took must be free for a recording."""

RECORDED = "recorded"
"""`CudaGraphs.status` of a training whose steps are replayed."""

Replay = Callable[[], None]


class Recorder(Protocol):
    """Records work for a device."""

    def record(self, work: Callable[[], None]) -> Replay:
        """Records the work without doing it.

        Raises:
            RuntimeError: It cannot be recorded; everything is as before.
        """
        ...

    def find_synchronization(self, work: Callable[[], None]) -> str | None:
        """Does the work, and returns the first operation that waits for the device, if any."""
        ...

    def memory_shortage(self) -> str | None:
        """Returns why the memory does not suffice for a recording, or None if it does."""
        ...


class CudaRecorder:
    """Records CUDA graphs on the current stream, all of them in one memory pool.

    cuBLAS has one workspace per stream: recorded on a stream that they share, the graphs of
    several trainings would compute in the same workspace at the same time.

    Args:
        device: With an index.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None

    def record(self, work: Callable[[], None]) -> Replay:
        """See `Recorder.record`."""
        stream = torch.cuda.current_stream(self._device)
        torch.cuda.synchronize(self._device)
        gc.collect()  # a graph that is freed during a recording would invalidate it
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads of the process copy checkpoints: their calls are not recorded.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                work()
        except BaseException:
            torch.cuda.set_stream(stream)  # a failed recording leaves its own one current
            with suppress(RuntimeError):  # the first failure is the one to report
                self._clean_up()
            raise
        return graph.replay

    def find_synchronization(self, work: Callable[[], None]) -> str | None:
        """See `Recorder.find_synchronization`; a recording would fail at such an operation."""
        thread, messages = threading.get_ident(), list[str]()
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            show = warnings.showwarning

            def note(message: Warning | str, *details: object) -> None:
                if threading.get_ident() == thread and "synchronizing CUDA" in str(message):
                    messages.append(f"{details[1]}:{details[2]}")
                else:
                    show(message, *details)  # type: ignore[arg-type]

            warnings.showwarning = note  # type: ignore[assignment]
            try:
                torch.cuda.set_sync_debug_mode("warn")
                work()
            finally:
                torch.cuda.set_sync_debug_mode(before)
        return messages[0] if messages else None

    def memory_shortage(self) -> str | None:
        """See `Recorder.memory_shortage`.

        A recording has its own copy of all activations, and batches that are not replayed need
        theirs besides.
        """
        activations = torch.cuda.max_memory_allocated(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        needed, free = int(2 * MEMORY_MARGIN * activations), free_memory(self._device)
        if needed <= free:
            return None
        return f"it would need {needed / 2**30:.2f} GiB of GPU memory, {free / 2**30:.2f} are free"

    def _clean_up(self) -> None:
        """Ends what a failed recording has left open in torch's allocator and generator.

        Up to 2.11, torch leaves the allocator recording: `empty_cache` fails from then on, and so
        does dropout. Later releases end that by themselves and refuse the first of the two calls.
        The second must then be left out, since a pool that is released twice is freed under the
        graphs that still use it.
        """
        pool, self._pool = self._pool, None
        bindings: Any = torch._C
        end = getattr(bindings, "_cuda_endAllocateToPool", None)
        if end is None:  # its name in torch 2.6
            end = bindings._cuda_endAllocateCurrentStreamToPool
        with suppress(RuntimeError):
            end(self._device.index, pool)
            torch._C._cuda_releasePool(self._device.index, pool)
        stream = torch.cuda.current_stream(self._device)
        # A recording that succeeds resets the generator.
        with torch.cuda.graph(
            torch.cuda.CUDAGraph(), stream=stream, capture_error_mode="thread_local"
        ):
            torch.zeros(1, device=self._device)
        torch.cuda.set_stream(stream)


@dataclass
class _Recording:
    """A recorded step and the batch it reads."""

    images: Tensor
    labels: Tensor
    replay: Replay


class _Recordability:
    """Finds out whether steps can be recorded, and records them.

    One failure ends all recording of a training: it may have invalidated an earlier recording.

    Args:
        recorder: Records for the training's device.
        checks: For a model that may decide something in Python; None for a built-in one.
    """

    def __init__(self, recorder: Recorder, checks: ReplayChecks | None) -> None:
        self.failure: str | None = None
        """Why nothing can be recorded."""
        self._recorder = recorder
        self._checks = checks

    @property
    def is_built_in(self) -> bool:
        """Whether the model is known to decide nothing in Python."""
        return self._checks is None

    def probe(self, work: Callable[[], None]) -> None:
        """Does a step kernel by kernel and finds out whether it can be recorded."""
        waits: list[str | None] = []

        def watched() -> None:
            waits.append(self._recorder.find_synchronization(work))

        if self._checks is None:
            watched()
            self.failure = self._recorder.memory_shortage()
        else:
            self.failure = self._checks.find_decision(watched)
        if waits[0] is not None:
            self.failure = f"the step waits for the GPU at {waits[0]}"

    def record(self, work: Callable[[], None]) -> Replay | None:
        """Records a step; returns None if that fails."""
        try:
            return self._recorder.record(work)
        except RuntimeError as error:
            self.failure = str(_cause(error)).partition("\n")[0]
            return None

    def replay_first(self, replay: Replay, step: Callable[[], None], sums: list[Tensor]) -> bool:
        """Does a batch by the new recording; compares it with the step if the model may differ.

        Returns:
            Whether the recording can be used.
        """
        if self._checks is None:
            replay()
            return True
        if self._checks.agree(replay, step, sums):
            return True
        self.failure = "a replay of the step differs from the step"
        return False


class GraphedPass:
    """Runs the batches of one kind of pass, training or evaluation: replayed where possible.

    Args:
        step: Its tensors stay where they are.
        batch_size: Of a full batch; others are not replayed.
        recordability: Shared by the passes of a training.
    """

    def __init__(
        self, step: TrainStep | EvaluationStep, batch_size: int, recordability: _Recordability
    ) -> None:
        self._step = step
        self._batch_size = batch_size
        self._recordability = recordability
        self._recording: _Recording | None = None
        self._shape: torch.Size | None = None
        self._seen = 0

    @property
    def is_recorded(self) -> bool:
        """Whether full batches are replayed."""
        return self._recording is not None and self._recordability.failure is None

    def run(self, images: Tensor, labels: Tensor) -> None:
        """Does the step on a batch.

        Args:
            images: `[B, C, H, W]`.
            labels: `[B]`.
        """
        if self._recordability.failure is not None:
            self.forget()
            self._step(images, labels)
            return
        if not self._is_full(images):
            self._step(images, labels)
            return
        self._seen += 1
        self._step.wait_for_copy()  # a replay waits for nothing
        if self._recording is not None:
            self._recording.images.copy_(images)
            self._recording.labels.copy_(labels)
            self._recording.replay()
        elif self._seen < WARM_UP:
            self._step(images, labels)
        elif self._seen == WARM_UP:
            self._recordability.probe(lambda: self._step(images, labels))
        else:
            self._begin(images, labels)

    def forget(self) -> None:
        """Drops the recording: the next full batches are a warm-up again."""
        if self._recording is not None and self._step.device.type == "cuda":
            torch.cuda.current_stream(self._step.device).synchronize()  # it may be running
        self._recording, self._shape, self._seen = None, None, 0

    def _is_full(self, images: Tensor) -> bool:
        if len(images) != self._batch_size:
            return False
        if self._shape is None:
            self._shape = images.shape
        return images.shape == self._shape

    def _begin(self, images: Tensor, labels: Tensor) -> None:
        """Records the step, which changes nothing, and does the batch."""
        step, is_built_in = self._step, self._recordability.is_built_in
        recorded_images, recorded_labels = images.clone(), labels.clone()

        def work() -> None:
            with step.for_recording() if is_built_in else nullcontext():
                step(recorded_images, recorded_labels)

        replay = self._recordability.record(work)
        if replay is None:
            step(images, labels)
        elif self._recordability.replay_first(
            replay, lambda: step(images, labels), [step.sums.loss, step.sums.hits]
        ):
            self._recording = _Recording(recorded_images, recorded_labels, replay)


class CudaGraphs:
    """Recordings of one training: its training pass and its evaluation.

    Args:
        train_step: Of the training.
        evaluation_step: Of the same model.
        batch_size: Of a full batch of both.
        recorder: Records for their device.
        checks: For a model that may decide something in Python; None for a built-in one.
    """

    def __init__(
        self,
        train_step: TrainStep,
        evaluation_step: EvaluationStep,
        batch_size: int,
        recorder: Recorder,
        checks: ReplayChecks | None = None,
    ) -> None:
        self._recordability = _Recordability(recorder, checks)
        self.training = GraphedPass(train_step, batch_size, self._recordability)
        self.evaluation = GraphedPass(evaluation_step, batch_size, self._recordability)

    @property
    def failure(self) -> str | None:
        """Why nothing can be recorded; everything then runs kernel by kernel."""
        return self._recordability.failure

    @property
    def status(self) -> str:
        """`RECORDED`, or why training steps are not replayed."""
        if self.failure is not None:
            return self.failure
        return RECORDED if self.training.is_recorded else "too few full batches so far"

    def forget(self) -> None:
        """Drops both recordings, whose addresses or numbers are no longer valid."""
        self.training.forget()
        self.evaluation.forget()


def graph_refusal(config: TrainConfig, device: torch.device, full_batches: int) -> str | None:
    """Returns why `training.cuda_graph` leads to no recording, or None if it does.

    Args:
        config: Complete settings.
        device: Of the training.
        full_batches: Of the whole training.
    """
    setting = config.training.cuda_graph
    if device.type != "cuda":
        return "no CUDA device"
    if setting is False:
        return "training.cuda_graph is false"
    if config.training.accumulation_steps > 1:
        return "training.accumulation_steps is above 1"
    if setting is True:
        return None
    if config.model.name not in MODELS:
        return "own model; training.cuda_graph: true tries it"
    if full_batches < MIN_BATCHES:
        return f"fewer than {MIN_BATCHES} full batches to train"
    return None


def _cause(error: BaseException) -> BaseException:
    """Returns what made a recording fail: its end only reports that something did."""
    while error.__context__ is not None:
        error = error.__context__
    return error

"""Records a step once as a CUDA graph and replays it for every batch.

A step of a small network is a few hundred kernels that run for microseconds each. Launching them
one by one from Python takes longer than they run. A replay launches all of them together: forward
and backward pass, the scaling of the loss and the optimizer's step. Batches are prepared outside
the recording, many at a time.

A recording contains addresses and numbers, but no Python code: a decision that the model takes in
Python is fixed when the step is recorded. Built-in models take none. A custom model is recorded
only on request, and only if it passes the checks of `replay_checks.py`. Where recording fails, the
training continues kernel by kernel, with the same results.

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

from trainable.config import OwnLoss, TrainConfig
from trainable.models import MODELS
from trainable.optim.registry import FIXED
from trainable.training.device import free_memory
from trainable.training.gpu.replay_checks import ReplayChecks
from trainable.training.step import EvaluationStep, TrainStep

WARM_UP = 3
"""Batches that run kernel by kernel first, while libraries choose kernels and allocate buffers."""
MIN_BATCHES = 30
"""Full batches that a training must have for `cuda_graph: auto`. With fewer, warm-up and recording
cost more than the replays save."""
MEMORY_MARGIN = 1.1
"""Free memory that a recording needs, relative to what the warm-up used."""

RECORDED = "recorded"
"""Value of `CudaGraphs.status` if the training's steps are replayed."""

Replay = Callable[[], None]


class Recorder(Protocol):
    """Records work for a device."""

    def record(self, work: Callable[[], None]) -> Replay:
        """Records the work without doing it.

        Raises:
            RuntimeError: The work cannot be recorded; nothing has changed.
        """
        ...

    def find_synchronization(self, work: Callable[[], None]) -> str | None:
        """Does the work and returns the first operation that waits for the device, if any."""
        ...

    def memory_shortage(self) -> str | None:
        """Returns why there is too little memory for a recording, or None if there is enough."""
        ...


class CudaRecorder:
    """Records CUDA graphs on the current stream, all of them in one memory pool.

    cuBLAS has one workspace per stream. If several trainings recorded on a common stream, their
    graphs would use the same workspace at the same time.

    Args:
        device: The training's GPU, with an index.
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
            # `thread_local`: other threads of the process, which copy checkpoints, may call CUDA.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                work()
        except BaseException:
            torch.cuda.set_stream(stream)  # a failed recording leaves its own stream current
            with suppress(RuntimeError):  # the first failure is the one to report
                self._clean_up()
            raise
        return graph.replay

    def find_synchronization(self, work: Callable[[], None]) -> str | None:
        """See `Recorder.find_synchronization`; a recording fails at such an operation."""
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

        A recording keeps its own copy of all activations. Batches that are not replayed need
        memory for theirs in addition.
        """
        activations = torch.cuda.max_memory_allocated(self._device) - torch.cuda.memory_allocated(
            self._device
        )
        needed, free = int(2 * MEMORY_MARGIN * activations), free_memory(self._device)
        if needed <= free:
            return None
        return f"it would need {needed / 2**30:.2f} GiB of GPU memory, {free / 2**30:.2f} are free"

    def _clean_up(self) -> None:
        """Resets torch's allocator and generator after a failed recording.

        Up to 2.11, torch leaves the allocator recording, and `empty_cache` and dropout fail from
        then on. Later releases reset it themselves and refuse the first of the two calls. The
        second one must then be skipped: a pool that is released twice is freed while graphs still
        use it.
        """
        pool, self._pool = self._pool, None
        bindings: Any = torch._C
        end = getattr(bindings, "_cuda_endAllocateToPool", None)
        if end is None:  # the name in torch 2.6
            end = bindings._cuda_endAllocateCurrentStreamToPool
        with suppress(RuntimeError):
            end(self._device.index, pool)
            torch._C._cuda_releasePool(self._device.index, pool)
        stream = torch.cuda.current_stream(self._device)
        # A successful recording resets the generator.
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


class _CheckedRecorder:
    """Checks whether steps can be recorded, and records them.

    One failure ends all recording of a training, because it may have invalidated an earlier
    recording.

    Args:
        recorder: The recorder for the training's device.
        checks: The checks of a custom model, which may take decisions in Python; None for a
            built-in model.
    """

    def __init__(self, recorder: Recorder, checks: ReplayChecks | None) -> None:
        self.failure: str | None = None
        """Why nothing can be recorded."""
        self._recorder = recorder
        self._checks = checks

    @property
    def is_built_in(self) -> bool:
        """Whether the model is a built-in one, which takes no decisions in Python."""
        return self._checks is None

    def probe(self, work: Callable[[], None]) -> None:
        """Does a step kernel by kernel and checks whether it can be recorded."""
        synchronizations: list[str | None] = []

        def watched_work() -> None:
            synchronizations.append(self._recorder.find_synchronization(work))

        if self._checks is None:
            watched_work()
            self.failure = self._recorder.memory_shortage()
        else:
            self.failure = self._checks.find_decision(watched_work)
        if synchronizations[0] is not None:
            self.failure = f"the step waits for the GPU at {synchronizations[0]}"

    def record(self, work: Callable[[], None]) -> Replay | None:
        """Records a step; returns None if that fails."""
        try:
            return self._recorder.record(work)
        except RuntimeError as error:
            self.failure = str(_first_error(error)).partition("\n")[0]
            return None

    def replay_first(self, replay: Replay, step: Callable[[], None], sums: list[Tensor]) -> bool:
        """Does a batch with the new recording; compares it with the step for a custom model.

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
    """Runs the batches of one kind of pass, training or evaluation, by replays where possible.

    Args:
        step: The step, whose tensors keep their addresses.
        batch_size: The size of a full batch; other batches are not replayed.
        recorder: The recorder that the passes of a training share.
    """

    def __init__(
        self, step: TrainStep | EvaluationStep, batch_size: int, recorder: _CheckedRecorder
    ) -> None:
        self._step = step
        self._batch_size = batch_size
        self._recorder = recorder
        self._recording: _Recording | None = None
        self._shape: tuple[torch.Size, torch.Size] | None = None
        self._full_batches_seen = 0

    @property
    def is_recorded(self) -> bool:
        """Whether full batches are replayed."""
        return self._recording is not None and self._recorder.failure is None

    def run(self, images: Tensor, labels: Tensor) -> None:
        """Does the step on a batch.

        Args:
            images: `[B, C, H, W]`.
            labels: `[B]`, or soft targets `[B, num_classes]`.
        """
        if self._recorder.failure is not None:
            self.forget()
            self._step(images, labels)
            return
        if not self._is_full(images, labels):
            self._step(images, labels)
            return
        self._full_batches_seen += 1
        self._step.wait_for_copy()  # a replay does not wait by itself
        if self._recording is not None:
            self._recording.images.copy_(images)
            self._recording.labels.copy_(labels)
            self._recording.replay()
        elif self._full_batches_seen < WARM_UP:
            self._step(images, labels)
        elif self._full_batches_seen == WARM_UP:
            self._recorder.probe(lambda: self._step(images, labels))
        else:
            self._record(images, labels)

    def forget(self) -> None:
        """Drops the recording; the next full batches are a warm-up again."""
        if self._recording is not None and self._step.device.type == "cuda":
            torch.cuda.current_stream(self._step.device).synchronize()  # a replay may be running
        self._recording, self._shape, self._full_batches_seen = None, None, 0

    def _is_full(self, images: Tensor, labels: Tensor) -> bool:
        if len(images) != self._batch_size:
            return False
        shape = images.shape, labels.shape
        if self._shape is None:
            self._shape = shape
        return shape == self._shape

    def _record(self, images: Tensor, labels: Tensor) -> None:
        """Records the step, which changes no state, and then does the batch."""
        step, is_built_in = self._step, self._recorder.is_built_in
        recorded_images, recorded_labels = images.clone(), labels.clone()

        def work() -> None:
            with step.for_recording() if is_built_in else nullcontext():
                step(recorded_images, recorded_labels)

        replay = self._recorder.record(work)
        if replay is None:
            step(images, labels)
        elif self._recorder.replay_first(
            replay, lambda: step(images, labels), [step.sums.loss, step.sums.hits]
        ):
            self._recording = _Recording(recorded_images, recorded_labels, replay)


class CudaGraphs:
    """Recordings of one training: its training pass and its evaluation.

    Args:
        train_step: The step of the training pass.
        evaluation_step: The step of the evaluation of the same model.
        batch_size: The size of a full batch in both.
        recorder: The recorder for their device.
        checks: The checks of a custom model; None for a built-in model.
    """

    def __init__(
        self,
        train_step: TrainStep,
        evaluation_step: EvaluationStep,
        batch_size: int,
        recorder: Recorder,
        checks: ReplayChecks | None = None,
    ) -> None:
        self._recorder = _CheckedRecorder(recorder, checks)
        self.training = GraphedPass(train_step, batch_size, self._recorder)
        self.evaluation = GraphedPass(evaluation_step, batch_size, self._recorder)

    @property
    def failure(self) -> str | None:
        """Why nothing can be recorded, so that everything runs kernel by kernel."""
        return self._recorder.failure

    @property
    def status(self) -> str:
        """`RECORDED`, or why training steps are not replayed."""
        if self.failure is not None:
            return self.failure
        return RECORDED if self.training.is_recorded else "too few full batches so far"

    def forget(self) -> None:
        """Drops both recordings, after an address or number in them has become invalid."""
        self.training.forget()
        self.evaluation.forget()


def graph_refusal(config: TrainConfig, device: torch.device, full_batches: int) -> str | None:
    """Returns why a training's steps are not recorded, or None if they are.

    Args:
        config: Complete settings; `training.cuda_graph` is the user's choice.
        device: The training's device.
        full_batches: Number of full batches in the whole training.
    """
    setting = config.training.cuda_graph
    if device.type != "cuda":
        return "no CUDA device"
    if setting is False:
        return "training.cuda_graph is false"
    if config.training.accumulation_steps > 1:
        return "training.accumulation_steps is above 1"
    if config.optimizer.name not in FIXED:
        return f"optimizer.name is {config.optimizer.name}: it is recorded for sgd, adam and adamw"
    if setting is True:
        return None
    if config.model.name not in MODELS:
        return "custom model; training.cuda_graph: true tries it"
    if isinstance(config.loss, OwnLoss):
        return "custom loss; training.cuda_graph: true tries it"
    if full_batches < MIN_BATCHES:
        return f"fewer than {MIN_BATCHES} full batches to train"
    return None


def _first_error(error: BaseException) -> BaseException:
    """Returns the error that made a recording fail; a later one only reports the failure."""
    while error.__context__ is not None:
        error = error.__context__
    return error

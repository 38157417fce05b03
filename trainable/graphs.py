"""Steps recorded once as a CUDA graph and replayed for every batch.

A small network's step is a few hundred kernels of microseconds, and launching them one by one from
Python takes longer than they run. A replay launches all of them at once: forward and backward
pass, the scaling of the loss and the optimizer. Batches are cut before, many at a time.

Not yet run on a card: what is tested is everything but the recording itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Work = Callable[[Tensor, Tensor], None]
"""What is done with the images and labels of a batch; it reads nothing back."""
Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes work whose tensors stay where they are; returns what does it. Does nothing itself."""

WARM_UP = 3
"""Batches that are done kernel by kernel first: libraries choose kernels, buffers are made."""


@dataclass
class _Recorded:
    """A recording, with what it reads."""

    images: Tensor
    labels: Tensor
    replay: Callable[[], None]


class RecordedPass:
    """One kind of pass over a model, training or evaluation.

    Args:
        device: Of the model, whose weights, buffers and optimizer keep their places in memory.
        record: Makes a recording; by default a CUDA graph.
    """

    def __init__(self, device: torch.device, record: Record | None = None) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        """What the work adds up; the recording has its address."""
        self._record = record or _cuda_graph
        self._recorded: _Recorded | None = None
        self._form: torch.Size | None = None
        self._seen = 0
        self.failure: str | None = None
        """Why nothing could be recorded; everything is then done kernel by kernel."""

    def run(self, work: Work, images: Tensor, labels: Tensor) -> bool:
        """Does the work on a batch by a replay, where there is a recording.

        Args:
            work: The same at every call.
            images: `[B, C, H, W]`.
            labels: `[B]`.

        Returns:
            False where nothing has been done: for the first batches, for those of another form
            than the first one, as the last of a pass may have, and where nothing can be recorded.
        """
        if self.failure is not None:
            return False
        if self._form is None:
            self._form = images.shape
        if images.shape != self._form:
            return False
        self._seen += 1
        if self._seen <= WARM_UP:
            return False
        if self._recorded is None:
            self._recorded = self._begin(work, images, labels)
        found = self._recorded
        if found is None:
            return False
        found.images.copy_(images)
        found.labels.copy_(labels)
        found.replay()
        return True

    def forget(self) -> None:
        """Begins anew: what has been recorded is no longer where it was."""
        if self._recorded is not None and self.sums.is_cuda:
            torch.cuda.current_stream(self.sums.device).synchronize()  # it may be running
        self._recorded, self._form, self._seen = None, None, 0

    def _begin(self, work: Work, images: Tensor, labels: Tensor) -> _Recorded | None:
        """Records the work, which changes nothing: a card only notes what it is asked to do."""
        static_images, static_labels = images.clone(), labels.clone()
        try:
            replay = self._record(lambda: work(static_images, static_labels))
        except RuntimeError as error:
            self.failure = str(error).partition("\n")[0]
            return None
        return _Recorded(static_images, static_labels, replay)


class Recordings:
    """Those of one training.

    Args:
        device: See `RecordedPass`.
        record: See `RecordedPass`.
    """

    def __init__(self, device: torch.device, record: Record | None = None) -> None:
        self._training = RecordedPass(device, record)
        self._evaluation = RecordedPass(device, record)

    def forget(self) -> None:
        """See `RecordedPass`."""
        self._training.forget()
        self._evaluation.forget()

    @property
    def training(self) -> RecordedPass | None:
        """That of the training pass; None once anything could not be recorded.

        A recording that fails may take with it what another one of its stream computes in.
        """
        return None if self.failure else self._training

    @property
    def evaluation(self) -> RecordedPass | None:
        """The same of the evaluation."""
        return None if self.failure else self._evaluation

    @property
    def failure(self) -> str | None:
        """Why something could not be recorded."""
        return self._training.failure or self._evaluation.failure


def _cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """See the PyTorch documentation, CUDA semantics, CUDA Graphs.

    Recorded is on the stream of the training. cuBLAS has one workspace a stream: recorded on a
    stream that they share, the graphs of several trainings would compute in the same workspace at
    the same time, and the first one to go would take it away from the others.
    """
    torch.cuda.synchronize()  # the warm-up was on the stream of the training
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream()
    # Nothing can be recorded on the default stream, which only a training alone is on.
    own = None if stream == torch.cuda.default_stream() else stream
    try:
        # Other threads of the process write checkpoints: what they ask of CUDA is none of ours.
        with torch.cuda.graph(graph, stream=own, capture_error_mode="thread_local"):
            work()
    finally:
        torch.cuda.set_stream(stream)  # after a failure it would be that of the recording
    return graph.replay

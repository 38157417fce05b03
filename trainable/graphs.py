"""Passes recorded once as a CUDA graph and replayed for every batch.

A small network's step is a few hundred kernels of microseconds, and launching them one by one from
Python takes longer than they run. A replay launches all of them at once. Recorded are forward and
backward pass; the batch is cut before and the optimizer steps afterwards, a handful of kernels, so
that learning rates may change without a new recording.

Not yet run on a card: what is tested is everything but the recording itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Work = Callable[[Tensor, Tensor], None]
"""What is done with the images and labels of a batch; it reads nothing back."""
Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes work whose tensors stay where they are; returns what does it once more."""

WARM_UP = 3
"""Times that work is done before it is recorded: libraries choose their kernels in the first."""


@dataclass
class _Recorded:
    """A recording, with what it reads and writes."""

    images: Tensor
    labels: Tensor
    replay: Callable[[], None]
    gradients: list[Tensor | None]


class RecordedPass:
    """One kind of pass over a model, training or evaluation.

    Args:
        model: Its parameters keep their places in memory.
        record: Makes a recording; by default a CUDA graph.
    """

    def __init__(self, model: nn.Module, record: Record | None = None) -> None:
        self._parameters = list(model.parameters())
        self._buffers = list(model.buffers())
        device = self._parameters[0].device
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)
        """What the work adds up; the recording has its address."""
        self._record = record or _cuda_graph
        self._recorded: _Recorded | None = None
        self.failure: str | None = None
        """Why nothing could be recorded; everything is then done kernel by kernel."""

    def run(self, work: Work, images: Tensor, labels: Tensor) -> bool:
        """Does the work on a batch by a replay; the first batch is what is recorded.

        Args:
            work: The same at every call.
            images: `[B, C, H, W]`.
            labels: `[B]`.

        Returns:
            False where the batch has another form than the first one, as the last of a pass may,
            or where nothing could be recorded: then nothing has been done.
        """
        if self.failure is not None:
            return False
        if self._recorded is None:
            self._recorded = self._begin(work, images, labels)
        found = self._recorded
        if found is None or images.shape != found.images.shape:
            return False
        found.images.copy_(images)
        found.labels.copy_(labels)
        for parameter, gradient in zip(self._parameters, found.gradients, strict=True):
            parameter.grad = gradient
        found.replay()
        return True

    def _begin(self, work: Work, images: Tensor, labels: Tensor) -> _Recorded | None:
        """Records the work; what the model has learnt and drawn is as before."""
        kept = [*self._buffers, self.sums]
        before = [tensor.clone() for tensor in kept]
        static_images, static_labels = images.clone(), labels.clone()
        cards = [images.device] if images.is_cuda else []
        try:
            with torch.random.fork_rng(cards):
                for _ in range(WARM_UP):
                    self._drop_gradients()
                    work(static_images, static_labels)
                self._drop_gradients()
                replay = self._record(lambda: work(static_images, static_labels))
        except RuntimeError as error:
            self.failure = str(error).partition("\n")[0]
            self._drop_gradients()
            return None
        finally:
            with torch.no_grad():
                for tensor, value in zip(kept, before, strict=True):
                    tensor.copy_(value)
        gradients = [parameter.grad for parameter in self._parameters]
        return _Recorded(static_images, static_labels, replay, gradients)

    def _drop_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None


class Recordings:
    """Those of one training.

    Args:
        model: See `RecordedPass`.
        record: See `RecordedPass`.
    """

    def __init__(self, model: nn.Module, record: Record | None = None) -> None:
        self._training = RecordedPass(model, record)
        self._evaluation = RecordedPass(model, record)

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

"""Trains or evaluates on one batch: forward pass, loss, backward pass, update.

A step reads nothing back from the device. Losses and hits are summed there and read once at the
end of a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from trainable.optim.clipping import Clipping
from trainable.optim.frozen import FrozenParts
from trainable.optim.lr_schedule import LRSchedule
from trainable.optim.optimizers import DeviceLearningRates, takes_tensor_rates
from trainable.training.gpu.batched_operations import WeightCasts, batched_counters

Forward = Callable[[Tensor], Tensor]
"""Maps images `[B, C, H, W]` to logits `[B, num_classes]`."""


class PassSums:
    """Loss and hits of one pass, added up on the device in two operations per batch.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        """Sum over images."""
        self.hits = torch.zeros(0, dtype=torch.int64, device=device)
        """`[B]`: how often the image at each position of a batch was classified correctly."""

    def reset(self) -> None:
        """Starts a pass."""
        self.loss.zero_()
        self.hits.zero_()

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: `[B, num_classes]`.
            labels: `[B]`, or soft targets `[B, num_classes]`, of which the largest counts.
            loss: Mean over the batch, a scalar.
        """
        count = len(labels)
        if count > len(self.hits):
            self._grow(count)
        self.loss.add_(loss.detach(), alpha=count)
        targets = labels if labels.ndim == 1 else labels.argmax(1)
        self.hits[:count].add_(logits.detach().argmax(1) == targets)

    def _grow(self, count: int) -> None:
        with torch.inference_mode(False):  # the tensor is changed in both modes
            larger = self.hits.new_zeros(count)
            larger[: len(self.hits)] = self.hits
            self.hits = larger

    def read(self) -> tuple[float, int]:
        """Returns the sum of the losses and the number of hits; waits for the device."""
        loss, hits = torch.stack([self.loss, self.hits.sum().double()]).tolist()
        return loss, int(hits)


class _Step:
    """Common part of a training and an evaluation step.

    Args:
        model: The model, on the device of the batches.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` or soft targets to the mean loss.
        amp_dtype: The data type of autocast in the forward pass; None for single precision.
        forward: The compiled model, which is called instead of the model.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: nn.Module,
        amp_dtype: torch.dtype | None = None,
        forward: Forward | None = None,
    ) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.sums = PassSums(self.device)
        self.amp_dtype = amp_dtype
        self.loss_fn = loss_fn
        self._usual_forward: Forward = forward or model
        self._forward = self._usual_forward
        self._is_compiled = forward is not None
        self._casts: WeightCasts | None = None

    def call_instead(self, forward: Forward | None) -> None:
        """Calls a function instead of the model or the compiled one; None calls that again."""
        self._forward = forward or self._usual_forward
        self._is_compiled = self._forward is not self.model

    def _compute_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logits and the mean loss."""
        forward = self._casts or self._forward
        with self._autocast():
            logits = forward(images)
            return logits, self.loss_fn(logits, labels)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

    @contextmanager
    def _batched_weight_casts(self) -> Iterator[None]:
        """Casts all weights in one operation; a compiler fuses the casts by itself."""
        if self.amp_dtype is not None and not self._is_compiled:
            self._casts = WeightCasts(self.model, self.amp_dtype)
        try:
            yield
        finally:
            self._casts = None


class TrainStep(_Step):
    """Trains the model on a batch.

    Args:
        model: The model, on the device of the batches.
        loss_fn: Maps logits `[B, num_classes]` and labels `[B]` to the mean loss.
        optimizer: The optimizer of the model's parameters.
        amp_dtype: See `_Step`; `torch.float16` scales the loss.
        accumulation_steps: Parts that a batch is split into, of at least two images each; their
            gradients are summed.
        forward: See `_Step`.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        amp_dtype: torch.dtype | None = None,
        accumulation_steps: int = 1,
        forward: Forward | None = None,
    ) -> None:
        super().__init__(model, loss_fn, amp_dtype, forward)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp_dtype is torch.float16)
        self.rates: DeviceLearningRates | None = None
        """On a GPU every step reads the learning rates there, so that recorded and other steps
        compute the same."""
        if self.device.type == "cuda" and takes_tensor_rates(optimizer):
            self.rates = DeviceLearningRates(optimizer, self.device)
        self.schedule: LRSchedule | None = None
        """Sets the learning rate of each step, where those of an epoch differ."""
        self.clip: Clipping | None = None
        self.frozen: FrozenParts | None = None
        self.pending_copy: Callable[[], None] | None = None
        """Waits for the copy of the weights that is under way; they must not change before."""
        self._optimizer = optimizer
        self._accumulation_steps = accumulation_steps

    def start_pass(self) -> None:
        """Prepares the model and the sums for a pass."""
        self.model.train()
        if self.frozen is not None:
            self.frozen.keep_in_evaluation()
        self.sums.reset()
        if self.rates is not None:
            self.rates.refresh()
            if self.schedule is not None and self.schedule.changes_in_epoch:
                self.rates.plan(self.schedule.list_rates())

    def start_step(self, number: int) -> None:
        """Sets the learning rate of a step, counted from 0 in each pass."""
        if self.schedule is None or not self.schedule.changes_in_epoch:
            return
        self.schedule.start_step(number)
        if self.rates is not None:
            self.rates.take(number)

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Does one step.

        Args:
            images: `[B, C, H, W]` float32.
            labels: `[B]` int64, or soft targets `[B, num_classes]` float32.
        """
        self._optimizer.zero_grad(set_to_none=True)
        # Batch norm needs at least two images, so a small batch has fewer parts.
        count = max(1, min(self._accumulation_steps, len(labels) // 2))
        for part in zip(images.tensor_split(count), labels.tensor_split(count), strict=True):
            self._add_gradients(*part, share=len(part[1]) / len(labels))
        if self.clip is not None:
            self.scaler.unscale_(self._optimizer)
            self.clip()
        self.wait_for_copy()
        with nullcontext() if self.rates is None else self.rates.applied():
            self.scaler.step(self._optimizer)
        self.scaler.update()

    def wait_for_copy(self) -> None:
        """Waits until no copy of the weights is under way."""
        wait, self.pending_copy = self.pending_copy, None
        if wait is not None:
            wait()

    @contextmanager
    def for_recording(self) -> Iterator[None]:
        """Runs the steps inside `with` in fewer operations, with the same results.

        Use it for recordings of built-in models only: it assumes that a forward pass uses every
        weight once and runs every batch norm once. It does nothing for a compiled model.
        """
        if self._is_compiled:
            yield
            return
        with batched_counters(self.model), self._batched_weight_casts():
            yield

    def _add_gradients(self, images: Tensor, labels: Tensor, share: float) -> None:
        logits, loss = self._compute_loss(images, labels)
        self.scaler.scale(loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
        if self._casts is not None:
            self._casts.assign_gradients()
        self.sums.add(logits, labels, loss)


class EvaluationStep(_Step):
    """Scores the model on a batch; see `_Step` for its arguments."""

    logits: Tensor | None = None
    """`[B, num_classes]` float32, if they are kept: those of the last batch are at the beginning.
    A recording of the step writes to the same address."""

    def keep_logits(self, num_classes: int) -> None:
        """Keeps the logits of every batch until the next one."""
        self.logits = torch.zeros(0, num_classes, device=self.device)

    def start_pass(self) -> None:
        """Prepares the model and the sums for a pass."""
        self.model.eval()
        self.sums.reset()

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Adds a batch to the sums, in inference mode.

        Args:
            images: `[B, C, H, W]` float32.
            labels: `[B]` int64.
        """
        logits, loss = self._compute_loss(images, labels)
        self.sums.add(logits, labels, loss)
        if self.logits is not None:
            if len(labels) > len(self.logits):
                with torch.inference_mode(False):  # the tensor is changed in both modes
                    self.logits = self.logits.new_zeros(len(labels), self.logits.shape[1])
            self.logits[: len(labels)].copy_(logits)

    def wait_for_copy(self) -> None:
        """Does nothing: an evaluation changes no weights."""

    @contextmanager
    def for_recording(self) -> Iterator[None]:
        """See `TrainStep.for_recording`."""
        with self._batched_weight_casts():
            yield

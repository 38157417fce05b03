"""Starts the next epoch while the checkpoint of the last one is still being written.

Nothing of such an epoch is reported or saved until the trial is asked for it, so the files on disk
always match what has been reported.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

from trainable.training.epoch import Steps
from trainable.training.gpu.gpu_queue import Event, is_unreached
from trainable.training.seeding import CpuRngState, draws_globally
from trainable.training.trainer import Row, Trainer


class OverlappedEpoch:
    """An epoch that has been started before it is asked for.

    The CPU's random state is kept apart from that of other work in the process. The CUDA
    generator is not: a training has one CUDA state for its whole life, which its CUDA graphs read.

    Args:
        trainer: The training whose next epoch is started.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._steps = trainer.epoch_steps()
        self._last_step = time.perf_counter()
        self._rng = CpuRngState() if draws_globally(trainer.config) else None
        self._event: Event | None = None
        self._row: Row | None = None
        self._error: Exception | None = None

    @property
    def is_done(self) -> bool:
        """Whether the epoch has ended or failed."""
        return self._row is not None or self._error is not None

    @property
    def waits_for_gpu(self) -> bool:
        """Whether the next step has to wait for the GPU."""
        return is_unreached(self._event)

    def take_step(self) -> None:
        """Does one step; `finish` raises its failure."""
        self._event = None
        try:
            with nullcontext() if self._rng is None else self._rng:
                step = next(self._steps)
            self._event = None if isinstance(step, int) else step
        except StopIteration as end:
            self._row = end.value
        except Exception as error:  # noqa: BLE001 (raised by `finish`)
            self._error = error
        self._last_step = time.perf_counter()

    def finish(self) -> Steps[Row]:
        """Yields the remaining steps and returns the epoch's metrics."""
        if self._error is not None:
            raise self._error
        if self._row is not None:
            return self._row
        if self._rng is not None:
            self._rng.resume()
        self._trainer.idle_s += time.perf_counter() - self._last_step
        return (yield from self._steps)

    def cancel(self) -> None:
        """Stops the epoch; the training's state is then that of some moment within it."""
        self._steps.close()

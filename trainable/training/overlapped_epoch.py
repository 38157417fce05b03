"""An epoch that is begun while the checkpoint of the one before is still being written.

Its row is not reported before the epoch is asked for; what was reported stays what is on disk.
"""

from __future__ import annotations

import time
from contextlib import nullcontext

from trainable.training.epoch import Steps
from trainable.training.gpu_queue import Event, is_unreached
from trainable.training.seeding import CpuRngState, draws_globally
from trainable.training.trainer import Row, Trainer


class EpochAhead:
    """An epoch under way that has not been asked for yet.

    The CPU's random state is kept apart from that of other work in the process. The CUDA
    generator is not: a training has one CUDA state for its whole life, which its CUDA graphs read.

    Args:
        trainer: The training whose next epoch this is.
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
    def over(self) -> bool:
        """Whether there is nothing left to do, for good or bad."""
        return self._row is not None or self._error is not None

    @property
    def waiting(self) -> bool:
        """Whether the next step has to wait for the GPU."""
        return is_unreached(self._event)

    def take_step(self) -> None:
        """Does one step; a failure is kept for the caller that asks for the epoch."""
        self._event = None
        try:
            with nullcontext() if self._rng is None else self._rng:
                step = next(self._steps)
            self._event = None if isinstance(step, int) else step
        except StopIteration as end:
            self._row = end.value
        except Exception as error:  # noqa: BLE001 (raised by `rest`)
            self._error = error
        self._last_step = time.perf_counter()

    def rest(self) -> Steps[Row]:
        """The steps that are left, now that the epoch is asked for."""
        if self._error is not None:
            raise self._error
        if self._row is not None:
            return self._row
        if self._rng is not None:
            self._rng.resume()
        self._trainer.idle_s += time.perf_counter() - self._last_step
        return (yield from self._steps)

    def drop(self) -> None:
        """Gives the epoch up; the training's state is that of some moment within it."""
        self._steps.close()

"""An epoch that is begun while the checkpoint of the one before is still being written.

Nobody hears of it before it is asked for; what was reported stays what is on disk.
"""

from __future__ import annotations

import time

from trainable.epoch import Steps
from trainable.seeding import OwnStreams
from trainable.trainer import Row, Trainer


class EpochAhead:
    """An epoch under way that nobody has asked for yet.

    Args:
        trainer: Of the epoch.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._steps = trainer.epoch_steps()
        self._last_step = time.perf_counter()
        self._numbers = OwnStreams()
        self._row: Row | None = None
        self._error: Exception | None = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do, for good or bad."""
        return self._row is not None or self._error is not None

    def take_step(self) -> None:
        """Does one step; a failure is kept for the one who asks for the epoch."""
        try:
            with self._numbers:
                next(self._steps)
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
        self._numbers.go_on()
        self._trainer.idle_s += time.perf_counter() - self._last_step
        return (yield from self._steps)

    def drop(self) -> None:
        """Gives the epoch up; the training's state is that of some moment within it."""
        self._steps.close()

"""The lr schedule: the learning rate as a function of base rate and position, once an epoch.

Closed forms instead of torch's schedulers: those fold the base rate into their state step by step,
so another base rate at the same position (a population's exploit, a resume with a new value) could
not be set, and their states hold more than plain values.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Any

from torch.optim import Optimizer

from trainable.config import (
    ConstantScheduler,
    CosineScheduler,
    ExponentialScheduler,
    MultiStepScheduler,
    PlateauScheduler,
    SchedulerConfig,
    StepScheduler,
)
from trainable.errors import CheckpointError

THRESHOLD = 1e-4
"""Relative gain that counts as an improvement; torch's default for ReduceLROnPlateau."""
SMALLEST_REDUCTION = 1e-8
"""Least difference of learning rates worth a reduction; torch's `eps` for ReduceLROnPlateau."""


class LRSchedule:
    """Linear warm-up, then the configured schedule; sets the learning rate of all groups.

    In epoch `e`, counted from 0, of `W = warmup_epochs` the learning rate is
    `base_lr * (e + 1) / (W + 1)`; from epoch `W` on it is the named schedule at `e - W`.

    Args:
        optimizer: Its groups get the learning rate, at once for the first epoch.
        config: The config's `scheduler` section.
        base_lr: The configured learning rate, `optimizer.learning_rate`.
        epochs: All epochs of the training, warm-up included.
    """

    def __init__(
        self, optimizer: Optimizer, config: SchedulerConfig, *, base_lr: float, epochs: int
    ) -> None:
        self._optimizer = optimizer
        self._config = config
        self._epochs = epochs
        self._base_lr = base_lr
        self._epoch = 0
        self._plateau = _Plateau(config) if isinstance(config, PlateauScheduler) else None
        self._apply()

    @property
    def lr(self) -> float:
        """The learning rate of the epoch that comes next."""
        warmup = self._config.warmup_epochs
        if self._epoch < warmup:
            return self._base_lr * (self._epoch + 1) / (warmup + 1)
        if self._plateau is not None:
            return self._plateau.lr(self._base_lr)
        return _closed_form(
            self._config, self._base_lr, self._epoch - warmup, horizon=self._epochs - warmup
        )

    def step(self, accuracy: float, loss: float) -> None:
        """Moves on by one completed epoch.

        Args:
            accuracy: The deciding accuracy of that epoch; watched by `plateau` with `mode: max`.
            loss: Its loss; watched by `plateau` with `mode: min`. Other schedules ignore both.
        """
        if self._plateau is not None and self._epoch >= self._config.warmup_epochs:
            self._plateau.watch(accuracy, loss, self._base_lr)
        self._epoch += 1
        self._apply()

    def set_base_lr(self, base_lr: float) -> None:
        """Goes on from the same position, with its reductions, at another base learning rate."""
        self._base_lr = base_lr
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Position and base learning rate as plain values; the shape stays with the config."""
        state = {"name": self._config.name, "epoch": self._epoch, "base_lr": self._base_lr}
        return state if self._plateau is None else {**state, **self._plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues at the position and base learning rate of a state; sets the learning rate.

        Raises:
            CheckpointError: The state is another schedule's, or lacks an entry.
        """
        found = state.get("name", "no name")
        if found != self._config.name:
            raise CheckpointError(
                f"the lr schedule's state must be of scheduler.name: {self._config.name}, "
                f"found {found}; start without the checkpoint, or keep the schedule it was "
                "saved with"
            )
        missing = sorted(set(self.state_dict()) - set(state))
        if missing:
            raise CheckpointError(
                f"the lr schedule's state must have the entries {', '.join(self.state_dict())}, "
                f"found none named {', '.join(missing)}"
            )
        self._epoch = state["epoch"]
        self._base_lr = state["base_lr"]
        if self._plateau is not None:
            self._plateau.load_state_dict(state)
        self._apply()

    def _apply(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr


def _closed_form(config: SchedulerConfig, base_lr: float, epoch: int, *, horizon: int) -> float:
    """The learning rate of an epoch, counted from 0 at the end of the warm-up."""
    match config:
        case CosineScheduler():
            t_max = config.T_max or max(horizon, 1)
            # Half a period: a longer run stays at eta_min instead of climbing again.
            share = (1 + math.cos(math.pi * min(epoch, t_max) / t_max)) / 2
            return config.eta_min + (base_lr - config.eta_min) * share
        case StepScheduler():
            return base_lr * config.gamma ** (epoch // config.step_size)
        case MultiStepScheduler():
            return base_lr * config.gamma ** bisect_right(sorted(config.milestones), epoch)
        case ExponentialScheduler():
            return base_lr * config.gamma**epoch
        case ConstantScheduler():
            return base_lr
        case PlateauScheduler():
            raise TypeError("plateau depends on what was measured, not on the epoch alone")


class _Plateau:
    """torch's ReduceLROnPlateau rule, with the reductions kept apart from the base rate."""

    def __init__(self, config: PlateauScheduler) -> None:
        self._config = config
        self._reduction = 1.0
        self._forget()

    def _forget(self) -> None:
        self._best = -math.inf if self._config.mode == "max" else math.inf
        self._bad_epochs = 0

    def lr(self, base_lr: float) -> float:
        """The reduced learning rate; the floor `min_lr` never raises it above `base_lr`."""
        return max(base_lr * self._reduction, min(self._config.min_lr, base_lr))

    def watch(self, accuracy: float, loss: float, base_lr: float) -> None:
        """Counts one epoch as better or bad and reduces after more than `patience` bad ones."""
        # A NaN compares as false: not improved.
        if self._config.mode == "max":
            value, improved = accuracy, accuracy > self._best * (1 + THRESHOLD)
        else:
            value, improved = loss, loss < self._best * (1 - THRESHOLD)
        if improved:
            self._best, self._bad_epochs = value, 0
            return
        self._bad_epochs += 1
        if self._bad_epochs > self._config.patience:
            self._bad_epochs = 0
            self._reduce(base_lr)

    def _reduce(self, base_lr: float) -> None:
        before, kept = self.lr(base_lr), self._reduction
        self._reduction *= self._config.factor
        if before - self.lr(base_lr) <= SMALLEST_REDUCTION:
            # At the floor: further factors would only hide from a larger base rate.
            self._reduction = kept

    def state_dict(self) -> dict[str, Any]:
        return {
            "mode": self._config.mode,
            "best": self._best,
            "bad_epochs": self._bad_epochs,
            "reduction": self._reduction,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._reduction = state["reduction"]
        self._forget()
        # The best accuracy is no mark for a loss, nor the other way round.
        if state["mode"] == self._config.mode:
            self._best, self._bad_epochs = state["best"], state["bad_epochs"]

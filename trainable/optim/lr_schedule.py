"""The lr schedule: the learning rate of every epoch or step, by base rate and position.

It uses closed forms instead of torch's schedulers, which mix the base rate into their state step
by step. With them, a PBT exploit or a resume with a new value could not set another base rate at
the same position, and their states contain more than plain values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

from trainable.config import CosineScheduler, PlateauScheduler, SchedulerConfig
from trainable.config.sections.scheduler import (
    LinearScheduler,
    OneCycleScheduler,
    PolynomialScheduler,
)
from trainable.errors import CheckpointError
from trainable.optim.closed_forms import Position, compute_lr

THRESHOLD = 1e-4
"""Relative gain that counts as an improvement; torch's default for ReduceLROnPlateau."""
SMALLEST_REDUCTION = 1e-8
"""Least difference of learning rates worth a reduction; torch's `eps` for ReduceLROnPlateau."""

_SPANNING = CosineScheduler | OneCycleScheduler | PolynomialScheduler | LinearScheduler
"""Schedules that span the training unless they have a `T_max`."""


class LRSchedule:
    """Linear warm-up, followed by the configured schedule; sets the learning rate of all groups.

    In unit `u`, counted from 0, of a warm-up of `W` units the learning rate is
    `base_lr * (u + 1) / (W + 1)`; from unit `W` on it is the named schedule at `u - W`. A unit is
    an epoch, or with `on: step` a step. A group's `lr_scale` multiplies its learning rate.

    Args:
        optimizer: The optimizer; its groups get the first epoch's learning rate immediately.
        config: The config's `scheduler` section.
        base_lr: The configured learning rate, `optimizer.learning_rate`.
        epochs: Number of epochs of the whole training, warm-up included.
        steps_per_epoch: Number of steps of an epoch.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        config: SchedulerConfig,
        *,
        base_lr: float,
        epochs: int,
        steps_per_epoch: int = 1,
    ) -> None:
        self._optimizer = optimizer
        self._config = config
        self._epochs = epochs
        self._per_epoch = steps_per_epoch if config.on == "step" else 1
        self._warmup = config.warmup_steps or config.warmup_epochs * self._per_epoch
        self._base_lr = base_lr
        self._epoch = 0
        self._plateau = _Plateau(config) if isinstance(config, PlateauScheduler) else None
        self._apply()

    @property
    def lr(self) -> float:
        """The learning rate of the next epoch, or of its first step."""
        return self._lr_at(self._epoch * self._per_epoch)

    @property
    def changes_in_epoch(self) -> bool:
        """Whether the steps of an epoch have learning rates of their own."""
        return self._config.on == "step"

    def start_step(self, step: int) -> None:
        """Sets the learning rate of a step of the next epoch, counted from 0."""
        if self.changes_in_epoch:
            self._apply(min(step, self._per_epoch - 1))

    def list_rates(self) -> list[list[float]]:
        """Returns the learning rates of the groups in each step of the next epoch."""
        first = self._epoch * self._per_epoch
        return [
            [_scale(self._lr_at(first + step), group) for group in self._optimizer.param_groups]
            for step in range(self._per_epoch)
        ]

    def _lr_at(self, unit: int) -> float:
        if unit < self._warmup:
            return self._base_lr * (unit + 1) / (self._warmup + 1)
        if self._plateau is not None:
            return self._plateau.lr(self._base_lr)
        horizon = self._epochs * self._per_epoch - self._warmup
        position = Position(unit - self._warmup, horizon, self._per_epoch)
        return compute_lr(self._config, self._base_lr, position)

    def step(self, accuracy: float, loss: float) -> None:
        """Advances by one completed epoch.

        Args:
            accuracy: The epoch's `val_acc`, which `plateau` with `mode: max` monitors.
            loss: The epoch's `val_loss`, which `plateau` with `mode: min` monitors. Other
                schedules ignore both.
        """
        if self._plateau is not None and self._epoch >= self._config.warmup_epochs:
            self._plateau.observe(accuracy, loss, self._base_lr)
        self._epoch += 1
        self._apply()

    def set_base_lr(self, base_lr: float) -> None:
        """Sets another base learning rate; position and reductions stay."""
        self._base_lr = base_lr
        self._apply()

    def describe_extension(self, epochs: int) -> str | None:
        """Returns what another total of epochs does to the schedule; None if that is nothing.

        Args:
            epochs: The total until now.
        """
        config = self._config
        if epochs == self._epochs or not isinstance(config, _SPANNING):
            return None
        t_max = None if isinstance(config, OneCycleScheduler) else config.T_max
        if t_max is None:
            return (
                f"the {config.name} schedule spans {self._epochs} epochs instead of {epochs}: the "
                f"learning rate of epoch {self._epoch + 1} is {self.lr:.3g}, that of the last "
                f"epoch {self._last_lr():.3g}"
            )
        end = config.warmup_epochs + t_max
        if end >= self._epochs:
            return None
        final = self._last_lr()
        remedy = "; raise or remove scheduler.T_max to learn more" if final == 0 else ""
        shown = "its final value" if isinstance(config, LinearScheduler) else "eta_min"
        first = max(end, self._epoch) + 1
        return (
            f"the learning rate is {shown} ({final:g}) from epoch {first} on, because "
            f"scheduler.T_max is {t_max}{remedy}"
        )

    def _last_lr(self) -> float:
        return self._lr_at((self._epochs - 1) * self._per_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Returns position and base learning rate as plain values; the config has the rest."""
        state = {"name": self._config.name, "epoch": self._epoch, "base_lr": self._base_lr}
        return state if self._plateau is None else {**state, **self._plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues at the position and base learning rate of a state; sets the learning rate.

        Raises:
            CheckpointError: The state is of another schedule, or lacks an entry.
        """
        name = state.get("name", "no name")
        if name != self._config.name:
            raise CheckpointError(
                f"the lr schedule's state must be of scheduler.name: {self._config.name}, "
                f"found {name}; start without the checkpoint, or keep the schedule it was "
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

    def _apply(self, step: int = 0) -> None:
        lr = self._lr_at(self._epoch * self._per_epoch + step)
        for group in self._optimizer.param_groups:
            group["lr"] = _scale(lr, group)


def _scale(lr: float, group: Mapping[str, Any]) -> float:
    return lr * group["lr_scale"] if "lr_scale" in group else lr


class _Plateau:
    """The rule of torch's ReduceLROnPlateau, with reductions separate from the base rate."""

    def __init__(self, config: PlateauScheduler) -> None:
        self._config = config
        self._reduction = 1.0
        self._reset()

    def _reset(self) -> None:
        self._best = -math.inf if self._config.mode == "max" else math.inf
        self._bad_epochs = 0

    def lr(self, base_lr: float) -> float:
        """Returns the reduced learning rate; its floor `min_lr` never lifts it above `base_lr`."""
        return max(base_lr * self._reduction, min(self._config.min_lr, base_lr))

    def observe(self, accuracy: float, loss: float, base_lr: float) -> None:
        """Counts an epoch as better or bad; reduces after more than `patience` bad ones."""
        # Comparisons with NaN are false, so that NaN is not an improvement.
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
        lr, reduction = self.lr(base_lr), self._reduction
        self._reduction *= self._config.factor
        if lr - self.lr(base_lr) <= SMALLEST_REDUCTION:
            # At the floor, another factor would only show later, under a larger base rate.
            self._reduction = reduction

    def state_dict(self) -> dict[str, Any]:
        return {
            "mode": self._config.mode,
            "best": self._best,
            "bad_epochs": self._bad_epochs,
            "reduction": self._reduction,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._reduction = state["reduction"]
        self._reset()
        # The best accuracy cannot be compared with a loss.
        if state["mode"] == self._config.mode:
            self._best, self._bad_epochs = state["best"], state["bad_epochs"]

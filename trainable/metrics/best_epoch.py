"""`BestEpoch`: the best epoch of a training so far, whose state is `best.pt`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trainable.artifacts import checkpoint
from trainable.artifacts.metrics import ACCURACY, Row, best_column, has_diverged
from trainable.config import TrainConfig
from trainable.config.sections.metrics import monitorable


class BestEpoch:
    """The best epoch by the metric that `checkpoint.monitor` names.

    Args:
        config: The training's config.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.monitor: str = config.checkpoint.monitor
        self.mode = monitorable(config.metrics)[self.monitor]
        self.epoch = 0
        """0 if there is none yet."""
        self.value: float | None = None
        """The monitored metric of that epoch."""
        self.acc = 0.0
        """The best accuracy of all epochs, which may be that of another one."""

    @property
    def text(self) -> str:
        """The best value and its epoch as text; there must be one."""
        return f"{self.monitor} {self.value:.4f} at epoch {self.epoch}"

    @property
    def columns(self) -> Row:
        """The columns of a row: best accuracy, best value of another monitored metric, epoch."""
        others = {} if self.monitor == ACCURACY else {best_column(self.monitor): self.value}
        return {"best_acc": self.acc, **others, "best_epoch": self.epoch}

    def describe_end(self, row: Mapping[str, Any]) -> str:
        """Returns the best and the last value of a training that has ended with a row."""
        last = row.get(self.monitor)
        text = "none" if last is None else f"{last:.4f}"
        return f"best {self.text}, last {text} at epoch {row['epoch']}"

    def find(self, rows: Iterable[Row]) -> None:
        """Replaces the best epoch by the best of some rows."""
        self.set(0, None, 0.0)
        for row in rows:
            if not has_diverged(row):
                self.add(row["epoch"], row)

    def add(self, epoch: int, metrics: Mapping[str, Any]) -> bool:
        """Adds an epoch whose losses are finite.

        Args:
            epoch: Its number.
            metrics: Its metrics, as in its row.

        Returns:
            Whether it is the best so far. A training that was rewound trains its best epoch again
            and has to save it again.
        """
        value = metrics.get(self.monitor)
        self.acc = max(self.acc, metrics.get(ACCURACY) or 0.0)
        if value is None or not (
            (epoch, value) == (self.epoch, self.value) or self.is_less(value)
        ):
            return False
        self.epoch, self.value = epoch, value
        return True

    def is_less(self, value: float) -> bool:
        """Returns whether the best value so far is worse than another one."""
        if self.epoch == 0 or self.value is None:
            return True
        return value > self.value if self.mode == "max" else value < self.value

    def set(self, epoch: int, value: float | None, acc: float) -> None:
        """Replaces the best epoch; 0 means that there is none.

        Args:
            epoch: Its number.
            value: Its monitored metric.
            acc: The best accuracy until then.
        """
        self.epoch, self.value, self.acc = epoch, value, acc

    def read(self, state: Mapping[str, Any]) -> float | None:
        """Returns the best value that a checkpoint records; None if it watched another metric."""
        monitor, value = checkpoint.read_monitored(state)
        return value if monitor == self.monitor else None

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continues from a checkpoint; one of another metric says nothing of this one."""
        value, extra = self.read(state), state.get(checkpoint.RESUME, {})
        epoch = 0 if value is None else int(extra.get("best_epoch", state[checkpoint.EPOCH]))
        self.set(epoch, value, float(state[checkpoint.BEST_ACC]))

    def to_state(self) -> dict[str, Any]:
        """Returns what a checkpoint's `resume_state` has of it."""
        state: dict[str, Any] = {"best_epoch": self.epoch}
        if self.monitor != ACCURACY:
            state |= {checkpoint.MONITOR: self.monitor, checkpoint.BEST_VALUE: self.value}
        return state

    def plateau_values(self, metrics: Mapping[str, Any]) -> tuple[float, float]:
        """Returns what the schedule `plateau` watches with `mode: max` and with `mode: min`."""
        value = metrics[self.monitor]
        watched = float("nan") if value is None else value  # never an improvement
        if self.mode == "max":
            return watched, metrics["val_loss"]
        return metrics[ACCURACY], watched

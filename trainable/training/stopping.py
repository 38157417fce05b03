"""Rules by which a training ends before its last epoch: no improvement, or its time is spent.

The decision is a function of the state, which is saved, and of the config. A training that loads a
checkpoint decides again: with a larger `patience` or `max_seconds`, or without them, it continues.
If it was given more epochs instead, the counts start again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainable.config import TrainConfig
from trainable.config.sections.metrics import stop_modes
from trainable.trial_settings import EARLY_STOPPING, MAX_SECONDS, STOP_REASON, STOPPED_BY


@dataclass(frozen=True)
class Stop:
    """Why a training ended before its last epoch."""

    by: str
    """`EARLY_STOPPING` or `MAX_SECONDS`: the key of `training` that ended it."""
    reason: str
    """The reason in words."""

    @property
    def text(self) -> str:
        """A line for the log."""
        return f"training.{self.by} ends the training: {self.reason}"


def explain_ended(stop: Stop) -> str:
    """Returns the rule that a checkpoint breaks whose training has ended, with the remedies."""
    return (
        f"was ended by training.{stop.by}: {stop.reason}; raise training.epochs, or "
        f"{'patience' if stop.by == EARLY_STOPPING else 'max_seconds'}, or remove that rule"
    )


class StopRules:
    """Decides after every epoch whether a training ends.

    Args:
        config: The training's complete settings.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._epochs = config.training.epochs
        self._early = config.training.early_stopping
        self._max_s = config.training.max_seconds
        monitor = None if self._early is None else self._early.monitor
        self._monitor = monitor or config.checkpoint.monitor
        self._sign = 1 if stop_modes(config.metrics).get(self._monitor) == "max" else -1
        self.stop: Stop | None = None
        """Why the training has ended; None if it goes on."""
        self.restarted: str | None = None
        """A line for the log if a training that had ended continues with new counts."""
        self.seconds = 0.0
        self._best: float | None = None
        self._best_epoch = 0
        self._bad_epochs = 0

    def observe(self, epoch: int, values: Mapping[str, float | None], epoch_s: float) -> None:
        """Takes the metrics of an epoch and decides; the last epoch ends a training anyway.

        Args:
            epoch: The epoch that has been trained.
            values: Its metrics.
            epoch_s: Seconds that it has taken so far.
        """
        value = values.get(self._monitor)
        if self._early is not None and value is not None:
            best = self._best
            if best is None or self._sign * (value - best) > self._early.min_delta:
                self._best, self._best_epoch, self._bad_epochs = value, epoch, 0
            else:
                self._bad_epochs += 1
        self.stop = None if epoch >= self._epochs else self._decide(self.seconds + epoch_s)

    @property
    def columns(self) -> dict[str, str]:
        """Columns of the row of a training's last epoch if a rule has ended it; else empty."""
        if self.stop is None:
            return {}
        return {STOPPED_BY: self.stop.by, STOP_REASON: self.stop.reason}

    def add_seconds(self, epoch_s: float) -> None:
        """Adds the seconds of an epoch that has ended."""
        self.seconds += epoch_s

    def restart(self) -> None:
        """Starts to count epochs anew, as for a training that took another one's weights."""
        self.stop, self._best, self._best_epoch, self._bad_epochs = None, None, 0, 0

    def state_dict(self) -> dict[str, Any] | None:
        """Returns what a resume needs, as plain values; None without a rule."""
        if self._early is None and self._max_s is None:
            return None
        state: dict[str, Any] = {
            "monitor": self._monitor,
            "best": self._best,
            "best_epoch": self._best_epoch,
            "bad_epochs": self._bad_epochs,
        }
        return state if self._max_s is None else {**state, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any] | None, *, epochs: int | None) -> None:
        """Continues the counts of a checkpoint and decides again.

        Args:
            state: As `state_dict` returned it; None if the checkpoint has none.
            epochs: `training.epochs` of the checkpoint's training, if that is known.
        """
        self.restart()
        self.restarted, self.seconds = None, 0.0
        if state is None:
            return
        self.seconds = float(state.get("seconds", 0.0))
        if state["monitor"] == self._monitor:
            self._best, self._best_epoch = state["best"], int(state["best_epoch"])
            self._bad_epochs = int(state["bad_epochs"])
        self.stop = self._decide(self.seconds)
        if self.stop is not None and epochs is not None and self._epochs > epochs:
            self.restarted = (
                f"training.{self.stop.by} had ended this training: {self.stop.reason}; it counts "
                "anew for the additional epochs"
            )
            self.restart()
            self.seconds = 0.0

    def _decide(self, seconds: float) -> Stop | None:
        if self._early is not None and self._bad_epochs >= self._early.patience:
            return Stop(EARLY_STOPPING, self._describe_stagnation())
        if self._max_s is not None and seconds >= self._max_s:
            return Stop(
                MAX_SECONDS, f"it has trained for {seconds:.0f} of {self._max_s:g} seconds"
            )
        return None

    def _describe_stagnation(self) -> str:
        assert self._early is not None
        verb = "risen" if self._sign > 0 else "fallen"
        least = f" by more than {self._early.min_delta:g}" if self._early.min_delta else ""
        count = "1 epoch" if self._bad_epochs == 1 else f"{self._bad_epochs} epochs"
        return (
            f"{self._monitor} has not {verb}{least} for {count}, from {self._best:.4f} at epoch "
            f"{self._best_epoch}"
        )

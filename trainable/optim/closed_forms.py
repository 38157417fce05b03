"""The learning rate as a closed form of the position in a training.

Positions are counted in units from the end of the warm-up: epochs, or steps.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from trainable.config import (
    CosineScheduler,
    ExponentialScheduler,
    MultiStepScheduler,
    PlateauScheduler,
    SchedulerConfig,
    StepScheduler,
)
from trainable.config.sections.scheduler import (
    CosineRestartsScheduler,
    InverseSqrtScheduler,
    LinearScheduler,
    OneCycleScheduler,
    PolynomialScheduler,
)


@dataclass(frozen=True)
class Position:
    """A position after the warm-up."""

    unit: int
    """Units since the end of the warm-up, from 0."""
    horizon: int
    """Units between the end of the warm-up and that of the training."""
    per_epoch: int = 1
    """Units of an epoch: 1, or its number of steps."""

    @property
    def epochs(self) -> float:
        """Epochs since the end of the warm-up; whole ones are integers."""
        whole, rest = divmod(self.unit, self.per_epoch)
        return whole if rest == 0 else self.unit / self.per_epoch


def compute_lr(config: SchedulerConfig, base_lr: float, position: Position) -> float:
    """Returns the learning rate at a position.

    Args:
        config: The config's `scheduler` section, of any name but plateau.
        base_lr: The configured learning rate, `optimizer.learning_rate`.
        position: The position.
    """
    match config:
        case CosineScheduler():
            return _anneal(base_lr, config.eta_min, *_progress(config.T_max, position))
        case PolynomialScheduler():
            passed, length = _progress(config.T_max, position)
            remaining = (1 - passed / length) ** config.power
            return float(config.eta_min + (base_lr - config.eta_min) * remaining)
        case LinearScheduler():
            passed, length = _progress(config.T_max, position)
            return base_lr * (1 + (config.end_factor - 1) * passed / length)
        case OneCycleScheduler():
            return _cycle(config, base_lr, position)
        case PlateauScheduler():
            raise TypeError("plateau depends on what was measured, not on the epoch alone")
        case _:
            return _compute_from_epochs(config, base_lr, position.epochs)


def _compute_from_epochs(config: SchedulerConfig, base_lr: float, epochs: float) -> float:
    """Returns the rate of a schedule that does not depend on the length of the training."""
    match config:
        case StepScheduler():
            return base_lr * config.gamma ** int(epochs // config.step_size)
        case MultiStepScheduler():
            return base_lr * config.gamma ** bisect_right(sorted(config.milestones), epochs)
        case ExponentialScheduler():
            return float(base_lr * config.gamma**epochs)
        case CosineRestartsScheduler():
            return _restart(config, base_lr, epochs)
        case InverseSqrtScheduler():
            return base_lr / math.sqrt(1 + epochs / config.timescale)
        case _:
            return base_lr


def _progress(t_max: int | None, position: Position) -> tuple[int, int]:
    """Returns the units passed and those until the final rate; a longer training stays there."""
    length = t_max * position.per_epoch if t_max else max(position.horizon, 1)
    return min(position.unit, length), length


def _anneal(start: float, end: float, passed: float, length: float) -> float:
    """Returns the value of half a cosine from `start` to `end` after a part of its length."""
    return end + (start - end) * ((1 + math.cos(math.pi * passed / length)) / 2)


def _restart(config: CosineRestartsScheduler, base_lr: float, epochs: float) -> float:
    length, peak = config.T_0, base_lr
    while epochs >= length:
        epochs -= length
        length *= config.T_mult
        peak *= config.decay
    return _anneal(peak, config.eta_min, epochs, length)


def _cycle(config: OneCycleScheduler, base_lr: float, position: Position) -> float:
    """Returns the rate of torch's OneCycleLR with two phases, without its cycle of momentum."""
    first = base_lr / config.div_factor
    passed: float
    length: float
    last = position.horizon - 1
    top: float = config.pct_start * position.horizon - 1
    if position.unit <= top:
        start, end, passed, length = first, base_lr, position.unit, top
    else:
        start, end = base_lr, first / config.final_div_factor
        passed, length = min(position.unit, last) - max(top, 0), last - max(top, 0)
    if length <= 0:  # too few units for two phases
        return base_lr
    if config.anneal_strategy == "cos":
        return _anneal(start, end, passed, length)
    return start + (end - start) * passed / length

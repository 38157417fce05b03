"""A sweep over trainings that have been run before: real schedulers, recorded curves, no Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import TrialScheduler

from tests.search_quality.curve_table import Curve


@dataclass(eq=False)
class SimulatedTrial:
    """As much of Tune's trial as schedulers look at."""

    number: int
    """Number of its configuration."""
    epoch: int = 0
    """The last one that it has trained."""

    @property
    def trial_id(self) -> str:
        return f"id{self.number}"

    def is_finished(self) -> bool:
        return False

    def should_recover(self) -> bool:
        return False


@dataclass
class Trained:
    """A simulated sweep: one entry per epoch, in the order in which they ended."""

    steps: list[tuple[int, int, float]] = field(default_factory=list)
    """Number of the configuration, epoch, val_acc."""
    decisions: list[str] = field(default_factory=list)
    """The scheduler's decision; STOP also at a trial's last epoch."""

    def epochs_until(self, target: float) -> int | None:
        """Epochs of all trials together up to the first with so much; None if there is none."""
        found = (count for count, (*_, acc) in enumerate(self.steps, start=1) if acc >= target)
        return next(found, None)


def simulate(
    scheduler: TrialScheduler, table: list[Curve], order: Iterable[int], *, slots: int, epochs: int
) -> Trained:
    """Runs a sweep whose trials all take one tick an epoch, so many of them at once.

    The scheduler is told as Tune tells it: not of the last epoch's result but of the trial's end.

    Args:
        scheduler: New, by `build_scheduler`.
        table: Of all configurations.
        order: Of their numbers: what the searcher suggests.
        slots: Trials at once.
        epochs: At which a trial ends. One with a shorter curve fails after it.
    """
    waiting, trained = deque(order), Trained()
    running: list[Any] = []
    controller: Any = None
    while waiting or running:
        while waiting and len(running) < slots:
            running.append(SimulatedTrial(waiting.popleft()))
            scheduler.on_trial_add(controller, running[-1])
        for trial in list(running):
            if trial.epoch == len(table[trial.number].accuracies):
                scheduler.on_trial_error(controller, trial)
                running.remove(trial)
                continue
            trial.epoch += 1
            acc = table[trial.number].accuracies[trial.epoch - 1]
            result = {"epoch": trial.epoch, "val_acc": acc}
            decision = TrialScheduler.STOP
            if trial.epoch < epochs:
                decision = scheduler.on_trial_result(controller, trial, dict(result))
            if decision == TrialScheduler.STOP:
                scheduler.on_trial_complete(controller, trial, dict(result))
                running.remove(trial)
            trained.steps.append((trial.number, trial.epoch, acc))
            trained.decisions.append(decision)
    return trained

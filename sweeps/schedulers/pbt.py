"""What PBT and PB2 need beyond other schedulers.

A memory that can be replayed without mutating anything again, and donors' checkpoints that stay
until nobody can load them any more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

IN_CONFIG = "config/"
"""What Tune puts before a key of the trial's config in a result."""


def remember(
    pbt: PopulationBasedTraining, trial: Trial, epoch: int, row: Mapping[str, Any]
) -> None:
    """Tells a population's scheduler a result without its looking for an exploit.

    Args:
        pbt: Knows the trial.
        trial: As Tune has it.
        epoch: The result's.
        row: Its numbers; under `IN_CONFIG` the values that the trial had then.
    """
    state = pbt._trial_state[trial]
    if epoch - state.last_perturbation_time < pbt._perturbation_interval:
        return
    # PB2's model reads the values from the trial itself.
    now = trial.config
    then = {k.removeprefix(IN_CONFIG): v for k, v in row.items() if k.startswith(IN_CONFIG)}
    trial.config = {**now, **then}
    pbt._save_trial_state(state, epoch, dict(row), trial)
    trial.config = now
    state.last_perturbation_time = epoch


def go_back(pbt: PopulationBasedTraining) -> None:
    """Lets every trial be looked at again from the epoch on that it goes on from.

    An exploit or a kill sends a trial back to before the last epoch that was told.
    """
    for trial, state in pbt._trial_state.items():
        epoch = (trial.last_result or {}).get("epoch", 0)
        state.last_perturbation_time = min(state.last_perturbation_time, epoch)
        state.last_train_time = min(state.last_train_time, epoch)


class DonorFiles(Callback):
    """Deletes Tune's checkpoint directories of a population once nothing can load them.

    Tune itself would keep the newest few of each trial. But a recipient that waits for a slot, or
    a slow one that looks at what its donor had saved epochs ago, needs older ones.

    Args:
        pbt: Holds on to the checkpoints of trials that may become donors.
        forget: Deletes what such a directory stands for elsewhere.
    """

    def __init__(self, pbt: PopulationBasedTraining, forget: Callable[[Path], None]) -> None:
        self._pbt = pbt
        self._forget = forget
        self._saved: set[Path] = set()

    def on_trial_save(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """A trial has saved: its older checkpoints go, but for those in use."""
        del iteration, info
        if trial.checkpoint is None:
            return
        newest = Path(trial.checkpoint.path)
        used = {*self._registered(trials), *self._on_offer()}
        saved = {path for path in self._saved if path.parent == newest.parent}
        self._saved.add(newest)
        for path in saved.union(newest.parent.glob("checkpoint_*")):  # it may be on another node
            if path.name < newest.name and path not in used:
                shutil.rmtree(path, ignore_errors=True)
                self._saved.discard(path)
                self._forget(path)

    @staticmethod
    def _registered(trials: Iterable[Trial]) -> Iterator[Path]:
        """What trials go on from; a recipient from its donor's, until it has saved itself."""
        for trial in trials:
            if trial.checkpoint is not None and not trial.is_finished():
                yield Path(trial.checkpoint.path)

    def _on_offer(self) -> Iterator[Path]:
        """What the next recipient of each trial would take."""
        for state in self._pbt._trial_state.values():
            found: Any = state.last_checkpoint
            if hasattr(found, "resolve"):  # a save that may not have been heard of yet
                saved = found.resolve(block=False)
                found = None if saved is None else saved.checkpoint
            if found is not None:
                yield Path(found.path)

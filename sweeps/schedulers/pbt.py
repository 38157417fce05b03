"""PBT and PB2: choices that follow from a seed, their state, and the checkpoints of donors.

Their state can be replayed without mutating anything again, and a donor's checkpoint stays until
no trial can load it any more. Private names of `PopulationBasedTraining` stand here only.
"""

from __future__ import annotations

import copy
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining

from sweeps.schedulers.pb2_model import Improvement, select_units
from sweeps.space.distributions import Distribution, sample
from trainable.trial_settings import SETTINGS, SUSPECT

Adapt = Callable[[str, dict[str, Any], Mapping[str, Any]], dict[str, Any]]
"""Returns the config that a recipient is to train with in place of its new one."""
OWN_SETTINGS = ("cpu", "gpu", SUSPECT)
"""Settings that a recipient does not take from its donor."""
IN_CONFIG = "config/"
"""Prefix that Tune puts before a key of the trial's config in a result."""
EXPLOIT = "exploit/"
"""Prefix of what a logged result has about the exploit that it led to: the donor's `epoch` and
`score`, and each value that the recipient trains with from then on."""


@dataclass(frozen=True)
class Look:
    """The state of a trial at an epoch, as the scheduler knows it."""

    epoch: int
    score: float
    """Higher is better."""
    values: Mapping[str, Any]
    """Key -> value that the trial trains with from then on."""


class Population(PopulationBasedTraining):
    """PBT whose choices follow from a seed, the trial, its epoch and number of exploits.

    The same results in the same order lead to the same donors and the same new values, in an
    uninterrupted sweep and in a resumed one.

    Args:
        seed: The sweep's `tune.seed`.
        mutated: Key of the trial's config -> the distribution of its new values.
        options: Those of `PopulationBasedTraining`.
    """

    def __init__(self, *, seed: int, mutated: Mapping[str, Distribution], **options: Any) -> None:
        super().__init__(**options)
        self._seed = seed
        self._mutated = mutated
        self.adapt: Adapt | None = None
        """Called with a recipient's id, its new config and its donor's."""
        self._new_exploit: Look | None = None
        self._exploits: Counter[Trial] = Counter()

    def take_exploit(self) -> dict[str, float]:
        """Returns what the log keeps of the last result's exploit; empty if there was none."""
        exploit, self._new_exploit = self._new_exploit, None
        if exploit is None:
            return {}
        noted = {"epoch": exploit.epoch, "score": exploit.score, **exploit.values}
        return {EXPLOIT + name: value for name, value in noted.items()}

    def note_exploit(self, trial: Trial, start: Look) -> None:
        """Notes where a trial continues from, as its donor, and with which values."""
        state = self._trial_state[trial]
        state.last_perturbation_time = state.last_train_time = start.epoch
        self._exploits[trial] += 1

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Returns the waiting trial with the fewest epochs, then the fewest exploits.

        If a recipient went before its donor, the donor could stay at its epoch, and the recipient
        could exploit it for ever.
        """
        waiting = [
            trial
            for trial in tune_controller.get_trials()
            if trial.status in (Trial.PENDING, Trial.PAUSED)
        ]
        return min(waiting, key=self._turn, default=None)

    def _turn(self, trial: Trial) -> tuple[int, int]:
        return self._trial_state[trial].last_train_time, self._exploits[trial]

    def _checkpoint_or_exploit(self, trial: Trial, *args: Any, **more: Any) -> None:
        number = list(self._trial_state).index(trial)
        epoch = self._trial_state[trial].last_train_time
        with _seeded(f"{self._seed} {number} {epoch} {self._exploits[trial]}"):
            super()._checkpoint_or_exploit(trial, *args, **more)

    def _exploit(self, tune_controller: Any, trial: Trial, trial_to_clone: Trial) -> None:
        own = trial.config.get(SETTINGS, {})
        super()._exploit(tune_controller, trial, trial_to_clone)
        if own:  # the donor may be running alone, with other resources
            kept = {key: own[key] for key in OWN_SETTINGS if key in own}
            others = {k: v for k, v in trial.config[SETTINGS].items() if k not in OWN_SETTINGS}
            trial.config = {**trial.config, SETTINGS: {**others, **kept}}
        if self.adapt is not None:
            trial.config = self.adapt(trial.trial_id, trial.config, trial_to_clone.config)
        donor = self._trial_state[trial_to_clone]
        values = {key: trial.config[key] for key in self._mutated}
        score = float(donor.last_score or 0.0)
        self._new_exploit = Look(donor.last_perturbation_time, score, values)
        self.note_exploit(trial, self._new_exploit)


class PB2(Population):
    """PBT whose new values come from a model of what earlier ones have gained.

    Until there are enough looks for the model, the donor's values are perturbed as by PBT.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._improvements: list[Improvement] = []
        self._looks: dict[Trial, Look] = {}
        """Trial -> its newest look."""
        self._started: dict[Trial, tuple[float, ...]] = {}
        """Recipient that has not reported since its exploit -> its values, as shares."""

    def note_exploit(self, trial: Trial, start: Look) -> None:
        """See `Population.note_exploit`."""
        super().note_exploit(trial, start)
        self._looks[trial] = start
        self._started[trial] = self._to_units(start.values)

    def _save_trial_state(
        self, state: Any, time: int, result: dict[str, Any], trial: Trial
    ) -> float:
        score = float(super()._save_trial_state(state, time, result, trial))
        values = {key: trial.config[key] for key in self._mutated}
        before = self._looks.get(trial)
        if before is not None and before.values == values and time > before.epoch:
            gain = (score - before.score) / (time - before.epoch)
            units = self._to_units(values)
            self._improvements.append(Improvement(before.epoch, units, gain))
        self._looks[trial] = Look(time, score, values)
        self._started.pop(trial, None)
        return score

    def _get_new_config(
        self, trial: Trial, trial_to_clone: Trial
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        rng = np.random.default_rng(random.getrandbits(64))
        if len(self._improvements) <= len(self._mutated):
            config, operations = super()._get_new_config(trial, trial_to_clone)
            if all(config[key] == trial_to_clone.config[key] for key in self._mutated):
                config |= {key: sample(self._mutated[key], rng) for key in self._mutated}
            return config, operations
        epoch = self._trial_state[trial_to_clone].last_perturbation_time
        units = select_units(self._improvements, list(self._started.values()), epoch, rng)
        config = copy.deepcopy(trial_to_clone.config)
        for (key, distribution), unit in zip(self._mutated.items(), units, strict=True):
            config[key] = distribution.from_unit(unit)
        return config, {}

    def _to_units(self, values: Mapping[str, Any]) -> tuple[float, ...]:
        return tuple(self._mutated[key].to_unit(values[key]) for key in self._mutated)


@contextmanager
def _seeded(seed: str) -> Iterator[None]:
    """Seeds the generator that PBT draws from, and puts it back afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def record_result(pbt: Population, trial: Trial, epoch: int, row: Mapping[str, Any]) -> None:
    """Records a result in the scheduler's state without looking for an exploit.

    Args:
        pbt: A scheduler that the trial was added to.
        trial: The trial that reported.
        epoch: The result's epoch.
        row: The result's numbers; under `IN_CONFIG` the values that the trial had then, and under
            `EXPLOIT` those of the exploit that it led to.
    """
    state = pbt._trial_state[trial]
    if epoch - state.last_perturbation_time < pbt._perturbation_interval:
        return
    # PB2's model reads the values from the trial itself.
    current = trial.config
    earlier = {k.removeprefix(IN_CONFIG): v for k, v in row.items() if k.startswith(IN_CONFIG)}
    trial.config = {**current, **earlier}
    pbt._save_trial_state(state, epoch, dict(row), trial)
    trial.config = current
    state.last_perturbation_time = epoch
    exploit = {k.removeprefix(EXPLOIT): v for k, v in row.items() if k.startswith(EXPLOIT)}
    if exploit:
        start, score = exploit.pop("epoch"), exploit.pop("score")
        pbt.note_exploit(trial, Look(int(start), score, exploit))


def rewind(pbt: PopulationBasedTraining) -> None:
    """Sets every trial's last perturbation back to at most the epoch that it continues from.

    An exploit or a kill sends a trial back to before the last epoch that it reported.
    """
    for trial in pbt._trial_state:
        rewind_trial(pbt, trial, (trial.last_result or {}).get("epoch", 0))


def rewind_trial(pbt: PopulationBasedTraining, trial: Trial, epoch: int) -> bool:
    """Sets back a trial's last perturbation to at most an epoch; False if PBT does not have it."""
    state = pbt._trial_state.get(trial)
    if state is None:
        return False
    state.last_perturbation_time = min(state.last_perturbation_time, epoch)
    state.last_train_time = min(state.last_train_time, epoch)
    return True


class DonorCheckpointCleanup(Callback):
    """Deletes Tune's checkpoint directories of a population once nothing can load them.

    Tune itself would keep the newest few of each trial. But a recipient that waits for a slot, or
    a slow one whose donor was chosen epochs ago, needs an older one.

    Args:
        pbt: The scheduler, whose state refers to the checkpoints of possible donors.
        delete_remote: Deletes the remote counterpart of such a directory.
    """

    def __init__(
        self, pbt: PopulationBasedTraining, delete_remote: Callable[[Path], None]
    ) -> None:
        self._pbt = pbt
        self._delete_remote = delete_remote
        self._saved: set[Path] = set()

    def on_trial_save(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Deletes the older checkpoints of a trial that has saved, except those in use."""
        del iteration, info
        if trial.checkpoint is None:
            return
        newest = Path(trial.checkpoint.path)
        used = {*self._starting_points(trials), *self._donor_checkpoints()}
        saved = {path for path in self._saved if path.parent == newest.parent}
        self._saved.add(newest)
        for path in saved.union(newest.parent.glob("checkpoint_*")):  # it may be on another node
            if path.name < newest.name and path not in used:
                shutil.rmtree(path, ignore_errors=True)
                self._saved.discard(path)
                self._delete_remote(path)

    @staticmethod
    def _starting_points(trials: Iterable[Trial]) -> Iterator[Path]:
        """Checkpoints that trials continue from; a recipient's is its donor's until it saves."""
        for trial in trials:
            if trial.checkpoint is not None and not trial.is_finished():
                yield Path(trial.checkpoint.path)

    def _donor_checkpoints(self) -> Iterator[Path]:
        """Checkpoints that the next recipient of each trial would load."""
        for state in self._pbt._trial_state.values():
            checkpoint: Any = state.last_checkpoint
            if hasattr(checkpoint, "resolve"):  # a save that may still be in progress
                saved = checkpoint.resolve(block=False)
                checkpoint = None if saved is None else saved.checkpoint
            if checkpoint is not None:
                yield Path(checkpoint.path)

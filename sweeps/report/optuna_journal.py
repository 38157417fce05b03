"""Writes a sweep's study to Optuna's journal while the sweep runs.

The journal is only appended to, so that a program which shows it can stay open. The trials are
those of the export (`freeze_trial`). Optuna does not change a trial that has ended: a trial that
is retried or continued afterwards becomes another one, which names the former.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps.report.optuna_study import Space, freeze_trial, open_study, optuna_distributions
from sweeps.results.trial_results import TrialResult
from trainable.atomic_files import remove_partial_line

SWEEP_ID = "sweep_id"
"""Attribute of a study that tells sweeps of one name apart."""
CONTINUES = "continues"
"""Attribute of a trial: the number of the trial that it continues or retries."""


class LiveStudy:
    """The study of a running sweep in a journal.

    Args:
        path: The journal; a last line that a kill has cut short is removed.
        name: The name of the sweep.
        sweep_id: See `SWEEP_ID`.
        metric: The metric that ranks trials.
        mode: `max` or `min`.
        space: The distributions of the sweep's search file.
    """

    def __init__(
        self, path: Path, name: str, sweep_id: str, *, metric: str, mode: str, space: Space
    ) -> None:
        self._metric, self._space = metric, space
        lock = JournalFileSymlinkLock(str(path))
        lock.acquire()  # other sweeps may be writing to the same journal
        try:
            remove_partial_line(path)
        finally:
            lock.release()
        self._storage = JournalStorage(JournalFileBackend(str(path), lock))
        study = open_study(self._storage, name, mode)
        if study.user_attrs.get(SWEEP_ID, sweep_id) != sweep_id:  # of another sweep
            study = open_study(self._storage, f"{name} {sweep_id}", mode)
        self._study = study
        self._study_id = self._storage.get_study_id_from_name(study.study_name)
        self.set_attributes({SWEEP_ID: sweep_id})
        self._trials: dict[str, FrozenTrial] = {}
        """Id of a trial -> its last trial in the study, as it was written."""
        for trial in self._storage.get_all_trials(self._study_id, deepcopy=False):
            self._trials[str(trial.user_attrs.get("trial"))] = trial

    @property
    def has_trials(self) -> bool:
        """Whether the study has any trials."""
        return bool(self._trials)

    def set_attributes(self, attributes: dict[str, Any]) -> None:
        """Sets attributes of the study that have changed."""
        present = self._study.user_attrs
        for key, value in attributes.items():
            if present.get(key) != value:
                self._study.set_user_attr(key, value)

    def write(self, result: TrialResult) -> None:
        """Appends what is new of a trial; nothing of one that has not started."""
        new = freeze_trial(result, self._metric, optuna_distributions(self._space, [result]))
        if new.state == TrialState.WAITING:
            return
        trial_id = result.record.id
        old = self._trials.get(trial_id)
        if old is None or (old.state.is_finished() and _differs(old, new)):
            if old is not None:
                new.user_attrs[CONTINUES] = old.number
            number = self._storage.create_new_trial(self._study_id, template_trial=new)
            self._trials[trial_id] = self._storage.get_trial(number)
        elif not old.state.is_finished():
            number = self._storage.get_trial_id_from_study_id_trial_number(
                self._study_id, old.number
            )
            self._update(number, old, new)
            self._trials[trial_id] = self._storage.get_trial(number)

    def _update(self, number: int, old: FrozenTrial, new: FrozenTrial) -> None:
        """Appends what differs between a trial in the journal and its present state."""
        storage = self._storage
        for key, value in new.params.items():
            if old.params.get(key) != value:
                distribution = new.distributions[key]
                internal = distribution.to_internal_repr(value)
                with suppress(ValueError):  # a category that earlier trials did not have
                    storage.set_trial_param(number, key, internal, distribution)
        for key, value in new.user_attrs.items():
            if old.user_attrs.get(key) != value:
                storage.set_trial_user_attr(number, key, value)
        gone = dict.fromkeys(old.intermediate_values.keys() - new.intermediate_values, math.nan)
        for epoch, value in (gone | new.intermediate_values).items():
            if not _is_same(old.intermediate_values.get(epoch), value):
                storage.set_trial_intermediate_value(number, epoch, value)
        if new.state.is_finished():
            values = None if new.value is None else [new.value]
            storage.set_trial_state_values(number, new.state, values)


def _differs(old: FrozenTrial, new: FrozenTrial) -> bool:
    """Returns whether a trial has gone on since it ended in the study."""
    if old.state != new.state or not _is_same(old.value, new.value):
        return True
    own = {k: v for k, v in old.intermediate_values.items() if not math.isnan(v)}
    return own != new.intermediate_values


def _is_same(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return old == new or (math.isnan(old) and math.isnan(new))

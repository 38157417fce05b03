"""A trial that is retried while the sweep runs is a new object for Tune, with its old id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler


def replace_trial(inner: TrialScheduler, trial: Trial) -> bool:
    """Puts a trial in the place of an earlier object of it in the state of a scheduler.

    Args:
        inner: The real scheduler.
        trial: The new object.

    Returns:
        Whether the scheduler had the earlier object.
    """
    replaced = False
    for state in vars(inner).values():
        if isinstance(state, dict | set) and _has_earlier(state, trial):
            replaced = True
            _replace(state, trial)
    return replaced


def _has_earlier(state: Iterable[Any], trial: Trial) -> bool:
    return any(_is_earlier(other, trial) for other in state)


def _is_earlier(other: Any, trial: Trial) -> bool:
    same_id = isinstance(other, Trial) and other.trial_id == trial.trial_id
    return same_id and other is not trial


def _replace(state: dict[Any, Any] | set[Any], trial: Trial) -> None:
    """Replaces the earlier object in a set or in the keys of a mapping, whose order stays."""
    if isinstance(state, set):
        state.difference_update([other for other in state if _is_earlier(other, trial)])
        state.add(trial)
        return
    items = list(state.items())
    state.clear()
    state.update({trial if _is_earlier(key, trial) else key: value for key, value in items})

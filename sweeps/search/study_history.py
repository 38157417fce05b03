"""Optuna studies that hold a sweep's trials, in which the next trial is sampled.

A suggestion depends on the recorded trials alone: a study filled from the files of a resumed sweep
suggests what the study of an uninterrupted one would. How a trial is added depends on the sampler:

- A stateless sampler (TPE, GP) looks at the trials that the study holds. They are added with
  their values.
- A stateful sampler (CMA-ES, NSGA-II, QMC, custom ones) also keeps generations, a position in a
  sequence or a random stream. Every trial is sampled again in order of creation, is given its
  recorded values instead, and gets its scores before the next one is sampled. Where trials run one
  after the other, suggestions are therefore those of bare Optuna under the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Literal

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState

from sweeps.search.optuna_space import (
    optuna_distribution,
    optuna_parameters,
    parameter_values,
    suggest_value,
    to_optuna,
)
from sweeps.space.search_space import Space

TrialStatus = Literal["running", "complete", "failed"]


@dataclass(frozen=True)
class Observation:
    """The state of one trial of a sweep."""

    values: Mapping[str, Any]
    status: TrialStatus
    scores: Sequence[float] = ()
    """The metrics of a complete trial, in the order of the study's directions."""


@dataclass
class _FilledStudy:
    """A study and the trials that it holds."""

    study: Study
    trials: list[Observation] = field(default_factory=list)

    def copy(self) -> _FilledStudy:
        return _FilledStudy(deepcopy(self.study), list(self.trials))

    def is_start_of(self, observations: Sequence[Observation]) -> bool:
        return self.trials == list(observations[: len(self.trials)])

    def end_trials(self, observations: Sequence[Observation]) -> bool:
        """Ends the running trials that have ended since; False if other trials differ as well."""
        for number, (before, now) in enumerate(zip(self.trials, observations, strict=False)):
            if before == now:
                continue
            if before.status != "running" or before.values != now.values:
                return False
            _tell(self.study, number, now)
            self.trials[number] = now
        return True


class StudyHistory:
    """Keeps Optuna studies in step with the trials of a sweep.

    Args:
        space: The search space.
        new_study: Makes an empty study with its sampler.
        stateful: Whether the sampler must sample every trial again.
    """

    def __init__(self, space: Space, new_study: Callable[[], Study], *, stateful: bool) -> None:
        self._space = space
        self._parameters = optuna_parameters(space)
        self._distributions = {
            name: optuna_distribution(entry) for name, entry in self._parameters.items()
        }
        self._new_study = new_study
        self._stateful = stateful
        self._settled = _FilledStudy(new_study())
        """The trials that need not be added again when others end. A stateful sampler cannot take
        back that a trial was running when the next one was sampled: for it these are the ended
        trials before the first running one."""
        self._latest = _FilledStudy(new_study())
        """The trials of the last call, with those that were running."""

    def copy_study(self, observations: Sequence[Observation]) -> Study:
        """Returns a new study that holds these trials.

        Args:
            observations: Every trial of the sweep, in order of creation.
        """
        settled = observations
        if self._stateful:
            settled = list(takewhile(lambda trial: trial.status != "running", observations))
        elif not self._settled.end_trials(observations):
            self._settled = _FilledStudy(self._new_study())
        if not self._settled.is_start_of(settled):
            self._settled = _FilledStudy(self._new_study())
        self._add_missing(self._settled, settled)
        if len(settled) == len(observations):
            return deepcopy(self._settled.study)
        latest = self._latest
        if len(latest.trials) < len(settled) or not latest.is_start_of(observations):
            self._latest = latest = self._settled.copy()
        self._add_missing(latest, observations)
        return deepcopy(latest.study)

    def _add_missing(self, filled: _FilledStudy, observations: Sequence[Observation]) -> None:
        for observation in observations[len(filled.trials) :]:
            self._add_trial(filled.study, observation)
            filled.trials.append(observation)

    def _add_trial(self, study: Study, observation: Observation) -> None:
        values = parameter_values(self._space, observation.values)
        params = {name: to_optuna(self._parameters[name], v) for name, v in values.items()}
        # The same objects in every trial: `deepcopy` copies each of them only once.
        distributions = {name: self._distributions[name] for name in params}
        study.enqueue_trial(params)
        if self._stateful:
            trial = _sample_again(study, distributions)
        else:
            trial = study.ask(fixed_distributions=distributions)
        _tell(study, trial.number, observation)


def _sample_again(study: Study, distributions: Mapping[str, BaseDistribution]) -> Trial:
    """Samples the trial in the queue as if its values were not given, then takes those."""
    trial = study.ask()
    relative = trial.relative_params
    for key, distribution in distributions.items():
        if key not in relative and not distribution.single():
            frozen = study.get_trials(deepcopy=False)[trial.number]
            study.sampler.sample_independent(study, frozen, key, distribution)
        suggest_value(trial, key, distribution)
    return trial


def _tell(study: Study, number: int, observation: Observation) -> None:
    if observation.status == "complete":
        study.tell(number, list(observation.scores))
    elif observation.status == "failed":
        study.tell(number, state=TrialState.FAIL)

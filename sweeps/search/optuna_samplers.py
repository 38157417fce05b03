"""Suggests values with Optuna's samplers, given the trials of a sweep."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import assert_never

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from sweeps.search.optuna_space import suggest
from sweeps.search.sampler_classes import MAX_SEED, build_sampler
from sweeps.search.study_history import Observation, StudyHistory
from sweeps.space.expressions import ExpressionError
from sweeps.space.search_space import Values, draw
from sweeps.spec.search_algorithms import (
    BOHBSearch,
    CMAESSearch,
    GPSearch,
    OptunaSearch,
    TPESearch,
)
from sweeps.spec.search_spec import SearchSpec

StatelessSearch = TPESearch | GPSearch | BOHBSearch
StatefulSearch = CMAESSearch | OptunaSearch

MAX_SUGGESTIONS = 20
"""Suggestions for one trial that may break a constraint, one after the other."""


class OptunaSuggester:
    """Suggests the values of one trial after the other with a sampler of Optuna's.

    Args:
        spec: The resolved search file.
        search: Its `tune.search_alg`.
        allow_custom: Whether `search.sampler` may import code of the user's.
    """

    def __init__(
        self,
        spec: SearchSpec,
        search: StatelessSearch | StatefulSearch,
        *,
        allow_custom: bool = False,
    ) -> None:
        # Else Optuna prints a line for every trial, in the middle of the sweep's own display.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec = spec
        self._search = search
        self._allow_custom = allow_custom
        stateful = isinstance(search, StatefulSearch)
        self._history = StudyHistory(spec.space, self._new_study, stateful=stateful)

    def suggest(
        self,
        observations: Sequence[Observation],
        number: int,
        is_allowed: Callable[[Values], bool] | None = None,
    ) -> Values | None:
        """Returns the values of the next trial; None if `MAX_SUGGESTIONS` of them break a rule.

        A suggestion that is not allowed becomes a failed trial of the study, and the next one is
        asked for.

        Args:
            observations: The trials before it, in order of creation.
            number: The trial's 0-based number.
            is_allowed: Whether a suggestion keeps the constraints; None allows all.
        """
        with warnings.catch_warnings():
            # Of experimental options, of conditional keys, and SciPy's on few points.
            warnings.simplefilter("ignore")
            if isinstance(self._search, GPSearch):
                observations = _impute_running(observations)
            study = self._history.copy_study(observations)
            for attempt in range(MAX_SUGGESTIONS):
                if not isinstance(self._search, StatefulSearch):
                    seeds = np.random.SeedSequence([self._spec.tune.seed, number, attempt])
                    study.sampler = _build_stateless(self._search, int(seeds.generate_state(1)[0]))
                trial = study.ask()
                try:
                    values = self._draw(trial)
                except ExpressionError:
                    pass
                else:
                    if is_allowed is None or is_allowed(values):
                        return values
                study.tell(trial, state=TrialState.FAIL)
        return None

    def _draw(self, trial: optuna.Trial) -> Values:
        return draw(self._spec.space, lambda key, entry: suggest(trial, key, entry))

    def _new_study(self) -> Study:
        directions = [
            StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE
            for mode in self._spec.tune.metrics.values()
        ]
        return optuna.create_study(directions=directions, sampler=self._first_sampler())

    def _first_sampler(self) -> BaseSampler:
        seed = self._spec.tune.seed
        match self._search:
            case OptunaSearch():
                return build_sampler(self._search, seed, allow_custom=self._allow_custom)
            case CMAESSearch(sigma0=sigma0, n_startup_trials=startup):
                return CmaEsSampler(
                    seed=seed % MAX_SEED,
                    sigma0=sigma0,
                    n_startup_trials=startup,
                    warn_independent_sampling=False,
                )
            case _:
                return RandomSampler()  # samples nothing; `suggest` replaces it


def _build_stateless(search: StatelessSearch, seed: int) -> BaseSampler:
    match search:
        case TPESearch(n_startup_trials=startup, multivariate=multivariate):
            return _build_tpe(seed, startup, multivariate=multivariate)
        case BOHBSearch():
            return _build_tpe(seed, 1, multivariate=True)
        case GPSearch(n_startup_trials=startup):
            return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        case _:
            assert_never(search)


def _build_tpe(seed: int, startup: int, *, multivariate: bool) -> TPESampler:
    return TPESampler(
        seed=seed,
        n_startup_trials=startup,
        multivariate=multivariate,
        group=multivariate,  # conditional keys are modelled among the trials that have them
        constant_liar=True,  # concurrent trials do not try the same values
    )


def _impute_running(observations: Sequence[Observation]) -> list[Observation]:
    """Gives running trials the median scores: a Gaussian process ignores trials without any."""
    complete = [trial.scores for trial in observations if trial.status == "complete"]
    if not complete:
        return list(observations)
    medians = [statistics.median(column) for column in zip(*complete, strict=True)]
    return [
        Observation(trial.values, "complete", medians) if trial.status == "running" else trial
        for trial in observations
    ]

"""Proposes what each trial tries.

A proposal depends on the search file, the trial's number and the trials told before, and on
nothing that lives in the process: a sweep that is continued elsewhere, told the same results,
goes on as if it had never stopped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from sweeps.distributions import Choice, Distribution
from sweeps.sections import GridSearch, TPESearch
from sweeps.space import Space, Values, draw, grid_part, grid_points, random_draw
from sweeps.spec import SearchSpec


@dataclass(frozen=True)
class _Trial:
    """What the searcher knows of one trial."""

    values: Mapping[str, Any]
    state: TrialState
    score: float | None = None


class Searcher:
    """Proposes the values of one trial after the other.

    Args:
        spec: The resolved search file.
    """

    def __init__(self, spec: SearchSpec) -> None:
        self._spec = spec
        self._trials: dict[int, _Trial] = {}
        is_grid = isinstance(spec.tune.search_alg, GridSearch)
        space = spec.space if is_grid else grid_part(spec.space)
        self._points = list(islice(grid_points(space), spec.tune.num_samples if is_grid else None))
        # Optuna tells every finished trial otherwise, in the middle of a sweep's own display.
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def suggest(self, number: int) -> Values | None:
        """The values of a new trial, or None when the grid has no more points.

        Args:
            number: 0-based number of the trial, in order of creation.
        """
        tune = self._spec.tune
        match tune.search_alg:
            case GridSearch():
                values = self._points[number] if number < len(self._points) else None
            case TPESearch():
                values = self._tpe(tune.search_alg, number)
            case _:
                values = random_draw(self._spec.space, self._points, tune.seed, number)
        if values is not None:
            self.restore(number, values)
        return values

    def restore(self, number: int, values: Mapping[str, Any]) -> None:
        """Learns of a trial that was suggested earlier and has not ended."""
        self._trials[number] = _Trial(values, TrialState.RUNNING)

    def tell(self, number: int, values: Mapping[str, Any], score: float | None) -> None:
        """Learns how a trial ended.

        Args:
            number: The trial's number.
            values: What it tried.
            score: Its value of the metric; None or NaN when it failed.
        """
        if score is None or math.isnan(score):
            self._trials[number] = _Trial(values, TrialState.FAIL)
        else:
            self._trials[number] = _Trial(values, TrialState.COMPLETE, score)

    def _tpe(self, settings: TPESearch, number: int) -> Values:
        """A new study and sampler for each proposal, so that none has a past of its own."""
        tune = self._spec.tune
        with warnings.catch_warnings():
            # Both options have been there for years and the version of Optuna is on record.
            warnings.simplefilter("ignore", ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=int(np.random.SeedSequence([tune.seed, number]).generate_state(1)[0]),
                n_startup_trials=settings.n_startup_trials,
                multivariate=settings.multivariate,
                # Trials run side by side: keeps them from trying what another one is trying.
                constant_liar=True,
            )
        study = optuna.create_study(
            direction="maximize" if tune.mode == "max" else "minimize", sampler=sampler
        )
        space = self._spec.space
        told = sorted(self._trials.items())
        study.add_trials([_frozen(space, trial) for before, trial in told if before != number])
        asked = study.ask()
        return draw(space, lambda key, found: _pick(asked, key, found))


def _optuna_distribution(found: Distribution) -> BaseDistribution:
    """Optuna sees the index of a choice and, of any range, the share below the value."""
    if isinstance(found, Choice):
        return CategoricalDistribution(range(len(found.values)))
    return FloatDistribution(0.0, 1.0)


def _pick(trial: optuna.Trial, key: str, found: Distribution) -> Any:
    if isinstance(found, Choice):
        return found.values[trial.suggest_categorical(key, range(len(found.values)))]
    return found.from_unit(trial.suggest_float(key, 0.0, 1.0))


def _frozen(space: Space, trial: _Trial) -> FrozenTrial:
    params = {
        key: found.index(value) if isinstance(found, Choice) else found.to_unit(value)
        for key, value in trial.values.items()
        for found in [space[key]]
    }
    return optuna.trial.create_trial(
        state=trial.state,
        value=trial.score,
        params=params,
        distributions={key: _optuna_distribution(space[key]) for key in params},
    )

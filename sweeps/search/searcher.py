"""Suggests the hyperparameter values of each trial.

A suggestion depends on the search file, the trial's number and the results reported before, and on
no other state of the process: a resumed sweep whose searcher gets the same results suggests what
an uninterrupted one would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from sweeps.search.optuna_samplers import OptunaSuggester
from sweeps.search.study_history import Observation, TrialStatus
from sweeps.space.expressions import ExpressionError
from sweeps.space.search_space import Values, draw, grid_cycle, grid_points, random_draw, satisfies
from sweeps.spec.search_algorithms import BOHBSearch, GridSearch, QMCSearch, RandomSearch
from sweeps.spec.search_spec import SearchSpec

Scores = Sequence[float]
"""The values of `metric` and of the keys of `pareto`, in that order."""


@dataclass
class _Trial:
    """The state of one trial."""

    values: Mapping[str, Any]
    status: TrialStatus = "running"
    scores: Scores = ()
    curve: dict[int, float] = field(default_factory=dict)
    """Epoch -> value of the metric."""


class Searcher:
    """Suggests the values of one trial after the other.

    Args:
        spec: The resolved search file.
        allow_custom_model: Whether `tune.search_alg.sampler` may import code of the user's.

    Raises:
        ConfigError: The sampler of `search_alg: {name: optuna}` cannot be built.
    """

    def __init__(self, spec: SearchSpec, *, allow_custom_model: bool = False) -> None:
        self._spec = spec
        self._trials: dict[int, _Trial] = {}
        search = spec.tune.search_alg
        is_grid = isinstance(search, GridSearch)
        points = (grid_points if is_grid else grid_cycle)(spec.space, spec.constraints)
        self._points = list(islice(points, spec.tune.num_samples if is_grid else None))
        self._optuna = None
        if not isinstance(search, RandomSearch | GridSearch | QMCSearch):
            self._optuna = OptunaSuggester(spec, search, allow_custom=allow_custom_model)

    def suggest(self, number: int) -> Values | None:
        """Returns the values of a new trial, or None when there are no more.

        Args:
            number: The 0-based number of the configuration, in order of creation.
        """
        values = self._suggest(number)
        if values is not None:
            self.add_running(number, values)
        return values

    def add_running(self, number: int, values: Mapping[str, Any]) -> None:
        """Adds a trial that was suggested earlier and has not ended."""
        self._trials[number] = _Trial(values)

    def report(self, number: int, epoch: int, value: float) -> None:
        """Adds the metric of one epoch of a trial."""
        if math.isfinite(value):
            self._trials[number].curve[epoch] = value

    def tell(self, number: int, values: Mapping[str, Any], scores: Scores | None) -> None:
        """Ends a trial.

        Args:
            number: The trial's number.
            values: The trial's values.
            scores: The trial's metrics; None or NaN if it failed.
        """
        before = self._trials.get(number, _Trial(values))
        if scores is None or any(map(math.isnan, scores)):
            self._trials[number] = _Trial(values, "failed", curve=before.curve)
        else:
            self._trials[number] = _Trial(values, "complete", scores, before.curve)

    def _suggest(self, number: int) -> Values | None:
        points_to_evaluate = self._spec.tune.points_to_evaluate
        if number < len(points_to_evaluate):
            return self._draw_random(number, points_to_evaluate[number])
        match self._spec.tune.search_alg:
            case GridSearch():
                return self._points[number] if number < len(self._points) else None
            case RandomSearch():
                return self._draw_random(number)
            case QMCSearch():
                return self._draw_sobol(number)
        values = self._suggest_by_model(number)
        return self._draw_random(number) if values is None else values

    def _draw_random(self, number: int, fixed: Mapping[str, Any] | None = None) -> Values | None:
        spec = self._spec
        return random_draw(
            spec.space, spec.constraints, self._points, spec.tune.seed, number, fixed
        )

    def _draw_sobol(self, number: int) -> Values | None:
        """Returns point `number` of a scrambled Sobol sequence with one dimension per key."""
        spec = self._spec
        dimensions = {key: index for index, key in enumerate(spec.space)}
        from scipy.stats import qmc  # takes half a second

        sequence = qmc.Sobol(max(1, len(dimensions)), rng=np.random.default_rng(spec.tune.seed))
        if number:
            sequence.fast_forward(number)
        (units,) = sequence.random(1)
        try:
            values = draw(
                spec.space, lambda key, entry: entry.from_unit(float(units[dimensions[key]]))
            )
        except ExpressionError:
            return self._draw_random(number)
        return values if satisfies(spec.constraints, values) else self._draw_random(number)

    def _suggest_by_model(self, number: int) -> Values | None:
        """Returns the sampler's suggestion; None where the values are to be drawn at random."""
        assert self._optuna is not None
        trials = [trial for other, trial in sorted(self._trials.items()) if other != number]
        search = self._spec.tune.search_alg
        if isinstance(search, BOHBSearch):
            budget = self._largest_budget(search)
            if budget is None or self._is_random(search, number):
                return None
            observations = self._observe_at(budget, trials)
        else:
            observations = [Observation(t.values, t.status, t.scores) for t in trials]
        constraints = self._spec.constraints
        return self._optuna.suggest(
            observations, number, lambda values: satisfies(constraints, values)
        )

    def _is_random(self, search: BOHBSearch, number: int) -> bool:
        """Whether BOHB leaves a trial to chance."""
        seeds = np.random.SeedSequence([self._spec.tune.seed, number, 0])
        rng = np.random.default_rng(int(seeds.generate_state(1)[0]))
        return rng.random() < search.random_fraction

    def _largest_budget(self, search: BOHBSearch) -> int | None:
        """Returns the latest epoch that enough trials have reached."""
        needed = search.min_points_in_model or len(self._spec.space) + 1
        last_epochs = sorted(
            (max(trial.curve, default=0) for trial in self._trials.values()), reverse=True
        )
        return last_epochs[needed - 1] or None if len(last_epochs) >= needed else None

    def _observe_at(self, budget: int, trials: Sequence[_Trial]) -> list[Observation]:
        """Returns the trials that reached an epoch, each with its best metric until then."""
        best = max if self._spec.tune.mode == "max" else min
        return [
            Observation(
                trial.values,
                "complete",
                [best(value for epoch, value in trial.curve.items() if epoch <= budget)],
            )
            for trial in trials
            if max(trial.curve, default=0) >= budget
        ]

"""Suggests the hyperparameter values of each trial.

A suggestion depends on the search file, the trial's number and the results reported before, and on
no other state of the process: a resumed sweep whose searcher gets the same results suggests what
an uninterrupted one would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from sweeps.search.optuna_samplers import OptunaSuggester
from sweeps.search.study_history import Observation, TrialStatus
from sweeps.space.expressions import ExpressionError
from sweeps.space.search_space import Values, draw, grid_cycle, grid_points, random_draw, satisfies
from sweeps.spec.search_algorithms import (
    NOT_LEARNING_SAMPLERS,
    BOHBSearch,
    GridSearch,
    OptunaSearch,
    QMCSearch,
    RandomSearch,
)
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
    position: tuple[int, int] = (0, 0)
    """Its place in the order in which samplers get the trials."""


class Searcher:
    """Suggests the values of one trial after the other.

    Args:
        spec: The resolved search file.
        allow_custom_model: Whether `tune.search_alg.sampler` may import code of the user's.

    Raises:
        ConfigError: The sampler of `search_alg: {name: optuna}` cannot be built.
    """

    def __init__(self, spec: SearchSpec, *, allow_custom_model: bool = False) -> None:
        self._trials: dict[int, _Trial] = {}
        self.change_spec(spec)
        search = spec.tune.search_alg
        self._optuna = None
        if not isinstance(search, RandomSearch | GridSearch | QMCSearch):
            self._optuna = OptunaSuggester(spec, search, allow_custom=allow_custom_model)

    def change_spec(self, spec: SearchSpec) -> None:
        """Replaces the search file by one that differs in its settings, such as `num_samples`."""
        self._spec = spec
        is_grid = isinstance(spec.tune.search_alg, GridSearch)
        points = (grid_points if is_grid else grid_cycle)(spec.space, spec.constraints)
        self._points = list(islice(points, spec.tune.num_samples if is_grid else None))

    def suggest(self, number: int) -> Values | None:
        """Returns the values of a new trial, or None when there are no more.

        Args:
            number: The 0-based number of the configuration, in order of creation.
        """
        values = self._suggest(number)
        if values is not None:
            self.add_running(number, values)
        return values

    def preview(self, number: int) -> Values | None:
        """Returns what `suggest` would return, without adding a trial."""
        return self._suggest(number)

    def add_running(
        self, number: int, values: Mapping[str, Any], after: int | None = None
    ) -> None:
        """Adds a trial that has not ended: one that was suggested earlier or added by hand.

        Args:
            number: The number of its configuration.
            values: Its values.
            after: The number of the last configuration that was suggested before one that was
                added by hand; None for a suggested one.
        """
        position = (number, 0) if after is None else (after, 1 + len(self._trials))
        before = self._trials.get(number)
        self._trials[number] = _Trial(values, position=before.position if before else position)

    @property
    def learns(self) -> bool:
        """Whether suggestions depend on the results of trials."""
        search = self._spec.tune.search_alg
        if isinstance(search, OptunaSearch):
            return search.sampler not in NOT_LEARNING_SAMPLERS
        return self._optuna is not None

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
        before = self._trials.get(number, _Trial(values, position=(number, 0)))
        failed = scores is None or any(map(math.isnan, scores))
        self._trials[number] = replace(
            before,
            values=values,
            status="failed" if failed else "complete",
            scores=() if failed or scores is None else scores,
        )

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
        others = [trial for other, trial in self._trials.items() if other != number]
        trials = sorted(others, key=lambda trial: trial.position)
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

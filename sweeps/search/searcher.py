"""Proposes what each trial tries.

A proposal depends on the search file, the trial's number and the trials told before, and on
nothing that lives in the process: a sweep that is continued elsewhere, told the same results,
goes on as if it had never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from sweeps.search.optuna_samplers import Known, Past, Told, propose
from sweeps.space.expressions import ExpressionError
from sweeps.space.search_space import Values, draw, grid_part, grid_points, random_draw, satisfies
from sweeps.spec.search_algorithms import (
    THROUGH_RAY,
    BOHBSearch,
    GridSearch,
    QMCSearch,
    RandomSearch,
)
from sweeps.spec.search_spec import SearchSpec

ATTEMPTS = 20
"""Proposals that break a constraint, one after the other, before one is drawn at random."""

Scores = Sequence[float]
"""The values of `metric` and of the keys of `pareto`, in that order."""


@dataclass
class _Trial:
    """What the searcher knows of one trial."""

    values: Mapping[str, Any]
    state: Told = "running"
    scores: Scores = ()
    curve: dict[int, float] = field(default_factory=dict)
    """Epoch -> value of the metric."""


class Searcher:
    """Proposes the values of one trial after the other.

    Args:
        spec: The resolved search file.
    """

    def __init__(self, spec: SearchSpec) -> None:
        self._spec = spec
        self._trials: dict[int, _Trial] = {}
        self._past = Past(spec.space)
        is_grid = isinstance(spec.tune.search_alg, GridSearch)
        space = spec.space if is_grid else grid_part(spec.space)
        points = grid_points(space, spec.constraints)
        self._points = list(islice(points, spec.tune.num_samples if is_grid else None))
        self._given = spec.tune.points_to_evaluate

    def suggest(self, number: int) -> Values | None:
        """The values of a new trial, or None when there are no more.

        Args:
            number: 0-based number of the configuration, in order of creation.
        """
        values = self._suggest(number)
        if values is not None:
            self.restore(number, values)
        return values

    def restore(self, number: int, values: Mapping[str, Any]) -> None:
        """Learns of a trial that was suggested earlier and has not ended."""
        self._trials[number] = _Trial(values)

    def report(self, number: int, epoch: int, value: float) -> None:
        """Learns the metric of one epoch of a trial that it knows."""
        if math.isfinite(value):
            self._trials[number].curve[epoch] = value

    def tell(self, number: int, values: Mapping[str, Any], scores: Scores | None) -> None:
        """Learns how a trial ended.

        Args:
            number: The trial's number.
            values: What it tried.
            scores: Its metrics; None or NaN when it failed.
        """
        known = self._trials.get(number, _Trial(values))
        if scores is None or any(map(math.isnan, scores)):
            self._trials[number] = _Trial(values, "failed", curve=known.curve)
        else:
            self._trials[number] = _Trial(values, "complete", scores, known.curve)

    def _suggest(self, number: int) -> Values | None:
        settings = self._spec.tune.search_alg
        if number < len(self._given):
            return self._at_random(number, self._given[number])
        match settings:
            case GridSearch():
                return self._points[number] if number < len(self._points) else None
            case RandomSearch():
                return self._at_random(number)
            case QMCSearch():
                return self._sobol(number)
        refused: list[Values] = []
        for attempt in range(ATTEMPTS):
            try:
                values = self._learned(number, attempt, refused)
            except ExpressionError:
                continue
            if values is None:
                break
            if satisfies(self._spec.constraints, values):
                return values
            refused.append(values)
        return self._at_random(number)

    def _at_random(self, number: int, fixed: Mapping[str, Any] | None = None) -> Values | None:
        spec = self._spec
        return random_draw(
            spec.space, spec.constraints, self._points, spec.tune.seed, number, fixed
        )

    def _sobol(self, number: int) -> Values | None:
        """Point `number` of a scrambled Sobol sequence, a dimension for each key."""
        spec = self._spec
        place = {key: index for index, key in enumerate(spec.space)}
        from scipy.stats import qmc  # takes half a second

        sequence = qmc.Sobol(max(1, len(place)), rng=np.random.default_rng(spec.tune.seed))
        if number:
            sequence.fast_forward(number)
        (units,) = sequence.random(1)
        try:
            values = draw(spec.space, lambda key, found: found.from_unit(float(units[place[key]])))
        except ExpressionError:
            return self._at_random(number)
        return values if satisfies(spec.constraints, values) else self._at_random(number)

    def _learned(self, number: int, attempt: int, refused: Sequence[Values]) -> Values | None:
        """What the sampler makes of the trials told; None where it leaves it to chance."""
        tune = self._spec.tune
        told = [
            (trial.values, trial.state, trial.scores)
            for before, trial in sorted(self._trials.items())
            if before != number
        ]
        seed = int(np.random.SeedSequence([tune.seed, number, attempt]).generate_state(1)[0])
        if isinstance(tune.search_alg, BOHBSearch):
            budget = self._budget(tune.search_alg)
            chance = np.random.default_rng(seed).random() if attempt == 0 else 1.0
            if budget is None or chance < tune.search_alg.random_fraction:
                return None
            told = self._up_to(budget, number)
        if isinstance(tune.search_alg, THROUGH_RAY):
            from sweeps.search.ray_searchers import propose_by_ray  # Ray is not for `sweep plan`

            return propose_by_ray(self._spec, [*told, *_as_bad(refused, told, tune.mode)], seed)
        return propose(self._spec, told, seed, self._past, again=attempt > 0)

    def _budget(self, settings: BOHBSearch) -> int | None:
        """The latest epoch that enough trials have come to."""
        wanted = settings.min_points_in_model or len(self._spec.space) + 1
        lasts = sorted((max(t.curve, default=0) for t in self._trials.values()), reverse=True)
        return lasts[wanted - 1] or None if len(lasts) >= wanted else None

    def _up_to(self, budget: int, number: int) -> list[Known]:
        """The trials that came to an epoch, each with its best metric until then."""
        best = max if self._spec.tune.mode == "max" else min
        return [
            (trial.values, "complete", [best(v for e, v in trial.curve.items() if e <= budget)])
            for before, trial in sorted(self._trials.items())
            if before != number and max(trial.curve, default=0) >= budget
        ]


def _as_bad(refused: Sequence[Values], told: Sequence[Known], mode: str) -> list[Known]:
    """Proposals that break a constraint, with the worst score: else some make them for ever."""
    scores = [scores[0] for _, state, scores in told if state == "complete"]
    if not scores:
        return []
    worst = min(scores) if mode == "max" else max(scores)
    return [(values, "complete", [worst]) for values in refused]

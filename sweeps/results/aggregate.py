"""Aggregates trials: mean and spread of a configuration's trials, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from sweeps.results.trial_results import TrialResult
from sweeps.sweep_dir.records import ADDED


@dataclass(frozen=True)
class Configuration:
    """The trials that share one set of sampled values and differ only by seeds and folds."""

    number: int
    results: list[TrialResult]
    """Best first."""
    scores: list[float]
    """The metric at the best epochs; only of the final trials if there are any."""
    final: bool
    """Whether the scores are those of final trials."""

    @property
    def label(self) -> str:
        """Its number in tables; that of a configuration that was added by hand has a plus."""
        return str(self.number) if self.number < ADDED else f"+{self.number - ADDED}"

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        return fmean(self.scores)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation of the scores; None if there is only one."""
        return stdev(self.scores) if len(self.scores) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Returns the configuration's number and statistics as plain values."""
        return {
            "configuration": self.number,
            "mean": self.mean,
            "sd": self.sd,
            "trials": len(self.scores),
            "final": self.final,
        }


def configurations(results: Iterable[TrialResult], metric: str) -> list[Configuration]:
    """Groups ranked trials by configuration; configurations without a score are left out."""
    members: dict[int, list[TrialResult]] = {}
    for result in results:
        members.setdefault(result.record.configuration_id, []).append(result)
    scored = []
    for number, trials in members.items():
        final = any(trial.record.final and trial.best is not None for trial in trials)
        scores = [
            float(trial.best[metric])
            for trial in trials
            if trial.best is not None and trial.record.final == final
        ]
        if scores:
            scored.append(Configuration(number, trials, scores, final))
    return scored


def repeated_configurations(results: list[TrialResult], metric: str) -> list[Configuration]:
    """Returns a sweep's configurations, best first, if any of them has several trials; else none.

    Args:
        results: The sweep's trials, best first.
        metric: The metric that ranks them.
    """
    return configurations(results, metric) if has_repeats(results) else []


def has_repeats(results: Iterable[TrialResult]) -> bool:
    """Returns whether a configuration of the sweep has several trials."""
    return any(result.record.repeat for result in results)


def pareto_front(results: Iterable[TrialResult], metrics: Mapping[str, str]) -> list[TrialResult]:
    """Returns the trials that no other trial dominates.

    A trial dominates another one if it is at least as good in every metric and better in one.

    Args:
        results: Trials; those without a best epoch or without one of the metrics are left out.
        metrics: Name -> `max` or `min`; all are read at the trial's best epoch.
    """
    points = []
    for result in results:
        row = result.own_best or {}
        if has_all(row, metrics):
            signs = {"max": -1.0, "min": 1.0}
            points.append((result, [signs[mode] * row[name] for name, mode in metrics.items()]))
    return [
        result
        for result, point in points
        if not any(_dominates(other, point) for _, other in points)
    ]


def has_all(row: Mapping[str, Any], metrics: Iterable[str]) -> bool:
    """Returns whether an epoch has a finite value of each of these metrics."""
    return all(row.get(name) is not None and math.isfinite(row[name]) for name in metrics)


def _dominates(other: list[float], point: list[float]) -> bool:
    return other != point and all(a <= b for a, b in zip(other, point, strict=True))

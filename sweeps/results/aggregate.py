"""Trials of the same values as one: their mean and its spread; and trials that no other beats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import rich.box
from rich.table import Table

from sweeps.results.trial_results import TrialResult

ROWS_SHOWN = 10


@dataclass(frozen=True)
class Configuration:
    """The trials of the same values."""

    number: int
    results: list[TrialResult]
    """Best first."""
    scores: list[float]
    """The metric of their best epochs; of the final ones alone where there are any."""
    final: bool
    """Whether the scores are of final trials."""

    @property
    def mean(self) -> float:
        """Of the scores."""
        return fmean(self.scores)

    @property
    def sd(self) -> float | None:
        """Their sample standard deviation; None of a single one."""
        return stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def entry(self) -> dict[str, Any]:
        """What there is to say of it as plain values."""
        return {
            "configuration": self.number,
            "mean": self.mean,
            "sd": self.sd,
            "trials": len(self.scores),
            "final": self.final,
        }


def configurations(results: Iterable[TrialResult], metric: str) -> list[Configuration]:
    """The configurations of ranked trials in their order, without those that have no score."""
    groups: dict[int, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.record.configuration_id, []).append(result)
    found = []
    for number, members in groups.items():
        final = any(member.record.final and member.best is not None for member in members)
        scores = [
            float(member.best[metric])
            for member in members
            if member.best is not None and member.record.final == final
        ]
        if scores:
            found.append(Configuration(number, members, scores, final))
    return found


def repeated_configurations(results: list[TrialResult], metric: str) -> list[Configuration]:
    """The configurations, best first, of a sweep that has several trials of one; else none.

    Args:
        results: Best first.
        metric: What they are ranked by.
    """
    return configurations(results, metric) if has_repeats(results) else []


def has_repeats(results: Iterable[TrialResult]) -> bool:
    """Whether a sweep has several trials of one configuration."""
    return any(result.record.repeat for result in results)


def pareto_front(results: Iterable[TrialResult], metrics: Mapping[str, str]) -> list[TrialResult]:
    """The trials that no other one is as good as in every metric and better than in one.

    Args:
        results: Trials; those without a best epoch, or without one of the metrics, are left out.
        metrics: Name -> `max` or `min`; all are read at the trial's best epoch.
    """
    points = []
    for result in results:
        row = result.best or {}
        if has_all(row, metrics):
            signs = {"max": -1.0, "min": 1.0}
            points.append((result, [signs[mode] * row[name] for name, mode in metrics.items()]))
    return [
        result for result, point in points if not any(_beats(other, point) for _, other in points)
    ]


def has_all(row: Mapping[str, Any], metrics: Iterable[str]) -> bool:
    """Whether trials can be compared by all these metrics of an epoch."""
    return all(row.get(name) is not None and math.isfinite(row[name]) for name in metrics)


def _beats(other: list[float], point: list[float]) -> bool:
    return other != point and all(a <= b for a, b in zip(other, point, strict=True))


def configurations_table(found: list[Configuration], metric: str) -> Table:
    """The best configurations, by their mean."""
    drawn = titled_table(f"configurations by their mean {metric}")
    for name in ("#", "configuration", "mean", "sd", "trials"):
        drawn.add_column(name, justify="right", no_wrap=True)
    drawn.add_column("best trial", no_wrap=True)
    for rank, each in enumerate(found[:ROWS_SHOWN], start=1):
        drawn.add_row(
            str(rank),
            str(each.number),
            f"{each.mean:.4f}",
            "-" if each.sd is None else f"{each.sd:.4f}",
            f"{len(each.scores)}{' final' if each.final else ''}",
            each.results[0].record.id,
        )
    if len(found) > ROWS_SHOWN:
        drawn.caption = f"{len(found) - ROWS_SHOWN} more in trials.csv"
    return drawn


def pareto_table(front: list[TrialResult], metrics: Iterable[str]) -> Table:
    """The trials of the Pareto front."""
    drawn = titled_table("Pareto front: no other trial beats these in every metric")
    drawn.add_column("trial", no_wrap=True)
    names = list(metrics)
    for name in names:
        drawn.add_column(name, justify="right", no_wrap=True)
    for result in front:
        row = result.best or {}
        drawn.add_row(result.record.id, *(f"{row[name]:.4g}" for name in names))
    return drawn


def titled_table(title: str) -> Table:
    """An empty table as a sweep's end shows them."""
    box = rich.box.SIMPLE_HEAD
    return Table(title=title, title_justify="left", box=box, padding=(0, 1, 0, 0))

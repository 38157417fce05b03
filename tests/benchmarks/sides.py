"""Measures our side against another one in one run: interleaved rounds, medians, spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROUNDS, WARM_UP = 5, 1

Side = Callable[[], float]
"""Does its work once and returns what it cost: seconds, bytes."""


class NeedsCudaError(Exception):
    """A benchmark means nothing on a CPU."""


@dataclass(frozen=True)
class Figure:
    """Result of one benchmark."""

    id: str
    what: str
    ratio: float
    low: float
    high: float
    other: float
    """Median cost of the other side."""
    ours: float
    unit: str
    goal: str

    def line(self) -> str:
        """A row of the table."""
        spread = f"({self.low:.3g} to {self.high:.3g})"
        costs = f"other {self.other:.4g} {self.unit}, ours {self.ours:.4g} {self.unit}"
        return (
            f"{self.id:<4}{self.ratio:>8.3g}  {spread:<20}goal {self.goal:<9}{costs}  {self.what}"
        )


@dataclass(frozen=True)
class Variant:
    """One way in which our side does the work."""

    label: str
    side: Side
    goal: str


def compare(
    name: str,
    what: str,
    other: Side,
    ours: Side,
    *,
    goal: str,
    unit: str = "s",
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    ours_over_other: bool = False,
) -> Figure:
    """Measures both sides in turn, round by round.

    Args:
        name: The benchmark's id.
        what: A few words.
        other: The peer's side.
        ours: Our side.
        goal: As in the issue, for the table.
        unit: Of the costs.
        rounds: Rounds that count.
        warm_up: Rounds before them, which do not.
        ours_over_other: Whether the ratio is our cost by the other's; otherwise theirs by ours.
    """
    [figure] = compare_variants(
        name,
        what,
        other,
        [Variant("", ours, goal)],
        unit=unit,
        rounds=rounds,
        warm_up=warm_up,
        ours_over_other=ours_over_other,
    )
    return figure


def compare_variants(
    name: str,
    what: str,
    other: Side,
    variants: Sequence[Variant],
    *,
    unit: str = "s",
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    ours_over_other: bool = False,
) -> list[Figure]:
    """Measures several ways of ours against one other side, which runs once a round.

    Args:
        name: See `compare`.
        what: See `compare`; the variant's label is appended.
        other: See `compare`.
        variants: Our side, one figure each.
        unit: See `compare`.
        rounds: See `compare`.
        warm_up: See `compare`.
        ours_over_other: See `compare`.
    """
    costs = []
    for number in range(warm_up + rounds):
        row = [other(), *(variant.side() for variant in variants)]
        if number >= warm_up:
            costs.append(row)
    figures = []
    for column, variant in enumerate(variants, 1):
        pairs = [(row[0], row[column]) for row in costs]
        ratios = sorted(b / a if ours_over_other else a / b for a, b in pairs)
        figures.append(
            Figure(
                name,
                f"{what}, {variant.label}" if variant.label else what,
                statistics.median(ratios),
                ratios[0],
                ratios[-1],
                statistics.median(a for a, _ in pairs),
                statistics.median(b for _, b in pairs),
                unit,
                variant.goal,
            )
        )
    return figures

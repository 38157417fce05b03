"""Two sides measured in one run: interleaved, medians after warm-up, the spread of the ratio."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS, WARM_UP = 5, 1

Side = Callable[[], float]
"""Does its work once and returns what it cost: seconds, bytes."""


class NeedsCudaError(Exception):
    """A benchmark means nothing on a CPU."""


@dataclass(frozen=True)
class Figure:
    """One benchmark's outcome."""

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
        rounds: That count.
        warm_up: Rounds before, that do not.
        ours_over_other: Whether the ratio is our cost by the other's; otherwise theirs by ours.
    """
    pairs = []
    for number in range(warm_up + rounds):
        pair = other(), ours()
        if number >= warm_up:
            pairs.append(pair)
    ratios = sorted(b / a if ours_over_other else a / b for a, b in pairs)
    return Figure(
        name,
        what,
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        unit,
        goal,
    )

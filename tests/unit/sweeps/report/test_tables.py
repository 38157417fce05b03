"""Text of the tables of `report.html`."""

import pytest

from sweeps.report.tables import format_score, zoned_time


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.5, "0.5000"), (0.0, "0.0000"), (-3.2e-5, "-3.200e-5"), (1e5, "1.000e+5")],
)
def test_small_and_large_metrics_are_powers_of_ten(value: float, expected: str) -> None:
    assert format_score(value) == expected


def test_a_time_has_the_name_of_its_zone() -> None:
    assert zoned_time("2026-01-15T14:30:22+00:00") == "2026-01-15 14:30:22 UTC"
    assert zoned_time("2026-01-15T14:30:22-03:30") == "2026-01-15 14:30:22 UTC-03:30"
    assert zoned_time("-") == "-"

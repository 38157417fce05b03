"""The model of PB2 prefers values that gained most and avoids those that are being tried."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from sweeps.schedulers.pb2_model import MAX_IMPROVEMENTS, Improvement, select_units


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def improvements(count: int, best: float = 0.3) -> list[Improvement]:
    rng = np.random.default_rng(0)
    units = rng.random((count, 1))
    return [
        Improvement(2 * (n // 4), (float(u),), 1.0 - abs(float(u) - best))
        for n, (u,) in enumerate(units)
    ]


def select(items: list[Improvement], pending: list[tuple[float, ...]], seed: int = 0) -> float:
    (unit,) = select_units(items, pending, 10, np.random.default_rng(seed))
    return unit


@pytest.mark.parametrize("best", [0.1, 0.5, 0.9])
def test_values_near_the_best_ones_are_selected(best: float) -> None:
    assert abs(select(improvements(40, best), []) - best) < 0.15


def test_values_that_others_have_started_with_are_avoided() -> None:
    items = improvements(8)
    alone = select(items, [])
    assert abs(select(items, [(alone,)] * 5) - alone) > 0.02


def test_the_same_seed_selects_the_same_values() -> None:
    items = improvements(12)
    assert select(items, [], 1) == select(items, [], 1)


@pytest.mark.parametrize(
    "items",
    [
        improvements(1),
        [Improvement(2, (0.5,), 0.0)] * 5,  # nothing differs
        improvements(MAX_IMPROVEMENTS + 50),
    ],
    ids=["one", "equal", "many"],
)
def test_any_number_of_improvements_will_do(items: list[Improvement]) -> None:
    assert 0 <= select(items, [(0.5,)]) <= 1

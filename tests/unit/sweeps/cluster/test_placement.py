"""Fractions of a card: what trials book so that they use all cards before they share one."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.cluster.placement import UNITS, Booking, per_card, places, spread


def machine(cards: int, cpus: int = 64) -> dict[str, float]:
    return {"CPU": float(cpus), "GPU": float(cards)}


def packed(booking: Booking, cards: int, at_once: int, order: Random) -> list[int]:
    """Trials on each card, most first, as Ray places them: where the least room is left."""
    room = [UNITS] * cards
    held: Counter[int] = Counter()
    wanted = [UNITS] * booking.alone
    wanted += [int(booking.share["gpu"] * UNITS)] * (at_once - booking.alone)
    order.shuffle(wanted)
    for each in wanted:
        left, card = min((left, card) for card, left in enumerate(room) if left >= each)
        room[card] = left - each
        held[card] += 1
    return sorted((held[card] for card in range(cards)), reverse=True)


@pytest.mark.parametrize(
    ("gpu", "cards", "at_once", "on_cards"),
    [
        (0.25, 4, 4, [1, 1, 1, 1]),
        (0.25, 4, 8, [2, 2, 2, 2]),
        (0.25, 4, 16, [4, 4, 4, 4]),
        (0.25, 4, 2, [1, 1, 0, 0]),
        (0.25, 4, 5, [2, 1, 1, 1]),
        (0.25, 4, 9, [3, 3, 2, 1]),
        (0.25, 2, 5, [3, 2]),
        (0.5, 8, 9, [2, 1, 1, 1, 1, 1, 1, 1]),
        (0.3, 2, 6, [3, 3]),
        (0.6, 3, 3, [1, 1, 1]),
        (1 / 7, 2, 14, [7, 7]),
    ],
)
def test_all_cards_are_used_before_trials_share_one(
    gpu: float, cards: int, at_once: int, on_cards: list[int]
) -> None:
    share = {"cpu": 1.0, "gpu": gpu}
    booking = spread(share, [machine(cards)], at_once)
    assert packed(booking, cards, at_once, Random(0)) == on_cards


@given(
    gpu=st.sampled_from([0.05, 0.1, 1 / 7, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5, 0.7, 0.9]),
    cards=st.integers(1, 16),
    filled=st.floats(0, 1),
    order=st.randoms(use_true_random=False),
)
def test_no_card_is_idle_while_another_has_two_and_none_has_more_than_it_must(
    gpu: float, cards: int, filled: float, order: Random
) -> None:
    share = {"cpu": 1.0, "gpu": gpu}
    at_once = max(1, round(filled * per_card(gpu) * cards))
    booking = spread(share, [machine(cards, 10**6)], at_once)
    found = packed(booking, cards, at_once, order)
    assert sum(found) == at_once
    assert found[0] == -(-at_once // cards)
    assert 0 not in found or found[0] == 1


def test_whole_cards_and_none_are_left_to_ray() -> None:
    for gpu in (0.0, 1.0, 2.0):
        share = {"cpu": 1.0, "gpu": gpu}
        assert spread(share, [machine(4)], 2) == Booking(share)


def test_on_several_machines_as_many_run_at_once_as_without() -> None:
    share = {"cpu": 1.0, "gpu": 0.25}
    machines = [machine(4, 5), machine(4, 5), machine(0, 64)]
    at_once = sum(places(share, each) for each in machines)
    booking = spread(share, machines, at_once)
    assert booking == Booking({"cpu": 1.0, "gpu": 0.5})
    assert sum(places(booking.share, each) for each in machines) == at_once == 10


def test_more_trials_than_there_is_room_for_book_what_they_need() -> None:
    """As where machines come later."""
    share = {"cpu": 1.0, "gpu": 0.25}
    assert spread(share, [machine(1)], 64) == Booking(share)
    assert spread(share, [machine(0)], 64) == Booking(share)

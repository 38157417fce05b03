"""Reservations of GPU fractions: trials use all GPUs before two of them share one."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.cluster.placement import (
    GPU_UNITS,
    Reservation,
    spread_over_gpus,
    trials_per_gpu,
    trials_per_machine,
)


def machine(gpus: int, cpus: int = 64) -> dict[str, float]:
    return {"CPU": float(cpus), "GPU": float(gpus)}


def place(reservation: Reservation, gpus: int, trials: int, order: Random) -> list[int]:
    """Returns the trials on each GPU, most first; Ray fills the fullest GPU that has room."""
    room = [GPU_UNITS] * gpus
    trials_on: Counter[int] = Counter()
    requests = [GPU_UNITS] * reservation.alone
    requests += [int(reservation.share["gpu"] * GPU_UNITS)] * (trials - reservation.alone)
    order.shuffle(requests)
    for units in requests:
        free, gpu = min((free, gpu) for gpu, free in enumerate(room) if free >= units)
        room[gpu] = free - units
        trials_on[gpu] += 1
    return sorted((trials_on[gpu] for gpu in range(gpus)), reverse=True)


@pytest.mark.parametrize(
    ("gpu", "gpus", "trials", "expected"),
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
def test_all_gpus_are_used_before_trials_share_one(
    gpu: float, gpus: int, trials: int, expected: list[int]
) -> None:
    share = {"cpu": 1.0, "gpu": gpu}
    reservation = spread_over_gpus(share, [machine(gpus)], trials)
    assert place(reservation, gpus, trials, Random(0)) == expected


@given(
    gpu=st.sampled_from([0.05, 0.1, 1 / 7, 0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5, 0.7, 0.9]),
    gpus=st.integers(1, 16),
    filled=st.floats(0, 1),
    order=st.randoms(use_true_random=False),
)
def test_no_gpu_is_idle_while_another_has_two_trials_and_none_has_more_than_needed(
    gpu: float, gpus: int, filled: float, order: Random
) -> None:
    share = {"cpu": 1.0, "gpu": gpu}
    trials = max(1, round(filled * trials_per_gpu(gpu) * gpus))
    reservation = spread_over_gpus(share, [machine(gpus, 10**6)], trials)
    placed = place(reservation, gpus, trials, order)
    assert sum(placed) == trials
    assert placed[0] == -(-trials // gpus)
    assert 0 not in placed or placed[0] == 1


def test_trials_with_whole_gpus_or_none_reserve_what_they_need() -> None:
    for gpu in (0.0, 1.0, 2.0):
        share = {"cpu": 1.0, "gpu": gpu}
        assert spread_over_gpus(share, [machine(4)], 2) == Reservation(share)


def test_on_several_machines_as_many_trials_run_concurrently_as_fit() -> None:
    share = {"cpu": 1.0, "gpu": 0.25}
    machines = [machine(4, 5), machine(4, 5), machine(0, 64)]
    trials = sum(trials_per_machine(share, node) for node in machines)
    reservation = spread_over_gpus(share, machines, trials)
    assert reservation == Reservation({"cpu": 1.0, "gpu": 0.5})
    assert sum(trials_per_machine(reservation.share, node) for node in machines) == trials == 10


def test_if_more_trials_run_than_fit_each_reserves_what_it_needs() -> None:
    """This happens when machines join the cluster later."""
    share = {"cpu": 1.0, "gpu": 0.25}
    assert spread_over_gpus(share, [machine(1)], 64) == Reservation(share)
    assert spread_over_gpus(share, [machine(0)], 64) == Reservation(share)

"""Expected epochs of a sweep, compared with Ray's own schedulers on made-up trials."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sweeps.planning.expected_epochs import estimate_epochs
from sweeps.schedulers.build import build_scheduler
from sweeps.spec.schedulers import ASHA, FIFO, PBT, BOHBHyperBand, HyperBand, Median

SLOW = pytest.mark.slow
SWEEPS = 40


def trials(count: int) -> list[Any]:
    return [SimpleNamespace(trial_id=str(number)) for number in range(count)]


def ray_asha_epochs(section: ASHA, count: int, epochs: int, rng: np.random.Generator) -> int:
    """Epochs that Ray's ASHA lets trials of constant scores train, one after another."""
    scheduler: Any = build_scheduler(
        section, {}, metric="acc", mode="max", max_t=epochs, seed=int(rng.integers(2**40))
    )
    total = 0
    for trial, score in zip(trials(count), rng.random(count), strict=True):
        scheduler.on_trial_add(None, trial)
        for epoch in range(1, epochs + 1):
            total += 1
            result = {"epoch": epoch, "acc": score}
            if scheduler.on_trial_result(None, trial, result) == "STOP":
                break
    return total


def ray_hyperband_epochs(section: Any, count: int, epochs: int) -> int:
    """Epochs until the brackets that Ray puts the trials into have finished."""
    scheduler: Any = build_scheduler(section, {}, metric="acc", mode="max", max_t=epochs)
    for trial in (Hashable(number) for number in range(count)):
        scheduler.on_trial_add(None, trial)
    total = 0
    for bracket in [b for band in scheduler._hyperbands for b in band if b is not None]:
        while True:
            for trial in bracket.current_trials():
                before = bracket._get_result_time(bracket._live_trials[trial])
                total += bracket._cumul_r - before
                result = {"epoch": bracket._cumul_r, "acc": trial.number}
                bracket.update_trial_stats(trial, result)
            if bracket.finished():
                break
            _, bad = bracket.successive_halving("acc", 1.0)
            for trial in bad:
                bracket.cleanup_trial(trial)
    return total


class Hashable:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize(
    ("settings", "count", "epochs"),
    [
        ({"grace_period": 2, "reduction_factor": 3}, 16, 12),
        pytest.param({"grace_period": 1, "reduction_factor": 4}, 60, 64, marks=SLOW),
        pytest.param(
            {"grace_period": 3, "reduction_factor": 2.5, "max_t": 20}, 30, 25, marks=SLOW
        ),
        pytest.param(
            {"grace_period": 1, "reduction_factor": 3, "brackets": 3}, 40, 27, marks=SLOW
        ),
        ({"grace_period": 5, "reduction_factor": 3}, 8, 5),
    ],
)
def test_the_estimate_for_asha_agrees_with_rays_scheduler(
    settings: dict[str, Any], count: int, epochs: int
) -> None:
    section = ASHA(name="asha", **settings)
    estimate = estimate_epochs(section, trials=count, epochs=epochs)
    rng = np.random.default_rng(1)
    measured = [ray_asha_epochs(section, count, epochs, rng) for _ in range(SWEEPS)]
    error = np.std(measured) / SWEEPS**0.5
    assert estimate.low == estimate.high
    assert abs(estimate.low * count * epochs - np.mean(measured)) <= 4 * error + 1e-9


@pytest.mark.parametrize("kind", [HyperBand, BOHBHyperBand])
@pytest.mark.parametrize(
    ("count", "epochs", "factor"), [(1, 9, 3), (20, 27, 3), (49, 54, 3), (200, 60, 4), (7, 1, 3)]
)
def test_the_estimate_for_hyperband_equals_rays_scheduler(
    kind: Any, count: int, epochs: int, factor: float
) -> None:
    name = kind.model_fields["name"].annotation.__args__[0]
    section = kind(name=name, reduction_factor=factor)
    estimate = estimate_epochs(section, trials=count, epochs=epochs)
    assert estimate.low == estimate.high
    total = estimate.low * count * epochs
    assert total == pytest.approx(ray_hyperband_epochs(section, count, epochs))


def test_the_rungs_of_asha_and_the_trials_that_reach_them() -> None:
    section = ASHA(name="asha", grace_period=2, reduction_factor=3)
    estimate = estimate_epochs(section, trials=90, epochs=20)
    assert [rung.epoch for rung in estimate.rungs] == [2, 6, 18]
    first, second, third = (rung.trials for rung in estimate.rungs)
    assert first == pytest.approx(90)
    assert 30 < second < 45
    assert third < second / 2
    assert 0 < estimate.finished < third


def test_a_large_sweep_has_the_share_of_a_smaller_one() -> None:
    section = ASHA(name="asha", grace_period=1, reduction_factor=4)
    large, smaller = (estimate_epochs(section, trials=n, epochs=64) for n in (100_000, 2_000))
    assert large.low == pytest.approx(smaller.low)
    assert large.rungs[0].trials == pytest.approx(100_000)


@pytest.mark.parametrize("section", [FIFO(), PBT(name="pbt")])
def test_schedulers_that_stop_no_trial_train_every_epoch(section: Any) -> None:
    estimate = estimate_epochs(section, trials=5, epochs=7)
    assert (estimate.rungs, estimate.low, estimate.high, estimate.finished) == ((), 1.0, 1.0, 5.0)


def test_median_stopping_gets_bounds_only() -> None:
    estimate = estimate_epochs(Median(name="median", grace_period=3), trials=5, epochs=12)
    assert (estimate.low, estimate.high) == (0.25, 1.0)

"""The rungs that the report and the plan show are those at which Ray's schedulers decide."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.schedulers.build import build_scheduler
from sweeps.spec.schedulers import (
    ASHA,
    FIFO,
    BOHBHyperBand,
    HyperBand,
    hyperband_brackets,
    hyperband_rungs,
    scheduler_rungs,
)

FACTORS = (1.2, 1.5, 2, 2.5, 3, 4, 5, 10)
EPOCHS = range(1, 101)


def compared_epochs(bracket: Any, epochs: int) -> set[int]:
    """Returns the epochs before the last one at which ASHA compares a trial."""
    trial: Any = SimpleNamespace(trial_id="0")
    compared, recorded = set(), 0
    for epoch in range(1, epochs):
        bracket.on_result(trial, epoch, 1.0)
        before, recorded = recorded, sum(len(scores) for _, scores in bracket._rungs)
        if recorded > before:
            compared.add(epoch)
    return compared


@pytest.mark.parametrize("factor", FACTORS)
def test_asha_decides_at_its_rungs(factor: float) -> None:
    for epochs, grace, brackets in itertools.product((5, 16, 27, 100), (1, 2, 3), (1, 2)):
        section = ASHA(name="asha", grace_period=grace, reduction_factor=factor, brackets=brackets)
        ray: Any = build_scheduler(section, {}, metric="acc", mode="max", max_t=epochs)
        compared = set().union(*(compared_epochs(b, epochs) for b in ray._brackets))
        assert scheduler_rungs(section, epochs) == sorted(compared)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_bracket_of_hyperband_ends_at_the_last_epoch(factor: float) -> None:
    for epochs in EPOCHS:
        brackets = hyperband_brackets(factor, epochs)
        assert brackets[0] == 0
        for halvings in brackets:
            rungs = hyperband_rungs(factor, epochs, halvings)
            assert (len(rungs), rungs[-1]) == (halvings + 1, epochs)
            assert rungs[0] >= 1
            assert rungs == sorted(rungs)
            assert all(epoch < epochs for epoch in rungs[:-1])


def halved_epochs(bracket: Any, epochs: int) -> list[int]:
    """Trains a full bracket; returns the epochs at which it is halved, and its last one."""
    for number in range(bracket._n0):
        bracket.add_trial(Hashable(number))
    halved = []
    while True:
        for trial in bracket.current_trials():
            row = {"epoch": bracket._cumul_r, "acc": trial.number}
            bracket.update_trial_stats(trial, row)
        halved.append(bracket._cumul_r)
        assert bracket.cur_iter_done()
        if bracket.finished():
            return halved
        _, bad = bracket.successive_halving("acc", 1.0)
        for trial in bad:
            bracket.cleanup_trial(trial)
        assert all(bracket.continue_trial(trial) for trial in bracket.current_trials())


@dataclass(frozen=True)
class Hashable:
    """A trial."""

    number: int


@pytest.mark.parametrize("kind", [HyperBand, BOHBHyperBand])
@pytest.mark.parametrize("factor", FACTORS)
def test_the_survivors_of_every_bracket_reach_the_last_epoch(kind: Any, factor: float) -> None:
    name = kind.model_fields["name"].annotation.__args__[0]
    section = kind(name=name, reduction_factor=factor)
    for epochs in (*range(1, 31), 50, 60, 81, 100):
        ray: Any = build_scheduler(section, {}, metric="acc", mode="max", max_t=epochs)
        decided = set()
        for halvings in hyperband_brackets(factor, epochs):
            *halved, last = halved_epochs(ray._create_bracket(halvings), epochs)
            assert last == epochs
            decided |= set(halved)
        assert scheduler_rungs(section, epochs) == sorted(decided)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_the_rungs_of_a_power_of_the_factor_are_those_of_ray(factor: int) -> None:
    """A resumed sweep of an earlier version decides by the same rungs under either rule."""
    for power in range(5):
        epochs = factor**power
        for halvings in hyperband_brackets(factor, epochs):
            old, new = (
                hyperband_rungs(factor, epochs, halvings, rule) for rule in ("multiples", "shares")
            )
            assert old == new == [factor**k for k in range(power - halvings, power + 1)]


def test_a_sweep_of_an_earlier_version_keeps_its_rungs() -> None:
    section = HyperBand(name="hyperband")
    for rule, last in (("multiples", 9), ("shares", 10)):
        ray: Any = build_scheduler(section, {}, metric="acc", mode="max", max_t=10, rule=rule)
        assert halved_epochs(ray._create_bracket(2), 10) == [1, 3, last]
    assert scheduler_rungs(section, 60, "multiples") == [2, 6, 18, 20, 54]
    assert scheduler_rungs(section, 60) == [2, 6, 20]


def test_a_scheduler_that_compares_no_epochs_has_no_rungs() -> None:
    assert scheduler_rungs(FIFO(), 9) == []

"""Configurations that are added by hand: they shift no number, value or seed of others."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweeps.search.searcher import Searcher
from sweeps.search.trial_planner import AddedConfiguration, TrialPlanner
from sweeps.spec.load import parse_search
from sweeps.spec.search_spec import SearchSpec
from sweeps.sweep_dir.records import ADDED, TrialRecord

LR, MOMENTUM, BATCH = "optimizer.learning_rate", "optimizer.momentum", "training.batch_size"
CONFIG = {
    "dataset": {"name": "digits"},
    "model": {"name": "resnet20"},
    "training": {"epochs": 4},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
}
RANGES = {LR: {"loguniform": [1e-3, 1.0]}, MOMENTUM: {"uniform": [0.5, 0.9]}}
GRID = {LR: {"grid": [0.1, 0.2, 0.3]}, BATCH: {"grid": [16, 32]}}
INSIDE = {LR: 0.03, MOMENTUM: 0.7}
OUTSIDE = {LR: 5.0, MOMENTUM: 0.7}
TPE = {"name": "tpe", "n_startup_trials": 2}
CMAES = {"name": "cmaes", "n_startup_trials": 2}
SAMPLER = {"name": "optuna", "sampler": "QMCSampler"}


def spec_of(search_alg: Any, space: dict[str, Any] | None = None, **tune: Any) -> SearchSpec:
    tune = {"num_samples": 6, "seed": 4, "search_alg": search_alg, **tune}
    return parse_search(
        {"config": CONFIG, "space": RANGES if space is None else space, "tune": tune}
    )


class Sweep:
    """A sweep whose trials end one after the other with a score that follows from their values."""

    def __init__(self, spec: SearchSpec, records: list[TrialRecord] | None = None) -> None:
        self.spec = spec
        self.records = records or []
        self.planner = TrialPlanner(spec, Searcher(spec), lambda r: self.score(r.values))
        self.planner.add_recorded(self.records, lambda record: [])

    @staticmethod
    def score(values: Any) -> list[float]:
        return [-abs(math.log10(values.get(LR, 0.1)) + 1.5)]

    def next(self) -> TrialRecord | None:
        planned = self.planner.next_trial(self.records)
        if planned is None:
            return None
        number = len(self.records)
        record = TrialRecord(
            planned.id or f"t{number}",
            number,
            f"t{number}",
            dict(planned.values),
            configuration=planned.configuration,
            repeat=planned.repeat,
            final=planned.final,
            added=planned.added,
            seed_offset=planned.seed_offset,
        )
        self.records.append(record)
        return record

    def end(self, record: TrialRecord) -> None:
        self.planner.on_trial_end(record, self.records, failed=False)
        record.state = "finished"

    def add(self, values: dict[str, Any], position: int = 0, **more: Any) -> None:
        ids = [f"a{position}{n}" for n in range(self.spec.tune.repeats)]
        configuration = AddedConfiguration(values, ADDED + position, ids, **more)
        self.planner.add(configuration, self.records)

    def run(self, added: dict[int, dict[str, Any]] | None = None) -> None:
        """Runs it to its end.

        Args:
            added: Number of records -> values that are added by hand then.
        """
        waiting = dict(added or {})
        position = 0
        while True:
            if len(self.records) in waiting:
                self.add(waiting.pop(len(self.records)), position)
                position += 1
            record = self.next()
            if record is None:
                assert self.planner.is_complete(self.records)
                return
            self.end(record)

    def own(self) -> list[tuple[Any, ...]]:
        """Returns what its own trials are."""
        return [
            (r.values, r.configuration_id, r.repeat, r.final, r.config(self.spec).seed.value)
            for r in self.records
            if not r.added
        ]


CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "random": ("random", RANGES, INSIDE, {}),
    "grid": ("grid", GRID, {LR: 0.1, BATCH: 16}, {}),
    "qmc": ("qmc", RANGES, INSIDE, {}),
    "tpe": (TPE, RANGES, OUTSIDE, {}),
    "cmaes": (CMAES, RANGES, OUTSIDE, {}),
    "a sampler that learns nothing": (SAMPLER, RANGES, INSIDE, {}),
    "repeats": ("random", RANGES, INSIDE, {"repeats": 2}),
    "finals": ("random", RANGES, OUTSIDE, {"final": {"top": 1, "repeats": 2}}),
    "seeds only": ("random", {}, {}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_other_trials_are_those_of_a_sweep_without_added_ones(case: str) -> None:
    search_alg, space, values, tune = CASES[case]
    plain, steered = (Sweep(spec_of(search_alg, space, **tune)) for _ in range(2))
    plain.run()
    steered.run({0: values, 3: values})
    assert steered.own() == plain.own()
    added = [record for record in steered.records if record.added]
    repeats = steered.spec.tune.repeats
    assert [r.configuration_id for r in added if not r.final] == [
        *[ADDED] * repeats,
        *[ADDED + 1] * repeats,
    ]
    assert len(steered.records) == steered.spec.count_trials(2)


@pytest.mark.parametrize("search_alg", [TPE, CMAES], ids=["tpe", "cmaes"])
def test_the_searcher_learns_from_values_inside_the_space_only(search_alg: Any) -> None:
    sweeps = [Sweep(spec_of(search_alg)) for _ in range(3)]
    for sweep, values in zip(sweeps, (None, INSIDE, OUTSIDE), strict=True):
        sweep.run({} if values is None else {3: values})
    plain, inside, outside = (sweep.own() for sweep in sweeps)
    assert outside == plain
    assert inside[:3] == plain[:3]
    assert inside[3:] != plain[3:]


@pytest.mark.parametrize("search_alg", [TPE, CMAES, "random"], ids=["tpe", "cmaes", "random"])
def test_a_resumed_sweep_with_an_added_trial_suggests_what_the_uninterrupted_one_does(
    search_alg: Any,
) -> None:
    whole = Sweep(spec_of(search_alg))
    whole.run({2: INSIDE, 3: OUTSIDE})
    for cut in range(3, 8):  # both have been asked for, one of them exists
        before = [TrialRecord(**vars(record)) for record in whole.records[:cut]]
        resumed = Sweep(spec_of(search_alg), before)
        resumed.add(INSIDE)
        resumed.add(OUTSIDE, 1)
        resumed.run()
        assert [r.values for r in resumed.records] == [r.values for r in whole.records]


def test_an_added_configuration_is_repeated_and_can_win_the_finals() -> None:
    sweep = Sweep(spec_of("random", repeats=2, final={"top": 1, "repeats": 2}))
    sweep.run({1: {LR: 10**-1.5, MOMENTUM: 0.7}})
    added = [(r.id, r.repeat, r.final) for r in sweep.records if r.added]
    assert added == [
        ("a00", 0, False),
        ("a01", 1, False),
        ("t14", 2, True),
        ("t15", 3, True),
    ]
    seeds = {r.config(sweep.spec).seed.value for r in sweep.records if r.added}
    assert len(seeds) == 4


def test_a_suggestion_for_hand_is_the_next_one_and_the_sweep_goes_on_behind_it() -> None:
    plain, asked = (Sweep(spec_of("random", num_samples=n)) for n in (4, 3))
    plain.run()
    values = [record.values for record in plain.records]
    asked.end(asked.next())  # type: ignore[arg-type]
    assert asked.planner.reserve(asked.records) == (1, values[1])
    assert asked.planner.reserve(asked.records) == (1, values[1]), "it was only shown"
    asked.planner.note_reserved(1)
    asked.run()
    assert [record.configuration_id for record in asked.records] == [0, 2, 3]
    assert [record.values for record in asked.records] == [values[0], values[2], values[3]]


def test_a_larger_number_of_samples_and_added_trials_reopen_a_complete_sweep() -> None:
    spec = spec_of("grid", GRID, num_samples=4)
    sweep = Sweep(spec)
    sweep.run()
    sweep.planner.change_spec(spec_of("grid", GRID))
    assert not sweep.planner.is_complete(sweep.records)
    sweep.run()
    assert [tuple(r.values.values()) for r in sweep.records] == [
        (lr, batch) for lr in (0.1, 0.2, 0.3) for batch in (16, 32)
    ]
    sweep.add({LR: 0.4, BATCH: 16})
    assert not sweep.planner.is_complete(sweep.records)

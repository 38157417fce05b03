"""Requests to a running sweep, sent as another process sends them, and what they lead to.

The driver is the product's with the fake of Tune's loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial

from sweeps.execution.steering import callback
from sweeps.results.outcome import Outcome
from sweeps.results.stored_spec import read_search
from sweeps.steering.client import send, submit
from sweeps.steering.request import Answer, Request, read_answer
from sweeps.sweep_dir.errors import SweepError
from sweeps.sweep_dir.event_log import EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import BY_HAND, TrialRecord
from sweeps.trials.pause import EXIT_CODES
from tests.support import fake_driver
from tests.support.fake_driver import FakeTune
from trainable.artifacts.metrics import read_rows

pytestmark = pytest.mark.ray

EPOCHS = 4
ASHA = {"name": "asha", "grace_period": 1, "reduction_factor": 3}
PBT = {"name": "pbt", "perturbation_interval": 1, "quantile_fraction": 0.5}
MEDIAN = {"name": "median", "grace_period": 1, "min_samples_required": 2}
HYPERBAND = {"name": "hyperband", "reduction_factor": 2}

Script = Iterator[None]
"""Acts as another process; it yields until the next step of the driver."""


@pytest.fixture(name="run")
def build_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Returns a function that runs a sweep, or resumes it, while a script steers it."""
    monkeypatch.setattr(callback, "POLL_INTERVAL_S", 0.0)

    def run(
        script: Callable[[FakeTune], Script] | None = None,
        *,
        slots: int = 2,
        resumes: bool = False,
        **tune: Any,
    ) -> Outcome:
        running: list[Script] = []

        def step(fake: FakeTune) -> None:
            if script is not None and not running:
                running.append(script(fake))
            for part in running:
                next(part, None)

        with monkeypatch.context() as patch:
            fake_driver.install(patch, slots=slots, on_step=step)
            if resumes:
                return fake_driver.resume(tmp_path / "sweep")
            spec = fake_driver.new_spec(tmp_path, {"num_samples": 4, **tune})
            return fake_driver.start(spec)

    return run


def epochs_of(fake: FakeTune, record: TrialRecord) -> int:
    return len(read_rows(fake.directory / record.directory / "metrics.jsonl"))


def wait_for_epochs(fake: FakeTune, number: int, epochs: int) -> Iterator[None]:
    """Waits until trial `number` runs with so many epochs completed; returns its record."""
    while True:
        records = [r for r in fake.records.values() if r.number == number]
        if records and epochs_of(fake, records[0]) >= epochs:
            return
        yield


def record_of(fake: FakeTune, number: int) -> TrialRecord:
    return next(r for r in fake.records.values() if r.number == number)


def answer_of(fake: FakeTune, request: Request) -> Answer:
    answer = read_answer(fake.directory, request.id)
    assert answer is not None
    return answer


def running(fake: FakeTune) -> list[int]:
    """Returns the numbers of the trials that run."""
    trials = fake.get_trials()
    return [fake.records[t.trial_id].number for t in trials if t.status == Trial.RUNNING]


def result(outcome: Outcome, number: int) -> tuple[TrialRecord, list[int]]:
    (found,) = (r for r in outcome.results if r.record.number == number)
    return found.record, [row["epoch"] for row in found.rows]


@pytest.mark.parametrize("scheduler", [{"name": "fifo"}, MEDIAN, PBT, HYPERBAND])
def test_a_running_trial_is_stopped_after_its_epoch(
    scheduler: dict[str, Any], run: Callable[..., Outcome]
) -> None:
    answers = []

    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 0, 1)
        while 0 not in running(fake):
            yield
        request = submit(fake.directory, "stop", record_of(fake, 0).id[:6])
        yield
        answers.append(answer_of(fake, request))

    outcome = run(script, scheduler=scheduler)
    record, epochs = result(outcome, 0)
    (answer,) = answers
    assert answer.trial == record.id
    assert epochs == list(range(1, answer.values["epoch"] + 1))
    assert (record.state, record.stopped_by, record.stop_reason) == (
        "stopped",
        BY_HAND,
        "by hand",
    )
    assert outcome.record.state == "finished"
    assert outcome.record.stopped_by == {BY_HAND: 1}
    events = EventLog(SweepLayout(outcome.directory).events_file).read()
    (decision,) = [e for e in events if e.asked]
    assert (decision.trial, decision.epoch, decision.decision) == (record.id, len(epochs), "STOP")


def test_a_waiting_trial_is_stopped_at_once(run: Callable[..., Outcome]) -> None:
    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 3, 0)
        submit(fake.directory, "stop", record_of(fake, 3).id)
        yield
        yield
        assert record_of(fake, 3).state == "stopped"

    outcome = run(script, slots=1, scheduler=PBT)
    assert result(outcome, 3)[1] == []
    assert result(outcome, 3)[0].stopped_by == BY_HAND


@pytest.mark.parametrize("scheduler", [{"name": "fifo"}, ASHA, MEDIAN, PBT])
def test_a_paused_trial_gives_its_slot_away_until_it_is_resumed(
    scheduler: dict[str, Any], run: Callable[..., Outcome]
) -> None:
    seen = []

    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 0, 1)
        record = record_of(fake, 0)
        submit(fake.directory, "pause", record.id)
        yield
        yield
        while 0 in running(fake):
            yield
        paused_at = epochs_of(fake, record)
        for _ in range(4):
            yield
            seen.append((0 in running(fake), epochs_of(fake, record) - paused_at))
        assert (record.state, record.held) == ("paused", True)
        submit(fake.directory, "resume", record.id)
        yield

    outcome = run(script, slots=1, scheduler=scheduler)
    assert seen == [(False, 0)] * 4
    record, epochs = result(outcome, 0)
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) > 1
    assert not record.held
    assert outcome.record.state == "finished"


@pytest.mark.parametrize("scheduler", [{"name": "fifo"}, PBT])
def test_a_sweep_whose_other_trials_have_ended_pauses(
    scheduler: dict[str, Any], run: Callable[..., Outcome]
) -> None:
    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 0, 1)
        submit(fake.directory, "pause", record_of(fake, 0).id)
        yield

    outcome = run(script, scheduler=scheduler, num_samples=3)
    assert (outcome.record.state, outcome.paused, EXIT_CODES["held"]) == ("paused", "held", 3)
    record, before = result(outcome, 0)
    assert (record.state, record.held) == ("paused", True)
    with pytest.raises(SweepError, match=rf"sweep trial resume \S+ {record.id}"):
        run(resumes=True)
    assert send(outcome.directory, "resume", record.id) is not None
    with pytest.raises(SweepError, match="is not paused by"):
        send(outcome.directory, "resume", record.id)
    outcome = run(resumes=True)
    record, epochs = result(outcome, 0)
    assert (record.state, record.held) == ("finished", False)
    assert epochs == list(range(1, EPOCHS + 1))
    assert len(before) < EPOCHS


def test_a_raised_limit_and_number_of_trials_take_effect(run: Callable[..., Outcome]) -> None:
    concurrent = []

    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 0, 2)
        assert len(running(fake)) == 1
        arguments = {"tune.num_samples": 5, "tune.max_concurrent_trials": 3, "keep.trials": 1}
        submit(fake.directory, "set", arguments=arguments)
        while True:
            yield
            concurrent.append(len(running(fake)))

    outcome = run(script, slots=3, num_samples=2, max_concurrent_trials=1)
    assert max(concurrent) == 3
    assert [r.number for r in SweepLayout(outcome.directory).read_trials()] == list(range(5))
    spec, _ = read_search(outcome.directory)
    assert (spec.tune.num_samples, spec.tune.max_concurrent_trials) == (5, 3)
    kept = [path for path in outcome.directory.glob("*/checkpoints/*.pt")]
    assert {path.parents[1].name for path in kept} == {outcome.results[0].record.directory}


def test_a_lowered_limit_and_target_take_effect(run: Callable[..., Outcome]) -> None:
    concurrent = []

    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 2, 1)
        submit(fake.directory, "set", arguments={"tune.max_concurrent_trials": 1})
        yield from wait_for_epochs(fake, 5, 1)
        concurrent.append(running(fake))
        submit(fake.directory, "set", arguments={"tune.target": 0.1})
        yield

    outcome = run(script, slots=3, num_samples=9, max_concurrent_trials=3)
    assert concurrent == [[5]]
    assert (outcome.record.state, outcome.record.reason) == ("finished", "target")
    assert len(outcome.results) == 6


def test_the_searcher_draws_as_if_all_trials_had_been_asked_for(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    def script(fake: FakeTune) -> Script:
        yield from wait_for_epochs(fake, 1, 2)
        submit(fake.directory, "set", arguments={"tune.num_samples": 5})
        yield

    tpe = {"search_alg": {"name": "tpe", "n_startup_trials": 2}, "max_concurrent_trials": 1}
    steered = run(script, slots=1, num_samples=3, **tpe)
    values = [r.values for r in SweepLayout(steered.directory).read_trials()]
    steered.directory.rename(tmp_path / "steered")
    whole = run(slots=1, num_samples=5, **tpe)
    assert values == [r.values for r in SweepLayout(whole.directory).read_trials()]

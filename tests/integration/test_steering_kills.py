"""A driver that dies between a request and its answer: the resumed sweep has the request once.

The driver is the product's with the fake of Tune's loop. It dies at each step of handling a
request; a new driver resumes the sweep from its files. In the end the request stands in the log
once, is answered, and its file is gone; no decision was reported as different; and the sweep
equals its twin, which had the same request and no kill; that of PBT does not, since it
draws again which trials are copied.
"""

from __future__ import annotations

import errno
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sweeps.execution.steering import callback
from sweeps.steering import inbox
from sweeps.steering.request import Verb, WaitingRequest, new_request, read_answer, write_request
from sweeps.sweep_dir.event_log import ENDS, Event, EventLog
from sweeps.sweep_dir.layout import SweepLayout
from sweeps.sweep_dir.records import BY_HAND, ENDED, TrialRecord
from tests.support import fake_driver
from tests.support.fake_driver import FakeTune
from tests.support.fake_tune import Killed
from tests.support.scripted_trainable import VALUE
from trainable.artifacts.metrics import read_rows

SLOW = pytest.mark.slow
SWEEPS: dict[str, dict[str, Any]] = {
    "asha": {
        "num_samples": 6,
        "max_concurrent_trials": 1,
        "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 2},
    },
    "tpe": {
        "num_samples": 6,
        "max_concurrent_trials": 1,
        "search_alg": {"name": "tpe", "n_startup_trials": 2},
        "scheduler": {"name": "fifo"},
    },
    "pbt": {
        "num_samples": 4,
        "scheduler": {"name": "pbt", "perturbation_interval": 1, "quantile_fraction": 0.5},
    },
    "hyperband": {
        "num_samples": 6,
        "scheduler": {"name": "hyperband", "reduction_factor": 2},
    },
}
REFUSED = {
    ("hyperband", "pause"),
    ("hyperband", "resume"),
    ("hyperband", "add"),
    ("hyperband", "like"),
    ("hyperband", "from"),
    ("hyperband", "suggestion"),
    ("hyperband", "retry"),
    ("hyperband", "set"),
    ("hyperband", "concurrent"),
    ("pbt", "set"),
    ("pbt", "concurrent"),
}
"""Scheduler and scenario whose last request does not fit."""
EPOCHS = 4


@dataclass
class Sent:
    """A request of a scenario, once its moment has come."""

    verb: Verb
    trial: str | None
    arguments: dict[str, Any]


class Watcher:
    """Another process that sends requests as the sweep goes on; it outlives every driver.

    Args:
        scenario: Yields requests; its generator is resumed before each step with the present
            trials, and yields None to wait.
    """

    def __init__(self, scenario: Callable[[], Iterator[Any]]) -> None:
        self._scenario = scenario()
        next(self._scenario)
        self.ids: list[str] = []

    def __call__(self, tune: FakeTune) -> None:
        try:
            sent = self._scenario.send(tune)
        except StopIteration:
            return
        if sent is not None:
            request = new_request(sent.verb, sent.trial, sent.arguments)
            write_request(tune.directory, request)
            self.ids.append(request.id)


def rows(directory: Path, record: TrialRecord) -> list[dict[str, Any]]:
    return read_rows(directory / record.directory / "metrics.jsonl")


def epochs_of(tune: FakeTune, record: TrialRecord) -> int:
    return len(rows(tune.directory, record))


def count_epochs(tune: FakeTune) -> int:
    return sum(epochs_of(tune, record) for record in tune.records.values())


def live_trial(tune: FakeTune) -> TrialRecord | None:
    """Returns the newest trial that has trained an epoch and has more to train."""
    fitting = [
        record
        for record in tune.records.values()
        if record.state not in ENDED and 1 <= epochs_of(tune, record) < EPOCHS - 1
    ]
    return max(fitting, key=lambda record: record.number, default=None)


def wait_for_trial() -> Iterator[Any]:
    """Waits for a trial that a request can concern; returns it and the epochs of the sweep."""
    tune = yield None
    while (record := live_trial(tune)) is None:
        tune = yield None
    return record, count_epochs(tune)


def wait_for_epochs(count: int) -> Iterator[Any]:
    """Waits until the sweep has trained so many epochs."""
    tune = yield None
    while count_epochs(tune) < count:
        tune = yield None
    return tune


def send_to_trial(*verbs: Verb, pause: int = 4) -> Iterator[Any]:
    record, done = yield from wait_for_trial()
    for number, verb in enumerate(verbs):
        yield from wait_for_epochs(done + number * pause)
        yield Sent(verb, record.id, {})


def send_to_sweep(verb: Verb, arguments: Mapping[str, Any], *, epochs: int = 3) -> Iterator[Any]:
    yield from wait_for_epochs(epochs)
    yield Sent(verb, None, dict(arguments))


def send_about_trial(argument: str) -> Iterator[Any]:
    record, _ = yield from wait_for_trial()
    yield Sent("add", None, {"set": {VALUE: 0.05}, argument: record.id})


def send_suggestion() -> Iterator[Any]:
    tune = yield from wait_for_epochs(3)
    yield Sent("suggest", None, {})
    yield None
    events = EventLog(SweepLayout(tune.directory).events_file).read()
    (request,) = (e.request for e in events if e.request is not None)
    number = request.get("values", {}).get("number", -1)
    yield Sent("add", None, {"suggestion": number})


def send_retry() -> Iterator[Any]:
    tune = yield None
    while not (failed := [r for r in tune.records.values() if r.state == "failed"]):
        tune = yield None
    yield Sent("retry", failed[0].id, {})


SCENARIOS: dict[str, Callable[[], Iterator[Any]]] = {
    "stop": lambda: send_to_trial("stop"),
    "pause": lambda: send_to_trial("pause", "resume"),
    "resume": lambda: send_to_trial("pause", "resume"),
    "set": lambda: send_to_sweep("set", {"tune.num_samples": 8}),
    "concurrent": lambda: send_to_sweep("set", {"tune.max_concurrent_trials": 3}),
    "add": lambda: send_to_sweep("add", {"set": {VALUE: 0.05}}),
    "like": lambda: send_about_trial("like"),
    "from": lambda: send_about_trial("from"),
    "suggestion": send_suggestion,
    "retry": send_retry,
}
LAST = {"resume": 1, "suggestion": 1}
"""Number of the request at which the driver dies, if it is not the first."""

KILLS = (
    "before the event",
    "after the event",
    "before the next event",
    "after the next event",
    "before the next record",
    "after the next record",
    "before the answer",
    "after the answer",
    "after the removal",
)


class KillSwitch:
    """Lets the driver die once, at a named step of handling the n-th request."""

    def __init__(self, step: str, number: int) -> None:
        self._step = step
        self._requests_left = number + 1
        self._is_handled = False
        """Whether the event of the request has been logged."""
        self.has_struck = False

    def _reach(self, step: str) -> None:
        if step == self._step and self._is_due and not self.has_struck:
            self.has_struck = True
            raise Killed

    @property
    def _is_due(self) -> bool:
        return self._requests_left == 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        append, write_trial = EventLog.append, SweepLayout.write_trial
        write_answer, remove = inbox.write_answer, WaitingRequest.remove

        def append_or_die(log: EventLog, event: Event, **options: Any) -> None:
            name = "the event" if event.kind == "request" else "the next event"
            if event.kind == "request":
                self._requests_left -= 1
            elif not self._is_handled:
                name = ""
            self._reach(f"before {name}")
            append(log, event, **options)
            self._is_handled |= self._is_due
            self._reach(f"after {name}")

        def around(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **options: Any) -> Any:
                if self._is_handled:
                    self._reach(f"before {name}")
                result = call(*arguments, **options)
                if self._is_handled:
                    self._reach(f"after {name}")
                return result

            return wrapped

        patch.setattr(EventLog, "append", append_or_die)
        patch.setattr(SweepLayout, "write_trial", around("the next record", write_trial))
        patch.setattr(inbox, "write_answer", around("the answer", write_answer))
        patch.setattr(WaitingRequest, "remove", around("the removal", remove))


@contextmanager
def driver(watcher: Watcher, name: str, scenario: str) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        fails = (0, 2) if scenario == "retry" else None
        fake_driver.install(patch, slots=1, on_step=watcher, fails=fails)
        patch.setattr(callback, "POLL_INTERVAL_S", 0.0)
        yield patch


def run_killed(directory: Path, name: str, scenario: str, step: str | None) -> list[str]:
    """Runs a sweep whose driver dies once; returns the ids of the requests."""
    watcher = Watcher(SCENARIOS[scenario])
    spec = fake_driver.new_spec(directory, SWEEPS[name], failure={"max_retries": 0})
    with driver(watcher, name, scenario) as patch:
        switch = KillSwitch(step or "never", LAST.get(scenario, 0))
        switch.install(patch)
        try:
            outcome = fake_driver.start(spec)
            assert outcome.record.state == "finished"
        except Killed:
            pass
        assert switch.has_struck or step is None or "next" in step
    if switch.has_struck:
        with driver(watcher, name, scenario):
            assert fake_driver.resume(directory / "sweep").record.state == "finished"
    return watcher.ids


def summary(directory: Path) -> tuple[Any, ...]:
    """Returns a sweep's records, metrics and events without what is drawn at random."""
    layout = SweepLayout(directory)
    records = layout.read_trials()
    numbers = {record.id: record.number for record in records}
    names = {record.directory: record.number for record in records}
    trials = [
        (
            r.number,
            r.values,
            r.state,
            [(step["epoch"], names[step["donor"]], step["values"]) for step in r.lineage],
            (r.configuration, r.repeat, r.added, r.seed_offset, r.changes),
            [(row["epoch"], row["val_acc"]) for row in rows(directory, r)],
        )
        for r in records
    ]
    events, added = [], set()
    for event in EventLog(layout.events_file).read():
        if event.kind == "add" and event.trial in added:
            continue  # a retry; after a restart the scheduler has the trial already
        added |= {event.trial} if event.kind == "add" else set()
        metrics = dict(event.metrics or {})
        metrics.pop("time_total_s", None)
        verb = (event.request or {}).get("verb")
        number = numbers.get(event.trial, event.trial)
        decision = event.decision, event.asked
        events.append((event.kind, number, event.epoch, metrics, decision, verb))
    return trials, events


def check_effect(scenario: str, layout: SweepLayout, requests: list[Any]) -> None:
    """Checks that a stopped or paused trial has ended as it should, and has each epoch once."""
    records = {record.id: record for record in layout.read_trials()}
    for record in records.values():
        epochs = [row["epoch"] for row in rows(layout.directory, record)]
        # PBT: it may go on from an epoch of another trial.
        assert record.lineage or epochs == list(range(1, len(epochs) + 1))
    events = EventLog(layout.events_file).read()
    target = next((e.trial for e in events if e.kind == "request"), "")
    if scenario == "stop":
        assert records[target].stopped_by == BY_HAND
        assert len([e for e in events if e.trial == target and e.kind in ENDS]) == 1
    elif scenario in {"pause", "resume"} and requests[0]["state"] == "accepted":
        assert records[target].state in {"finished", "stopped"}
        assert not records[target].held


def acts_earlier(scenario: str, step: str, name: str) -> bool:
    """Whether a stop or pause is taken by the new driver, whose trials wait at a checkpoint."""
    is_new = step == "before the event"
    return is_new and scenario in {"stop", "pause"} and (name, scenario) not in REFUSED


@pytest.fixture(scope="module")
def twin_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Any, ...]]:
    """Runs the twin of a case, once; returns its summary."""

    @cache
    def run(name: str, scenario: str) -> tuple[Any, ...]:
        directory = tmp_path_factory.mktemp("twin")
        run_killed(directory, name, scenario, None)
        return summary(directory / "sweep")

    return run


QUICK = {
    ("asha", "stop", "after the event"),
    ("asha", "retry", "after the next event"),
    ("tpe", "add", "after the event"),
    ("tpe", "suggestion", "before the answer"),
    ("tpe", "set", "after the event"),
    ("pbt", "pause", "after the answer"),
    ("pbt", "retry", "before the event"),
    ("hyperband", "stop", "before the next event"),
}
"""Cases of the default run; of the others, .ci/run has one for each scheduler and scenario."""


def list_cases() -> Iterator[Any]:
    for row, (name, scenario) in enumerate(itertools.product(SWEEPS, SCENARIOS)):
        for column, step in enumerate(KILLS):
            marks = [SLOW] if row % len(KILLS) == column else [SLOW, pytest.mark.long]
            is_quick = (name, scenario, step) in QUICK
            yield pytest.param(name, scenario, step, marks=[] if is_quick else marks)


@pytest.mark.parametrize(("name", "scenario", "step"), [*list_cases()])
def test_a_killed_sweep_has_a_request_once(
    name: str,
    scenario: str,
    step: str,
    twin_of: Callable[[str, str], tuple[Any, ...]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    twin = twin_of(name, scenario)
    ids = run_killed(tmp_path, name, scenario, step)
    layout = SweepLayout(tmp_path / "sweep")
    requests = [e.request for e in EventLog(layout.events_file).read() if e.kind == "request"]
    assert [r["id"] for r in requests if r is not None] == ids
    for request in filter(None, requests):
        answer = read_answer(layout.directory, request["id"])
        assert answer is not None
        assert answer.state == request["state"], answer.reason
    states = [r["state"] for r in requests if r is not None]
    assert (states[-1] == "refused") == ((name, scenario) in REFUSED)
    assert list(layout.requests.iterdir()) == []
    assert "differently" not in capsys.readouterr().out
    check_effect(scenario, layout, requests)
    if name != "pbt" and not acts_earlier(scenario, step, name):
        for ours, theirs in zip(summary(layout.directory), twin, strict=True):
            assert ours == theirs
    assert json.loads((layout.directory / "sweep.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("is_logged", [False, pytest.param(True, marks=SLOW)])
def test_on_a_full_disk_the_sweep_pauses_and_the_resumed_one_has_the_request_once(
    is_logged: bool, tmp_path: Path
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    append = EventLog.append

    def append_or_refuse(log: EventLog, event: Event, **options: Any) -> None:
        (refuse if event.kind == "request" else append)(log, event, **options)

    watcher = Watcher(SCENARIOS["add"])
    with driver(watcher, "asha", "add") as patch:
        if is_logged:
            patch.setattr(inbox, "write_answer", refuse)
        else:
            patch.setattr(EventLog, "append", append_or_refuse)
        outcome = fake_driver.start(fake_driver.new_spec(tmp_path, SWEEPS["asha"]))
        assert outcome.paused == "disk_full"
    layout = SweepLayout(tmp_path / "sweep")
    assert len(list(layout.requests.iterdir())) == 1
    with driver(watcher, "asha", "add"):
        assert fake_driver.resume(layout.directory).record.state == "finished"
    events = EventLog(layout.events_file).read()
    assert [e.request["id"] for e in events if e.request is not None] == watcher.ids
    assert len([record for record in layout.read_trials() if record.added]) == 1
    assert list(layout.requests.iterdir()) == []

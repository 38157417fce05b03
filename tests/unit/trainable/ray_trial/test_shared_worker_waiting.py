"""Trials in one process that wait for the GPU."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from trainable.ray_trial.shared_worker import SharedWorker
from trainable.ray_trial.trial_run import TrialRun

TrialConfig = Callable[..., dict[str, Any]]
WaitFirst = Callable[[str, "GpuEvent"], list[None]]


class GpuEvent:
    """Fake of an event of the GPU."""

    def __init__(self, failure: str = "") -> None:
        self.queried = Event()
        self.reached = False
        self._failure = failure

    def query(self) -> bool:
        self.queried.set()
        if self._failure and self.reached:
            raise RuntimeError(self._failure)
        return self.reached

    def synchronize(self) -> None:
        raise AssertionError("the worker's thread must go on answering requests")


@pytest.fixture
def wait_first(monkeypatch: pytest.MonkeyPatch) -> WaitFirst:
    """Makes a trial's epochs wait for the GPU first; counts how often they are continued."""
    steps = TrialRun.steps
    events: dict[str, tuple[GpuEvent, list[None]]] = {}

    def waiting_steps(run: TrialRun) -> Iterator[Any]:
        if run._trial_id in events:
            event, resumed = events[run._trial_id]
            while not event.query():
                yield event
                resumed.append(None)
        return (yield from steps(run))

    monkeypatch.setattr(TrialRun, "steps", waiting_steps)

    def wait_first(key: str, event: GpuEvent) -> list[None]:
        events[key] = event, []
        return events[key][1]

    return wait_first


def test_a_trial_that_waits_for_the_gpu_takes_no_turn(
    wait_first: WaitFirst, trial_config: TrialConfig
) -> None:
    event = GpuEvent()
    resumed = wait_first("a", event)
    worker = SharedWorker(capacity=2, threads=1)
    assert worker.open("a", trial_config(), None)
    assert worker.open("b", trial_config(), None)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(worker.step, "a")
        assert [worker.step("b")["epoch"] for _ in range(3)] == [1, 2, 3]
        assert not waiting.done()
        assert resumed == []
        event.reached = True
        assert waiting.result(60)["epoch"] == 1
    assert resumed == [None]


@pytest.mark.parametrize("keys", [("a",), ("a", "b")])
def test_requests_are_answered_while_all_trials_wait_for_the_gpu(
    wait_first: WaitFirst, trial_config: TrialConfig, keys: tuple[str, ...]
) -> None:
    events = {key: GpuEvent() for key in keys}
    for key, event in events.items():
        wait_first(key, event)
    worker = SharedWorker(capacity=3, threads=1)
    with ThreadPoolExecutor(2) as pool:
        assert all(worker.open(key, trial_config(), None) for key in keys)
        waiting = [pool.submit(worker.step, key) for key in keys]
        assert all(event.queried.wait(60) for event in events.values())
        assert worker.open("c", trial_config(), None)
        assert worker.step("c")["epoch"] == 1
        worker.close("c")
        assert not any(future.done() for future in waiting)
        for event in events.values():
            event.reached = True
        assert [future.result(60)["epoch"] for future in waiting] == [1] * len(keys)


@pytest.mark.parametrize("keys", [("a",), ("a", "b")])
def test_a_failure_of_the_gpu_fails_the_trial_that_waits_for_it(
    wait_first: WaitFirst, trial_config: TrialConfig, keys: tuple[str, ...]
) -> None:
    event = GpuEvent(failure="the launch failed")
    wait_first("a", event)
    worker = SharedWorker(capacity=2, threads=1)
    for key in keys:
        assert worker.open(key, trial_config(), None)
    with ThreadPoolExecutor(2) as pool:
        failing, *others = [pool.submit(worker.step, key) for key in keys]
        event.reached = True
        with pytest.raises(RuntimeError, match="the launch failed"):
            failing.result(60)
        assert [other.result(60)["epoch"] for other in others] == [1] * len(others)
    assert worker.count() == len(others)

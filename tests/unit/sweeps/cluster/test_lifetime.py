"""One sweep at a time in a process, and the end of the Ray that it started."""

import os
import signal
import threading

import pytest
import ray

from sweeps.cluster.lifetime import sole_sweep
from sweeps.cluster.session import ENVIRONMENT
from sweeps.sweep_dir.errors import SweepError


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an entry for each end of Ray, which is initialized if `running` is in the list."""
    events: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: "running" in events)
    monkeypatch.setattr(ray, "shutdown", lambda: events.append("ended"))
    return events


def test_a_second_sweep_in_a_process_is_refused_and_a_later_one_is_not() -> None:
    errors: list[SweepError] = []

    def start_another() -> None:
        try:
            with sole_sweep():
                pass
        except SweepError as error:
            errors.append(error)

    with sole_sweep():
        thread = threading.Thread(target=start_another)
        thread.start()
        thread.join()
    (error,) = errors
    assert str(error) == (
        "a sweep is running in this process already; start the next one when it has ended, or run "
        "it in a process of its own"
    )
    with sole_sweep():
        pass


def test_the_ray_that_a_sweep_started_ends_with_it_also_after_an_error(ends: list[str]) -> None:
    @sole_sweep()
    def fail() -> None:
        ends.append("running")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert ends == ["running", "ended"]


def test_the_variables_that_are_set_for_ray_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a notebook's own Tune would find them."""
    mine = {"PYTHONPATH": "/mine", "RAY_CHDIR_TO_TRIAL_DIR": "1"}
    for name in (*ENVIRONMENT, "PYTHONPATH", "MINE"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with sole_sweep():
        for name in (*ENVIRONMENT, "PYTHONPATH"):
            os.environ[name] = "for Ray"
        os.environ["MINE"] = "set by a callback"
    assert dict(os.environ) == {**before, "MINE": "set by a callback"}


def test_a_ray_that_runs_already_is_left_running(ends: list[str]) -> None:
    ends.append("running")
    with sole_sweep():
        pass
    assert ends == ["running"]


def test_handlers_of_signals_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sole_sweep():
        signal.signal(signal.SIGTERM, lambda number, frame: None)  # as Ray's start does
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_while_ray_ends_is_handled_when_it_has_ended(
    ends: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shutdown() -> None:
        signal.raise_signal(signal.SIGINT)
        ends.append("ended")

    monkeypatch.setattr(ray, "shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt), sole_sweep():
        ends.append("running")
    assert ends == ["running", "ended"]
